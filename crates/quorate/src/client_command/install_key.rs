//! `quorate client install-key`: which way a machine is activated (R24, R35).

use std::path::PathBuf;
use std::process::ExitCode;

use activation::catalog::Name;
use activation::channel::Channel;
use activation::key::TypedKey;
use activation::status::Status;
use anyhow::anyhow;
use client::StateFolder;
use serde_json::json;

use super::trust::TrustFile;
use crate::output::{Failure, Outcome, Output};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate client install-key P2G7F-PE64X-4W6Y2-EA7W3-NR56K --state DIR --trust trust.toml
  quorate client install-key DIRECT-KEY --state DIR --trust trust.toml --product server-standard-2

A setup key is public, one for each product edition: with it the machine asks hosts. A direct key is for one machine or
a few: with it the machine asks its publisher. The one that was installed last counts.";

#[derive(Debug, clap::Args)]
pub(crate) struct InstallKey {
    /// The typed key: five groups of five characters.
    key: String,
    /// Where the machine keeps its CMID and its key; made at first use.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    #[command(flatten)]
    trust: TrustFile,
    /// The product that a direct key is for; without it the one that is set up.
    #[arg(long, value_name = "NAME")]
    product: Option<Name>,
}

impl InstallKey {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let invalid = |error: &dyn std::fmt::Display| Failure::usage(anyhow!("{error} ({})", Status::KEY_INVALID));
        let key: TypedKey = self.key.parse().map_err(|error| invalid(&error))?;
        let trust = self.trust.read().map_err(Failure::usage)?;
        let catalog = self.trust.catalog(&trust).map_err(Failure::usage)?;
        let mut state = StateFolder::open(&self.state)?;
        let channel = Channel::install_key(state.channel(), key, self.product, catalog);
        let channel = channel.map_err(|error| invalid(&error))?;
        state.set_channel(channel.clone())?;
        let (name, next) = match &channel {
            Channel::Volume { .. } => ("volume", "quorate client activate --state DIR --trust FILE --host HOST"),
            Channel::Direct { .. } => {
                ("direct", "quorate client activate --state DIR --trust FILE --publisher ADDRESS")
            }
        };
        let product = channel.product().as_str();
        output.result(
            &json!({ "channel": name, "product": product, "cmid": state.cmid().to_string() }),
            format_args!("{product}: {name} activation. Next: {next}"),
        );
        Ok(ExitCode::SUCCESS)
    }
}

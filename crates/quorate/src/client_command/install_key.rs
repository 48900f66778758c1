//! `quorate client install-key`: installs the key that decides how a machine is activated (R24, R35).

use std::path::PathBuf;
use std::process::ExitCode;

use activation::catalog::Name;
use activation::channel::Channel;
use activation::key::TypedKey;
use activation::status::Status;
use anyhow::anyhow;
use client::{Client, ClientError, Options, StateFolder};
use serde_json::json;

use super::trust::TrustArg;
use crate::output::{CommandResult, Failure, Output};
use crate::secrets::KeyArgs;

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate client install-key P2G7F-PE64X-4W6Y2-EA7W3-NR56K --state DIR --trust trust.toml
  quorate client install-key --key-file FILE --state DIR --trust trust.toml --product server-standard-2

A setup key is public, one for each product edition: hosts activate a machine that has it. A direct key is for one or
a few machines, which their publisher activates. The key that was installed last is used.";

#[derive(Debug, clap::Args)]
pub(crate) struct InstallKey {
    #[command(flatten)]
    key: KeyArgs,
    /// Folder in which the machine keeps its CMID and its key; made at first use.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    #[command(flatten)]
    trust: TrustArg,
    /// The product that a direct key is for. Default: the product whose setup key is installed.
    #[arg(long, value_name = "NAME")]
    product: Option<Name>,
}

impl InstallKey {
    pub(crate) fn new(key: String, state: PathBuf, trust: TrustArg) -> Self {
        Self { key: KeyArgs::of(key), state, trust, product: None }
    }

    pub(crate) fn run(self, output: &Output) -> CommandResult {
        let invalid = |error: &dyn std::fmt::Display| Failure::usage(anyhow!("{error} ({})", Status::KEY_INVALID));
        let key: TypedKey = self.key.text()?.parse().map_err(|error| invalid(&error))?;
        let file = self.trust.file(Some(&self.state)).map_err(Failure::usage)?;
        let trust = file.read().map_err(Failure::usage)?;
        file.catalog(&trust).map_err(Failure::usage)?;
        let text = file.text()?;
        let mut client = Client::open(&self.state, trust, Options::default())?;
        let channel = client.install_key(key, self.product).map_err(|error| match error {
            ClientError::Key(error) => invalid(&error),
            error => error.into(),
        })?;
        let state = StateFolder::open(&self.state)?;
        state.keep_trust(&text)?;
        let (name, next) = match &channel {
            Channel::Volume { .. } => ("volume", "quorate client activate --state DIR"),
            Channel::Direct { .. } => ("direct", "quorate client activate --state DIR --publisher ADDRESS"),
        };
        let product = channel.product().as_str();
        output.result(
            &json!({ "channel": name, "product": product, "cmid": state.cmid().to_string() }),
            format_args!("{product}: {name} activation. Next: {next}"),
        );
        Ok(ExitCode::SUCCESS)
    }
}

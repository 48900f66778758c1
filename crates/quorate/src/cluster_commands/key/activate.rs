//! `quorate key activate`: exchanges installed keys for node certificates, online or by files.

use std::{path::PathBuf, process::ExitCode};

use activation::phone_text::PhoneTextKind;
use anyhow::anyhow;
use api::admin::v1::{InstallActivationRequest, RequestActivationRequest};

use super::exchange::{self, PublisherArgs, RequestFile};
use crate::{
    administration::{AdminArgs, refused},
    output::{CommandResult, Failure, Output, phone_text},
};

pub(super) const EXAMPLES: &str = "\
Examples, online:
  quorate key activate --publisher activation.example.test:1691
  quorate key activate --publisher activation.example.test:1691 --node 2
  quorate key activate --publisher activation.example.test:1691 --node 2 --new-key    if its key has no slot any more

Certificates that expire, from a timer (exit code 0 if none is due):
  quorate key activate --publisher activation.example.test:1691 --renew

If a machine changed (the command lists the reactivations that it needs; --reactivate spends them):
  quorate key activate --publisher activation.example.test:1691 --reactivate

By file, for every node that is not activated, or whose machine changed:
  quorate key activate --offline request.bin
  quorate publisher activate --dir P --request request.bin --out answer.bin
  quorate key activate --answer answer.bin

By phone text or QR code, typed or pasted (end with Ctrl-D):
  quorate key activate --offline - --text
  quorate key activate --offline - --qr
  quorate key activate --answer -";

/// Arguments of `key activate`.
#[derive(Debug, clap::Args)]
#[group(id = "way", required = true, multiple = false, args = ["address", "offline", "answer"])]
pub(crate) struct Activate {
    #[command(flatten)]
    publisher: PublisherArgs,
    /// Write the nodes' requests to the publisher into this file; `-` for none, with --text or --qr.
    #[arg(long, value_name = "FILE")]
    offline: Option<PathBuf>,
    /// Install the publisher's answer: its file, or its lines of text; `-` reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "node", "new_key", "name", "text", "qr", "force"])]
    answer: Option<PathBuf>,
    #[command(flatten)]
    file: RequestFile,
    /// Activate with this key only (its id).
    #[arg(long, value_name = "KEY_ID", default_value = "", hide_default_value = true)]
    key: String,
    /// Activate this node only, also when it is activated already: that spends a reactivation.
    #[arg(long, value_name = "NODE", default_value_t = 0, hide_default_value = true)]
    node: u64,
    /// Spend reactivations for nodes whose machine changed. --node NODE implies this.
    #[arg(long, conflicts_with = "answer")]
    reactivate: bool,
    /// Only renew host certificates that expire (the publisher's catalog has certificate_days), from the last third of
    /// their lifetime on; this spends no reactivation. Without this option they are renewed too. For a timer: if none is
    /// due, nothing is done.
    #[arg(long, conflicts_with_all = ["answer", "new_key", "reactivate"])]
    renew: bool,
    /// Make a new private key on the node: use this if the publisher refused its current key, which holds no activation
    /// slot.
    #[arg(long, requires = "node")]
    new_key: bool,
    /// Use only keys of this publisher (name or fingerprint), where several publishers' keys are installed.
    #[arg(long = "publisher-name", value_name = "NAME", default_value = "", hide_default_value = true)]
    name: String,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Activate {
    /// The command with `--publisher ADDRESS`.
    pub(crate) fn online(address: String, admin: AdminArgs) -> Self {
        Self { publisher: PublisherArgs::at(address), ..Self::every_node(admin) }
    }

    /// The command with `--offline FILE`.
    pub(crate) fn offline(file: PathBuf, admin: AdminArgs) -> Self {
        Self { offline: Some(file), ..Self::every_node(admin) }
    }

    /// The command with `--answer FILE`.
    pub(crate) fn answer(file: PathBuf, admin: AdminArgs) -> Self {
        Self { answer: Some(file), ..Self::every_node(admin) }
    }

    fn every_node(admin: AdminArgs) -> Self {
        Self {
            publisher: PublisherArgs::default(),
            offline: None,
            answer: None,
            file: RequestFile::default(),
            key: String::new(),
            node: 0,
            reactivate: false,
            renew: false,
            new_key: false,
            name: String::new(),
            admin,
        }
    }

    pub(crate) fn run(self, output: &Output) -> CommandResult {
        let Self { publisher, offline, answer, file, key, node, reactivate, renew, new_key, name, admin } = self;
        let target = file.target(offline.as_deref())?;
        let may_spend = reactivate || node != 0;
        let wanted = RequestActivationRequest {
            key_id: key,
            node,
            publisher: name,
            releases_only: false,
            new_key,
            renewals_only: renew,
        };
        let wanted = (wanted, may_spend);
        admin.run(async |mut admin| match (&publisher.address, target, &answer) {
            (Some(address), ..) => exchange::online(&mut admin, &publisher, address, wanted, output).await,
            (None, Some(target), _) => exchange::write_request(&mut admin, target, wanted, output).await,
            (None, None, Some(file)) => {
                let request =
                    InstallActivationRequest { answer: phone_text::read(file, PhoneTextKind::Answers)?.into() };
                let installed = admin.install_activation(request).await.map_err(refused)?.into_inner();
                output.result(&exchange::installed_json(&installed), exchange::installed_text(&installed));
                Ok(())
            }
            (None, None, None) => Err(Failure::usage(anyhow!(
                "choose how to reach the publisher: give --publisher, --offline or --answer"
            ))),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

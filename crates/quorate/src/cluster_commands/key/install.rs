//! `quorate key install`: installs a host key on the cluster.

use activation::{
    key::{KeyError, KeyKind, SymbolError, TypedKey},
    status::Status,
};
use anyhow::anyhow;
use api::admin::v1::InstallKeyRequest;
use serde_json::json;

use crate::{
    administration::AdminArgs,
    output::{Failure, Output, confirm::confirm},
    secrets::KeyArgs,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate key install HXXXX-XXXXX-XXXXX-XXXXX-XXXXX
  quorate key install --key-file key.txt --yes         other users of this machine cannot see the key
  quorate key install KEY --publisher \"Northlight Software\" --yes     where catalogs of several publishers are installed";

/// Arguments of `key install`.
#[derive(Debug, clap::Args)]
pub(crate) struct Install {
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// The key's publisher: name or fingerprint. Needed only where catalogs of several publishers are installed.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) publisher: String,
    /// Do not ask for confirmation.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

impl Install {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let Self { key, publisher, yes, admin } = self;
        // A typing error is found here, before any request is sent.
        let key: TypedKey = key.text()?.parse().map_err(|error| mistyped(&error))?;
        if key.kind() != KeyKind::Host {
            return Err(not_a_key(anyhow!("cannot install a {} on hosts: give a host key", key.kind()), &[]));
        }
        if !yes {
            confirm(
                "A host key belongs on activation hosts only, never on client machines. Install it on this cluster? [y/N] ",
                "--yes",
            )?;
        }
        let request = InstallKeyRequest { key: key.to_string(), publisher };
        let reply = admin.ask(async |admin| admin.install_key(request).await)?;
        output.result(
            &json!({
                "key_id": reply.key_id,
                "group": (!reply.group.is_empty()).then_some(&reply.group),
                "publisher": reply.publisher,
                "publisher_id": reply.publisher_id,
            }),
            format_args!(
                "Key {} of {} is installed on the cluster. Next: quorate key activate --publisher HOST:PORT",
                reply.key_id, reply.publisher
            ),
        );
        Ok(())
    }
}

fn mistyped(error: &KeyError) -> Failure {
    let groups: Vec<usize> = match error {
        KeyError::Symbols(SymbolError::Symbol { group, .. }) => vec![*group],
        KeyError::Symbols(SymbolError::Check { doubtful } | SymbolError::Length { doubtful, .. }) => {
            doubtful.groups().collect()
        }
        KeyError::Kind => vec![1],
    };
    not_a_key(anyhow!("{error}"), &groups)
}

fn not_a_key(error: anyhow::Error, doubtful_groups: &[usize]) -> Failure {
    let status = Status::KEY_INVALID;
    let details = json!({ "status": status.to_string(), "doubtful_groups": doubtful_groups });
    Failure::usage(error.context(status)).with_details(details)
}

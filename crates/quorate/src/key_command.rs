//! `quorate key ...`: host keys on the cluster, and the publisher's certificates for them.

mod activate;
mod exchange;
mod list;
mod release;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use activation::{
    key::{KeyError, KeyKind, SymbolError, TypedKey},
    status::Status,
};
use anyhow::{Context, anyhow};
use api::admin::v1::{InstallKeyRequest, ListKeysRequest};
use serde_json::json;

use crate::{
    admin::{AdminArgs, refused},
    output::{Failure, Outcome, Output},
};

const INSTALL_EXAMPLES: &str = "\
Examples:
  quorate key install HXXXX-XXXXX-XXXXX-XXXXX-XXXXX
  quorate key install KEY --publisher \"Northlight Software\" --yes     where catalogs of several publishers are installed";

/// Host keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Install a host key on the cluster. Host keys belong on hosts only.
    #[command(after_help = INSTALL_EXAMPLES)]
    Install {
        /// The typed key: five groups of five characters.
        key: String,
        /// Whose key it is: name or fingerprint. Needed only where catalogs of several publishers are installed.
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        publisher: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Exchange the installed keys for certificates of the publisher, one for each node.
    #[command(after_help = activate::EXAMPLES)]
    Activate(activate::Activate),
    /// Give a node's place back, so that another host can take it.
    #[command(after_help = release::EXAMPLES)]
    Release(release::Release),
    /// The installed keys, which node is activated by which, and what is left of them.
    List {
        #[command(flatten)]
        admin: AdminArgs,
    },
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, output: &Output) -> Outcome {
        match self {
            Self::Install { key, publisher, yes, admin } => install(&key, publisher, yes, &admin, output)?,
            Self::Activate(activate) => return activate.run(output),
            Self::Release(release) => return release.run(output),
            Self::List { admin } => {
                let reply = admin.run(async |mut admin| {
                    Ok(admin.list_keys(ListKeysRequest {}).await.map_err(refused)?.into_inner())
                })?;
                output.result(&list::to_json(&reply), list::to_text(&reply));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn install(key: &str, publisher: String, yes: bool, admin: &AdminArgs, output: &Output) -> Result<(), Failure> {
    // A typing error is found here, before anything is sent.
    let key: TypedKey = key.parse().map_err(|error| mistyped(&error))?;
    if key.kind() != KeyKind::Host {
        return Err(not_a_key(anyhow!("this is a {}: on hosts a host key is installed", key.kind()), &[]));
    }
    if !yes {
        confirm(
            "A host key belongs on activation hosts only, never on client machines. Install it on this cluster? [y/N] ",
        )?;
    }
    let request = InstallKeyRequest { key: key.to_string(), publisher };
    let reply = admin.run(async |mut admin| Ok(admin.install_key(request).await.map_err(refused)?.into_inner()))?;
    output.result(
        &json!({
            "key_id": reply.key_id,
            "group": (!reply.group.is_empty()).then_some(&reply.group),
            "publisher": reply.publisher,
            "publisher_id": reply.publisher_id,
        }),
        format_args!(
            "Key {} of {} is installed on the cluster. Next: quorate key activate",
            reply.key_id, reply.publisher
        ),
    );
    Ok(())
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

/// R30: a host key is not installed by accident, and a place is not given back by accident.
fn confirm(question: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(anyhow!("nobody is there to confirm: give --yes")));
    }
    let mut terminal = io::stderr().lock();
    terminal.write_all(question.as_bytes()).and_then(|()| terminal.flush()).context("cannot ask")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    if answer.trim().eq_ignore_ascii_case("y") {
        Ok(())
    } else {
        Err(anyhow!("not confirmed: nothing was done").into())
    }
}

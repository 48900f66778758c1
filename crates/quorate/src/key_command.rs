//! `quorate key ...`: host keys on the cluster, and the publisher's certificates for them.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use activation::key::TypedKey;
use anyhow::{Context, anyhow};
use api::admin::v1::{
    InstallActivationRequest, InstallKeyRequest, ListKeysReply, ListKeysRequest, RequestActivationRequest,
};
use serde_json::json;

use crate::{
    admin::{AdminArgs, refused},
    output::{Failure, Outcome, Output, table},
};

const ACTIVATE_EXAMPLES: &str = "\
Example:
  quorate key activate --offline request.bin                  one file, for every node that is not activated
  quorate publisher activate --dir P --request request.bin --out answer.bin
  quorate key activate --answer answer.bin";

/// Host keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Install a host key on the cluster. Host keys belong on hosts only.
    Install {
        /// The typed key: five groups of five characters.
        key: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Exchange the installed keys for certificates of the publisher, one for each node.
    #[command(after_help = ACTIVATE_EXAMPLES)]
    Activate(Activate),
    /// The installed keys, and which node is activated by which.
    List {
        #[command(flatten)]
        admin: AdminArgs,
    },
}

/// Arguments of `key activate`.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false, args = ["offline", "answer"])]
pub(crate) struct Activate {
    /// Write what the nodes ask of the publisher into this file.
    #[arg(long, value_name = "REQUEST")]
    offline: Option<PathBuf>,
    /// Install what the publisher answered.
    #[arg(long, value_name = "ANSWER")]
    answer: Option<PathBuf>,
    /// Only this key (its id).
    #[arg(long, value_name = "KEY_ID", requires = "offline", default_value = "", hide_default_value = true)]
    key: String,
    /// Only this node, also when it is activated already.
    #[arg(long, value_name = "NODE", requires = "offline", default_value_t = 0, hide_default_value = true)]
    node: u64,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, output: &Output) -> Outcome {
        match self {
            Self::Install { key, yes, admin } => install(&key, yes, &admin, output)?,
            Self::Activate(activate) => activate.run(output)?,
            Self::List { admin } => {
                let reply = admin.run(async |mut admin| {
                    Ok(admin.list_keys(ListKeysRequest {}).await.map_err(refused)?.into_inner())
                })?;
                output.result(&list_json(&reply), list_text(&reply));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn install(key: &str, yes: bool, admin: &AdminArgs, output: &Output) -> Result<(), Failure> {
    // A typing error is found here, before anything is sent.
    let key: TypedKey = key.parse().map_err(Failure::usage)?;
    if !yes {
        confirm(
            "A host key belongs on activation hosts only, never on client machines. Install it on this cluster? [y/N] ",
        )?;
    }
    let request = InstallKeyRequest { key: key.to_string(), ..InstallKeyRequest::default() };
    let reply = admin.run(async |mut admin| Ok(admin.install_key(request).await.map_err(refused)?.into_inner()))?;
    output.result(
        &json!({ "key_id": reply.key_id }),
        format_args!("Key {} is installed on the cluster. Next: quorate key activate", reply.key_id),
    );
    Ok(())
}

/// R30: a host key is not installed by accident.
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
        Err(anyhow!("not confirmed: nothing was installed").into())
    }
}

impl Activate {
    fn run(self, output: &Output) -> Result<(), Failure> {
        match (&self.offline, &self.answer) {
            (Some(file), _) => self.request(file, output),
            (None, Some(file)) => self.install(file, output),
            (None, None) => Err(Failure::usage(anyhow!("give --offline FILE or --answer FILE"))),
        }
    }

    fn request(&self, file: &Path, output: &Output) -> Result<(), Failure> {
        let request = RequestActivationRequest {
            key_id: self.key.clone(),
            node: self.node,
            ..RequestActivationRequest::default()
        };
        let reply = self
            .admin
            .run(async |mut admin| Ok(admin.request_activation(request).await.map_err(refused)?.into_inner()))?;
        std::fs::write(file, &reply.request).with_context(|| format!("cannot write {}", file.display()))?;
        output.result(
            &json!({ "request": file.display().to_string(), "nodes": reply.nodes }),
            format_args!(
                "{} holds the requests of nodes {:?}. Send it to the publisher, then install the answer with\n  \
                 quorate key activate --answer FILE",
                file.display(),
                reply.nodes
            ),
        );
        Ok(())
    }

    fn install(&self, file: &Path, output: &Output) -> Result<(), Failure> {
        let answer =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display())).map_err(Failure::usage)?;
        let request = InstallActivationRequest { answer: answer.into() };
        let reply = self
            .admin
            .run(async |mut admin| Ok(admin.install_activation(request).await.map_err(refused)?.into_inner()))?;
        output.result(&json!({ "nodes": reply.nodes }), format_args!("Nodes {:?} are activated.", reply.nodes));
        Ok(())
    }
}

fn list_json(reply: &ListKeysReply) -> serde_json::Value {
    let keys = reply.keys.iter().map(|key| {
        let activations = key.activations.iter().map(|activation| {
            json!({
                "node": activation.node,
                "state": activation.state,
                "issued_ms": (activation.issued_ms != 0).then_some(activation.issued_ms),
            })
        });
        json!({
            "key_id": key.key_id,
            "key": key.masked,
            "publisher": (!key.publisher.is_empty()).then_some(&key.publisher),
            "group": (!key.group.is_empty()).then_some(&key.group),
            "activations": activations.collect::<Vec<_>>(),
        })
    });
    json!({ "keys": keys.collect::<Vec<_>>() })
}

fn list_text(reply: &ListKeysReply) -> String {
    if reply.keys.is_empty() {
        return "No host key is installed: quorate key install KEY".into();
    }
    let mut rows = table(["key id", "key", "publisher", "group", "node", "state"]);
    for key in &reply.keys {
        for (index, activation) in key.activations.iter().enumerate() {
            let first = |text: &str| if index == 0 { text.to_owned() } else { String::new() };
            rows.add_row([
                first(&key.key_id),
                first(&key.masked),
                first(&key.publisher),
                first(&key.group),
                activation.node.to_string(),
                activation.state.clone(),
            ]);
        }
    }
    rows.to_string()
}

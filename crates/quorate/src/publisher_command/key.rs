//! `quorate publisher key ...`: host keys issued, and how far they are used.

use publisher::{
    IssueError, IssuedKey, KeyLimits,
    limits::{HOSTS_DEFAULT, REACTIVATIONS_DEFAULT},
};
use serde_json::{Value, json};

use super::{Folder, date, wait_for};
use crate::output::{Failure, Output, table};

const ISSUE_EXAMPLES: &str = "\
Examples:
  quorate publisher key issue --dir P --group server-b                 6 hosts, each of them 9 more times
  quorate publisher key issue --dir P --group client --hosts 12 --json";

/// Host keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Issue a host key for a product group of the catalog. It is shown in full here and nowhere else.
    #[command(after_help = ISSUE_EXAMPLES)]
    Issue {
        #[command(flatten)]
        folder: Folder,
        /// The product group whose products, and those of the groups below it, the key covers.
        #[arg(long)]
        group: String,
        /// Hosts that it activates.
        #[arg(long, default_value_t = HOSTS_DEFAULT)]
        hosts: u32,
        /// More activations of each host.
        #[arg(long, default_value_t = REACTIVATIONS_DEFAULT)]
        reactivations: u32,
    },
    /// The issued keys, and how many of their places are taken.
    List {
        #[command(flatten)]
        folder: Folder,
    },
}

impl Command {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Issue { folder, group, hosts, reactivations } => {
                issue(&folder, &group, KeyLimits { hosts, reactivations }, output)
            }
            Self::List { folder } => list(&folder, output),
        }
    }
}

fn issue(folder: &Folder, group: &str, limits: KeyLimits, output: &Output) -> Result<(), Failure> {
    let publisher = folder.open()?;
    let issued = wait_for(publisher.issue_key(group, limits))?.map_err(|error| match error {
        IssueError::UnknownGroup { .. } | IssueError::Limits => Failure::usage(error),
        _ => error.into(),
    })?;
    let KeyLimits { hosts, reactivations } = issued.limits;
    let key_id = issued.key.key_id();
    output.result(
        &json!({
            "key": issued.key.to_string(),
            "key_id": key_id.to_string(),
            "group": issued.group.as_str(),
            "hosts": hosts,
            "reactivations": reactivations,
        }),
        format_args!(
            "{}\nkey id {key_id}, group {}, for {hosts} hosts and {reactivations} re-activations of each",
            issued.key, issued.group,
        ),
    );
    Ok(())
}

fn list(folder: &Folder, output: &Output) -> Result<(), Failure> {
    let mut keys = folder.open()?.keys()?;
    keys.sort_by_key(|key| (key.issued_ms, key.key.key_id()));
    let mut text = table(["Key id", "Key", "Group", "Hosts", "Re-activations left", "Issued"]);
    for key in &keys {
        let left = key.hosts.iter().map(|host| left(key, host).to_string());
        text.add_row([
            key.key.key_id().to_string(),
            key.key.masked(),
            key.group.to_string(),
            format!("{} of {}", key.hosts.len(), key.limits.hosts),
            left.collect::<Vec<_>>().join(", "),
            date(key.issued_ms),
        ]);
    }
    output.result(&json!({ "keys": keys.iter().map(to_json).collect::<Vec<_>>() }), text);
    Ok(())
}

fn left(key: &IssuedKey, host: &publisher::Host) -> u32 {
    key.limits.reactivations.saturating_sub(host.reactivations)
}

fn to_json(key: &IssuedKey) -> Value {
    let host = |host: &publisher::Host| {
        json!({
            "node": host.node,
            "machine": host.machine.to_string(),
            "reactivations_left": left(key, host),
            "activated_ms": host.activated_ms,
        })
    };
    json!({
        "key_id": key.key.key_id().to_string(),
        "key": key.key.masked(),
        "group": key.group.as_str(),
        "hosts": key.limits.hosts,
        "reactivations": key.limits.reactivations,
        "hosts_used": key.hosts.len(),
        "issued_ms": key.issued_ms,
        "activations": key.hosts.iter().map(host).collect::<Vec<_>>(),
    })
}

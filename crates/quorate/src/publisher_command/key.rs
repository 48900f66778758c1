//! `quorate publisher key ...`: issues host keys, shows their use, and handles the exceptions (R31).

use publisher::{
    HostReport, KeyReport, Operation, Report, RequiredIdentity,
    limits::{HOSTS_DEFAULT, REACTIVATIONS_DEFAULT},
};
use serde_json::json;

use admin::time_text;

use super::{
    folder::{Folder, KeyArgs, blocked_cell},
    operations::unexpected,
};
use crate::output::{Failure, Output, table};

const ISSUE_EXAMPLES: &str = "\
Examples:
  quorate publisher key issue --dir P --group server-b                 6 hosts, 9 reactivations of each
  quorate publisher key issue --dir P --group client --hosts 12 --json
  quorate publisher key issue --dir P --group server-b --identity machine   excludes hosts in containers";

const BLOCK_EXAMPLES: &str = "\
Example:
  quorate publisher key block --dir P 0123456789abcdef

The key activates no more hosts. Hosts that it activated keep working until a catalog that blocks it is installed on
their cluster; every catalog signed after this blocks it (`quorate publisher catalog sign`, with a higher serial).";

const EXTEND_EXAMPLES: &str = "\
Examples:
  quorate publisher key extend --dir P 0123456789abcdef --hosts 8            8 hosts in total
  quorate publisher key extend --dir P 0123456789abcdef --reactivations 12   12 reactivations of each host in total";

const FREE_EXAMPLES: &str = "\
The next catalog that is signed blocks the certificates of the host.

Example, for a lost host, which cannot release its activation slot itself (`quorate key release`):
  quorate publisher key show --dir P 0123456789abcdef                        lists the machines
  quorate publisher key free --dir P 0123456789abcdef --machine 89abcdef01234567";

/// Commands for host keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Issue a host key for a product group of the catalog. Only this command shows the key in full.
    #[command(after_help = ISSUE_EXAMPLES)]
    Issue {
        #[command(flatten)]
        folder: Folder,
        /// The product group whose products, and those of the groups below it, the key covers.
        #[arg(long)]
        group: String,
        /// How many hosts the key activates.
        #[arg(long, default_value_t = HOSTS_DEFAULT)]
        hosts: u32,
        /// How many reactivations each host has.
        #[arg(long, default_value_t = REACTIVATIONS_DEFAULT)]
        reactivations: u32,
        /// `machine`: activate only hosts that are identified by all hardware factors; a host in a container is
        /// refused.
        #[arg(long, value_name = "any|machine", default_value = "any")]
        identity: Identity,
    },
    /// List the issued keys, and how many of their activation slots are taken.
    #[command(after_help = "Example:\n  quorate publisher key list --dir P --json")]
    List {
        #[command(flatten)]
        folder: Folder,
    },
    /// Show one key, and the hosts that it activated.
    #[command(after_help = "Example:\n  quorate publisher key show --dir P 0123456789abcdef")]
    Show(KeyArgs),
    /// Block a key, so that it activates no more hosts.
    #[command(after_help = BLOCK_EXAMPLES)]
    Block(KeyArgs),
    /// Raise the limits of a key. No limit is lowered.
    #[command(after_help = EXTEND_EXAMPLES)]
    Extend {
        #[command(flatten)]
        key: KeyArgs,
        /// How many hosts the key activates, in total.
        #[arg(long, required_unless_present = "reactivations")]
        hosts: Option<u32>,
        /// How many reactivations each host has, in total.
        #[arg(long)]
        reactivations: Option<u32>,
    },
    /// Free the activation slot of a host that no longer exists.
    #[command(after_help = FREE_EXAMPLES)]
    Free {
        #[command(flatten)]
        key: KeyArgs,
        /// Digest of the machine, as `key show` lists it.
        #[arg(long, value_name = "DIGEST")]
        machine: String,
    },
}

/// `--identity` of `key issue`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Identity {
    /// The host chooses how it is identified.
    Any,
    /// The host is identified by all hardware factors of its machine.
    Machine,
}

impl Identity {
    fn required(self) -> RequiredIdentity {
        match self {
            Self::Any => RequiredIdentity::Any,
            Self::Machine => RequiredIdentity::Machine,
        }
    }
}

impl Command {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let report = match self {
            Self::Issue { folder, group, hosts, reactivations, identity } => {
                let identity = identity.required();
                folder.perform(Operation::IssueKey { group, hosts, reactivations, identity })
            }
            Self::List { folder } => folder.perform(Operation::ListKeys),
            Self::Show(KeyArgs { folder, id }) => folder.perform(Operation::ShowKey { id }),
            Self::Block(KeyArgs { folder, id }) => folder.perform(Operation::BlockKey { id }),
            Self::Extend { key: KeyArgs { folder, id }, hosts, reactivations } => {
                folder.perform(Operation::ExtendKey { id, hosts, reactivations })
            }
            Self::Free { key: KeyArgs { folder, id }, machine } => folder.perform(Operation::FreePlace { id, machine }),
        }?;
        match report {
            Report::KeyIssued(key) => issued(&key, output),
            Report::Keys(keys) => output.result(&json!({ "keys": keys }), list(&keys)),
            Report::Key(key) => output.result(&key, show(&key)),
            other => return Err(unexpected(&other)),
        }
        Ok(())
    }
}

fn issued(key: &KeyReport, output: &Output) {
    output.result(
        &json!({
            "key": key.key,
            "key_id": key.key_id,
            "group": key.group,
            "hosts": key.hosts,
            "reactivations": key.reactivations,
            "identity": key.identity,
        }),
        format_args!(
            "{}\nkey id {}, group {}, for {} hosts and {} reactivations of each",
            key.key, key.key_id, key.group, key.hosts, key.reactivations,
        ),
    );
}

fn list(keys: &[KeyReport]) -> comfy_table::Table {
    let mut text = table(["Key id", "Key", "Group", "Hosts", "Reactivations left", "Issued", ""]);
    for key in keys {
        let left: Vec<_> = key.activations.iter().map(|host| host.reactivations_left.to_string()).collect();
        text.add_row([
            key.key_id.clone(),
            key.key.clone(),
            key.group.clone(),
            format!("{} of {}", key.hosts_used, key.hosts),
            left.join(", "),
            time_text::date(key.issued_ms),
            blocked_cell(key.blocked),
        ]);
    }
    text
}

fn show(key: &KeyReport) -> String {
    let mut hosts = table(["Node", "Machine", "Reactivations left", "Latest activation", ""]);
    let mut add = |host: &HostReport, state: &str| {
        hosts.add_row([
            host.node.to_string(),
            host.machine.clone(),
            host.reactivations_left.to_string(),
            time_text::date(host.activated_ms),
            state.to_owned(),
        ]);
    };
    key.activations.iter().for_each(|host| add(host, "holds a slot"));
    key.former.iter().for_each(|host| add(host, "released"));
    format!(
        "Key {} ({}), group {}, issued {}{}\n{} of {} hosts, {} reactivations of each\n{hosts}",
        key.key_id,
        key.key,
        key.group,
        time_text::date(key.issued_ms),
        if key.blocked { ", BLOCKED" } else { "" },
        key.hosts_used,
        key.hosts,
        key.reactivations,
    )
}

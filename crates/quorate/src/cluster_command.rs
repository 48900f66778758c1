//! `quorate cluster ...`

mod audit;
mod backup;
mod format;
mod members;

use std::{process::ExitCode, time::Duration};

use admin::{
    limits::CLOCK_WARNING_MS,
    wire::{TextEnum, node_dns_text, node_role},
};
use api::admin::v1::{
    CertificateRole, ClockRequest, ClusterStatusReply, ClusterStatusRequest, CreateTokenRequest, NodeStatus,
    TransferLeaderRequest, clock_request::Action,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    admin::{AdminArgs, block_on, refused},
    enrolment::Login,
    output::{Failure, Outcome, Output, table},
    since,
};

/// Pause between two looks at a cluster that is not there yet.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// The cluster and its nodes.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Every node: role, readiness, log, activation, DNS, clock; with --json also term, state hash and format.
    Status {
        /// Wait up to this many seconds for the node to answer and to know a leader.
        #[arg(long, value_name = "SECONDS", default_value_t = 0, hide_default_value = true)]
        wait: u64,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Make a node that runs and belongs to no cluster a member: NODE=HOST:PORT of its peer address.
    #[command(after_help = members::ADD_EXAMPLES)]
    Add(members::Add),
    /// Take a node out of the cluster: drained first where it is there.
    #[command(after_help = members::REMOVE_EXAMPLES)]
    Remove(members::Remove),
    /// Give a learner a vote.
    #[command(after_help = members::PROMOTE_EXAMPLES)]
    Promote(members::Promote),
    /// Make another voter the leader.
    Transfer {
        /// Number of the node that is to lead.
        #[arg(long, value_name = "NODE")]
        to: u64,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Write the whole state into a file, while the cluster serves.
    #[command(after_help = backup::EXAMPLES)]
    Backup(backup::Backup),
    /// Begin a cluster of one node from a backup.
    #[command(after_help = backup::RESTORE_EXAMPLES)]
    Restore(backup::Restore),
    /// A token with which a node joins, or a person logs in: once, and for a while.
    #[command(after_help = TOKEN_EXAMPLES)]
    Token {
        /// What its bearer becomes.
        #[arg(long, value_name = "ROLE", value_parser = ["node", "administrator", "operator", "reader"], default_value = "node")]
        role: String,
        /// How long it may be used: a number with s, m, h or d.
        #[arg(long, value_name = "TIME", value_parser = since::seconds, default_value = "1h")]
        valid: u64,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Get a certificate with a token, and save it as a context for --admin.
    Login(Login),
    /// What administrators did: who, what, from where, when.
    #[command(after_help = audit::EXAMPLES)]
    Audit(audit::Audit),
    /// Which format the nodes write; set after an upgrade, and back before a downgrade.
    #[command(after_help = format::EXAMPLES)]
    Format(format::Format),
    /// Cluster time, when the nodes' clocks jumped or ran ahead.
    #[command(subcommand)]
    Clock(Clock),
}

const TOKEN_EXAMPLES: &str = "\
Examples:
  quorate cluster token                                    for a node: quorate host init --join HOST:1690 --token T ...
  quorate cluster token --role reader --valid 10m          for a person: quorate cluster login HOST:1690 --token T

The token holds a secret: whoever has it first becomes what it says. It names the cluster's authority, so that its
bearer knows whom to believe.";

/// What an administrator decides about cluster time.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Clock {
    /// Take the jump that raised the alarm: what is due by the new time expires.
    Accept {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Set cluster time to the median of the nodes' clocks, also backwards.
    Reset {
        #[command(flatten)]
        admin: AdminArgs,
    },
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, output: &Output) -> Outcome {
        match self {
            Self::Status { wait, admin } => {
                let reply = status(&admin, Duration::from_secs(wait))?;
                output.result(&status_json(&reply), status_text(&reply));
            }
            Self::Add(add) => add.run(output)?,
            Self::Remove(remove) => remove.run(output)?,
            Self::Promote(promote) => promote.run(output)?,
            Self::Backup(backup) => backup.run(output)?,
            Self::Restore(restore) => restore.run(output)?,
            Self::Transfer { to, admin } => {
                let reply = admin.run(async |mut admin| {
                    Ok(admin.transfer_leader(TransferLeaderRequest { to }).await.map_err(refused)?.into_inner())
                })?;
                output.result(&json!({ "leader": reply.leader }), format_args!("Node {} leads.", reply.leader));
            }
            Self::Token { role, valid, admin } => {
                let asked = CreateTokenRequest {
                    role: CertificateRole::from_text(&role).into(),
                    role_text: role,
                    valid_s: valid,
                };
                let reply =
                    admin.run(async |mut admin| Ok(admin.create_token(asked).await.map_err(refused)?.into_inner()))?;
                output.result(&json!({ "token": reply.token, "expires_ms": reply.expires_ms }), &reply.token);
            }
            Self::Login(login) => login.run(output)?,
            Self::Audit(audit) => audit.run(output)?,
            Self::Format(format) => format.run(output)?,
            Self::Clock(Clock::Accept { admin }) => set_clock(&admin, Action::Accept, output)?,
            Self::Clock(Clock::Reset { admin }) => set_clock(&admin, Action::Reset, output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The status, asked again until a leader is known or the time is over.
fn status(admin: &AdminArgs, wait: Duration) -> Result<ClusterStatusReply, Failure> {
    block_on(async {
        let deadline = Instant::now() + wait;
        loop {
            let reply = status_once(admin).await;
            let led = reply.as_ref().is_ok_and(|reply| reply.leader != 0);
            if led || Instant::now() >= deadline {
                return reply;
            }
            sleep(LOOK_PAUSE).await;
        }
    })?
}

async fn status_once(admin: &AdminArgs) -> Result<ClusterStatusReply, Failure> {
    let mut admin = admin.connect().await?;
    Ok(admin.cluster_status(ClusterStatusRequest {}).await.map_err(refused)?.into_inner())
}

fn set_clock(admin: &AdminArgs, action: Action, output: &Output) -> Result<(), Failure> {
    let request = ClockRequest { action: action.into() };
    let reply = admin.run(async |mut admin| Ok(admin.clock(request).await.map_err(refused)?.into_inner()))?;
    output.result(
        &json!({ "cluster_time_ms": reply.cluster_time_ms }),
        format_args!("Cluster time is now {} ms after 1970.", reply.cluster_time_ms),
    );
    Ok(())
}

fn status_json(reply: &ClusterStatusReply) -> serde_json::Value {
    let nodes = reply.nodes.iter().map(|node| {
        json!({
            "id": node.node,
            "role": node_role(node).text(),
            "peer_address": node.peer_address,
            "reachable": node.reachable,
            "ready": node.ready,
            "not_ready_because": optional(&node.not_ready_because),
            "applied_index": node.applied_index,
            "last_index": node.last_index,
            "lag": lag(reply, node),
            "state_hash": optional(&node.state_hash),
            "state_hash_index": node.state_hash_index,
            "clock_offset_ms": node.clock_offset_ms,
            "clock_is_off": is_off(node),
            "store_bytes": node.store_bytes,
            "store": node.store,
            "version": optional(&node.version),
            "term": node.reachable.then_some(node.term),
            "activation": node.reachable.then_some(&node.groups),
            "dns": optional(node_dns_text(node)),
            "reads_format": node.newest_format,
            "stored_format": node.stored_format,
        })
    });
    json!({
        "leader": (reply.leader != 0).then_some(reply.leader),
        "term": reply.term,
        "failure_tolerance": reply.failure_tolerance,
        "cluster_time_ms": reply.cluster_time_ms,
        "clock_alarm": optional(&reply.clock_alarm),
        "format": reply.format,
        "nodes": nodes.collect::<Vec<_>>(),
    })
}

fn optional(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn is_off(node: &NodeStatus) -> bool {
    node.reachable && node.clock_offset_ms.unsigned_abs() > CLOCK_WARNING_MS
}

fn clock(node: &NodeStatus) -> String {
    match (node.reachable, is_off(node)) {
        (false, _) => String::new(),
        (true, false) => format!("{:+} ms", node.clock_offset_ms),
        (true, true) => format!("{:+} s: set it", node.clock_offset_ms / 1000),
    }
}

/// Entries that the node has yet to apply, behind the node that is furthest.
fn lag(reply: &ClusterStatusReply, node: &NodeStatus) -> u64 {
    let furthest = reply.nodes.iter().map(|node| node.applied_index).max().unwrap_or(0);
    furthest - node.applied_index
}

fn status_text(reply: &ClusterStatusReply) -> String {
    if reply.nodes.is_empty() {
        return "This node belongs to no cluster yet: start one node of it with `quorate host run --bootstrap`.".into();
    }
    let mut rows = table([
        "node",
        "role",
        "ready",
        "applied",
        "lag",
        "activated for",
        "DNS",
        "clock",
        "version",
        "store",
        "peer address",
    ]);
    for node in &reply.nodes {
        rows.add_row([
            node.node.to_string(),
            node_role(node).text().into(),
            if node.ready { "yes".into() } else { format!("no: {}", node.not_ready_because) },
            node.applied_index.to_string(),
            lag(reply, node).to_string(),
            node.groups.join(", "),
            node_dns_text(node).into(),
            clock(node),
            node.version.clone(),
            if node.reachable { format!("{} KiB", node.store_bytes / 1024) } else { String::new() },
            node.peer_address.clone(),
        ]);
    }
    let leader = if reply.leader == 0 { "no leader is known".into() } else { format!("node {} leads", reply.leader) };
    let alarm = optional(&reply.clock_alarm).map_or(String::new(), |alarm| format!("\nClock alarm: {alarm}"));
    let (term, tolerance, format) = (reply.term, reply.failure_tolerance, reply.format);
    format!("{rows}\nTerm {term}: {leader}; {tolerance} more may fail. Format {format}.{alarm}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_more_than_a_minute_off_is_marked() {
        let node = |clock_offset_ms, reachable| NodeStatus { clock_offset_ms, reachable, ..NodeStatus::default() };
        assert_eq!(clock(&node(-60_000, true)), "-60000 ms");
        assert_eq!(clock(&node(-60_001, true)), "-60 s: set it");
        assert_eq!(clock(&node(3_600_000, true)), "+3600 s: set it");
        assert_eq!(clock(&node(0, false)), "");
        assert!(!is_off(&node(90_000, false)), "nothing is known of it");
    }
}

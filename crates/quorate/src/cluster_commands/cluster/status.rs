//! `quorate cluster status`, and waiting for a status in the other commands of this folder.

use admin::{
    cluster::{Link, RoundTripTime},
    limits::CLOCK_WARNING_MS,
    wire::{TextEnum, election_profile, node_dns_text, node_role, node_state},
};
use std::{process::ExitCode, time::Duration};

use api::admin::v1::{ClusterStatusReply, ClusterStatusRequest, NodeState, NodeStatus};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    administration::{Admin, AdminArgs, block_on, refused},
    output::{CommandResult, Failure, Output, table},
};

/// Pause between two requests for the status.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Arguments of `cluster status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Wait up to this many seconds until the node knows a leader, and every member answers it and has caught up.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, hide_default_value = true)]
    wait: u64,
    #[command(flatten)]
    admin: AdminArgs,
}

impl StatusArgs {
    /// Prints the status. Without a leader it prints what the node knows, and the exit code is 1.
    pub(super) fn run(self, output: &Output) -> CommandResult {
        let reply = wait_until_whole(&self.admin, Duration::from_secs(self.wait))?;
        output.result(&json(&reply), text(&reply));
        Ok(if reply.leader == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Requests the status again until the cluster is whole or `wait` is over.
fn wait_until_whole(admin: &AdminArgs, wait: Duration) -> Result<ClusterStatusReply, Failure> {
    block_on(async {
        let deadline = Instant::now() + wait;
        loop {
            let reply = match admin.connect().await {
                Ok(mut admin) => status(&mut admin).await,
                Err(error) => Err(error.into()),
            };
            if reply.as_ref().is_ok_and(is_whole) || Instant::now() >= deadline {
                return reply;
            }
            sleep(PAUSE).await;
        }
    })?
}

/// Whether a leader is known, and every member is reachable and in the state ok.
fn is_whole(reply: &ClusterStatusReply) -> bool {
    reply.leader != 0 && reply.nodes.iter().all(|node| node.reachable && node_state(node) == NodeState::Ok)
}

/// The status of the cluster, as the node knows it to which the command is connected.
pub(super) async fn status(admin: &mut Admin) -> Result<ClusterStatusReply, Failure> {
    Ok(admin.cluster_status(ClusterStatusRequest {}).await.map_err(refused)?.into_inner())
}

fn json(reply: &ClusterStatusReply) -> serde_json::Value {
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
            "match_index": node.match_index,
            "lag": lag(reply, node),
            "generation": node.reachable.then_some(node.generation),
            "holds_authority": node.holds_authority,
            "state": optional(node_state(node).text()),
            "profile": optional(election_profile(node).text()),
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
        "clock": { "alarm": optional(&reply.clock_alarm), "ahead_ms": reply.clock_ahead_ms },
        "slow_links": slow_links(reply).map(|(link, took)| json!({
            "nodes": link.nodes,
            "round_trip_us": took.took_us,
            "limit_us": took.limit_us,
        })).collect::<Vec<_>>(),
        "format": reply.format,
        "nodes": nodes.collect::<Vec<_>>(),
    })
}

fn slow_links(reply: &ClusterStatusReply) -> impl Iterator<Item = (Link, RoundTripTime)> {
    let links = Link::between(&reply.nodes).into_iter().filter(Link::is_slow);
    links.filter_map(|link| Some((link, link.took?)))
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
        (true, true) => format!("{:+} s: wrong", node.clock_offset_ms / 1000),
    }
}

/// How many entries of the leader's log the node does not have, as the leader knows; `None` where that is not known.
fn lag(reply: &ClusterStatusReply, node: &NodeStatus) -> Option<u64> {
    let leader = reply.nodes.iter().find(|node| node.node == reply.leader)?;
    Some(leader.match_index?.saturating_sub(node.match_index?))
}

fn text(reply: &ClusterStatusReply) -> String {
    if reply.nodes.is_empty() {
        return "This node is not a member of a cluster: form one with `quorate host run --bootstrap` on one node, or \
                add this node with `quorate cluster add`."
            .into();
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
            lag(reply, node).map_or_else(|| "unknown".into(), |lag| lag.to_string()),
            node.groups.join(", "),
            node_dns_text(node).into(),
            clock(node),
            node.version.clone(),
            if node.reachable { format!("{} KiB", node.store_bytes / 1024) } else { String::new() },
            node.peer_address.clone(),
        ]);
    }
    let leader =
        if reply.leader == 0 { "no leader is known".into() } else { format!("node {} is the leader", reply.leader) };
    let alarm = optional(&reply.clock_alarm).map_or(String::new(), |alarm| format!("\nClock alarm: {alarm}"));
    let (term, tolerance, format) = (reply.term, reply.failure_tolerance, reply.format);
    let slow: String = slow_links(reply)
        .map(|(link, _)| format!("\nSlow link: {link}; run `quorate doctor` for the remedy."))
        .collect();
    format!("{rows}\nTerm {term}: {leader}; failures tolerated: {tolerance}. Format {format}.{alarm}{slow}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_whole_with_a_leader_and_every_member_caught_up() {
        let node = |node, reachable, state: NodeState| NodeStatus {
            node,
            reachable,
            state: state.into(),
            ..NodeStatus::default()
        };
        let of = |leader, nodes: [NodeStatus; 2]| ClusterStatusReply {
            leader,
            nodes: nodes.into(),
            ..ClusterStatusReply::default()
        };
        let well = node(1, true, NodeState::Ok);
        assert!(is_whole(&of(1, [well.clone(), node(2, true, NodeState::Ok)])));
        assert!(!is_whole(&of(0, [well.clone(), node(2, true, NodeState::Ok)])), "no leader");
        for other in [
            node(2, false, NodeState::Stopped),
            node(2, false, NodeState::Unreachable),
            node(2, true, NodeState::Lagging),
            node(2, true, NodeState::Diverged),
        ] {
            assert!(!is_whole(&of(1, [well.clone(), other.clone()])), "{other:?}");
        }
    }

    #[test]
    fn a_clock_more_than_a_minute_off_is_marked() {
        let node = |clock_offset_ms, reachable| NodeStatus { clock_offset_ms, reachable, ..NodeStatus::default() };
        assert_eq!(clock(&node(-60_000, true)), "-60000 ms");
        assert_eq!(clock(&node(-60_001, true)), "-60 s: wrong");
        assert_eq!(clock(&node(3_600_000, true)), "+3600 s: wrong");
        assert_eq!(clock(&node(0, false)), "");
        assert!(!is_off(&node(90_000, false)), "nothing is known of it");
    }
}

//! Warnings about slow links, and hand-over by a leader that is too far from a majority.
//!
//! openraft limits an append to the heartbeat interval. A leader whose round trip to a majority is longer may
//! replicate nothing, although its heartbeats still arrive, so the followers elect no other leader. Such a leader
//! therefore transfers leadership to a nearer voter, if there is one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    leader::{handover, membership, round_trips::nearer},
    replica::running::RunningReplica,
};

/// Warns about slow links, and transfers leadership if this node is too far from a majority and another voter is
/// not.
pub(crate) async fn look(replica: &RunningReplica) {
    let metrics = replica.server_metrics();
    let membership = metrics.membership_config.membership();
    let members: BTreeSet<u64> = membership.nodes().map(|(&node, _)| node).collect();
    replica.round_trips.keep(&members);
    let (own, bearable) = (replica.round_trips.medians(), replica.consensus.round_trip_max());
    warn_of_slow(replica, &own, bearable);
    if !metrics.state.is_leader() {
        return;
    }
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    let followers = membership::followers(replica);
    let mut reported = replica.round_trips.reported();
    reported.retain(|node, _| followers.get(node).is_some_and(|follower| follower.answers && !follower.is_leaving));
    let leader = replica.identity.owner;
    if let Some(successor) = nearer(leader, &voters, &own, &reported, bearable)
        && replica.round_trips.handovers.is_due()
    {
        tracing::warn!(
            successor,
            "round trips from this node to the others are too long for a leader: leadership is transferred to a nearer \
             node"
        );
        let _tried_again_later = handover::transfer(replica, successor).await;
    }
}

fn warn_of_slow(replica: &RunningReplica, round_trips: &BTreeMap<u64, Duration>, bearable: Duration) {
    let slow = |(_, took): &(&u64, &Duration)| **took > bearable;
    if !round_trips.iter().any(|link| slow(&link)) || !replica.round_trips.warnings.is_due() {
        return;
    }
    for (&node, took) in round_trips.iter().filter(slow) {
        tracing::error!(
            node,
            round_trip_ms = took.as_millis(),
            bearable_ms = bearable.as_millis(),
            "the link to a node is too slow for this node's election timeouts: run `quorate settings set raft.profile \
             far`; if that fails, set raft.profile = \"far\" in the configuration of every node, and send each SIGHUP"
        );
    }
}

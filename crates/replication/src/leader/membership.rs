//! The leader's changes of the membership: adding and removing members, and keeping enough voters.
//!
//! Administrators decide which nodes are members; the leader derives which of them vote from that and from which of
//! them answer ([`voters::elect`]). It checks every second: a voter that has not answered for
//! [`RaftSettings::promote_after`](crate::RaftSettings) loses its vote to a learner. A voter that announced its
//! stop keeps its vote, because it will return.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use activation::state::State;
use api::peer::v1 as proto;
use futures::future::join_all;
use openraft::{
    ChangeMembers,
    async_runtime::WatchReceiver,
    errors::{ClientWriteError, RaftError},
    metrics::RaftMetrics,
    raft::Precondition,
};
use tokio::time::{Instant, timeout};

use crate::{
    leader::{
        handover,
        profiles::profile_in,
        proposal::{Change, Proposed},
        voters::{self, Seat},
    },
    limits::{
        CATCH_UP_TIMEOUT, LAG_ENTRIES_MAX, LAG_MAX, MEMBERSHIP_STEP_TIMEOUT, NODES_MAX, PEER_CALL_TIMEOUT,
        PRESENT_WITHIN,
    },
    peers::identify,
    raft::types::{Member, TypeConfig},
    replica::running::RunningReplica,
};

/// Checks whether every member answers and, on the leader, decides which members vote.
pub(crate) async fn look(replica: &RunningReplica) {
    observe(replica).await;
    let _turn = replica.presence.turn.lock().await;
    if let Some(seats) = seats(replica) {
        settle(replica, &seats).await;
    }
}

/// Asks every member whether it answers, and measures the round trip.
async fn observe(replica: &RunningReplica) {
    let metrics = replica.server_metrics();
    if metrics.state.is_leader() {
        replica.presence.begin(metrics.vote.leader_id.term);
    }
    let membership = metrics.membership_config.membership();
    let others = membership.nodes().filter(|(node, _)| **node != replica.identity.owner);
    let looks = others.map(|(&node, member)| async move {
        let Ok(mut peer) = replica.peers.client(node, member) else { return };
        let asked = Instant::now();
        let reply = timeout(PEER_CALL_TIMEOUT, peer.clock(proto::ClockRequest {})).await;
        let reply = reply.ok().and_then(Result::ok).map(tonic::Response::into_inner);
        let profile = reply.as_ref().and_then(|reply| profile_in(reply.election_profile()));
        replica.profiles.reports(node, profile);
        if let Some(reply) = reply {
            replica.round_trips.took(node, asked.elapsed());
            replica.round_trips.reports(node, round_trips_in(&reply.round_trips));
            replica.presence.answered(node, reply.leaving);
        }
    });
    join_all(looks).await;
    note_progress(replica);
}

/// Reads at most [`NODES_MAX`] round trips of a message.
fn round_trips_in(round_trips: &[proto::RoundTrip]) -> BTreeMap<u64, Duration> {
    let known = round_trips.iter().take(NODES_MAX);
    known.map(|trip| (trip.node, Duration::from_micros(trip.microseconds))).collect()
}

/// Records which entries every member has.
fn note_progress(replica: &RunningReplica) {
    let metrics = replica.raft().metrics();
    let metrics = metrics.borrow_watched();
    let Some(matched) = &metrics.replication else { return };
    for (&node, matched) in matched {
        let matched = matched.map(|id| id.index);
        replica.presence.has_got(node, matched, metrics.last_log_index.unwrap_or(0));
    }
}

/// Executes an administrator's change on this node, which must lead.
pub(crate) async fn change(replica: &RunningReplica, change: Change) -> Proposed {
    let turn = replica.presence.turn.lock().await;
    observe(replica).await;
    match change {
        Change::Add { node, address } => match add(replica, node, address).await {
            Ok(()) => {
                // A node that lags may take long to catch up: release the lock, so that the other members are
                // checked in the meantime.
                drop(turn);
                take_in(replica, node).await
            }
            Err(proposed) => proposed,
        },
        Change::Remove { node } => remove(replica, node).await,
        Change::Promote { node, instead_of } => promote(replica, node, instead_of).await,
    }
}

/// Adds the node as a learner, to which the leader replicates.
async fn add(replica: &RunningReplica, node: u64, address: String) -> Result<(), Proposed> {
    let refuse = |why: String| Err(Proposed::Refused(why));
    let Some(seats) = seats(replica) else { return Err(Proposed::Retry) };
    let found = match identify::find(&replica.peers, node, &address).await {
        Ok(found) => found,
        Err(error) => return Err(Proposed::refused(error)),
    };
    let written_format = replica.state_machine.view(State::format);
    if found.format < written_format {
        return refuse(format!(
            "the version of node {node} reads formats up to {}, and the cluster writes {written_format}: run a newer \
             version there",
            found.format
        ));
    }
    match replica.member(node) {
        Some(known) if known.store != found.store => {
            return refuse(format!(
                "node {node} is a member with another store: a node that lost its data joins under a new number \
                 (`quorate cluster remove {node}` removes the old one)"
            ));
        }
        None if found.initialised => {
            return refuse(format!(
                "node {node} at {address} belongs to a cluster already: empty its data folder and initialise it again, \
                 under a number that no member has"
            ));
        }
        None if seats.len() >= NODES_MAX => {
            return refuse(format!("the cluster has {NODES_MAX} nodes already: remove one first"));
        }
        _ => {}
    }
    let member = Member { address, store: found.store };
    // If the node is a member already, its address may have changed.
    if replica.member(node).is_some_and(|known| known == member) {
        Ok(())
    } else if replica.member(node).is_some() {
        written(replica.raft().change_membership(ChangeMembers::SetNodes(BTreeMap::from([(node, member)])), true)).await
    } else {
        // Does not wait until the learner has caught up.
        written(replica.raft().add_learner(node, member, false)).await
    }
}

/// Waits, for a bounded time, until a new member has caught up, then decides which members vote. A member that has
/// not caught up in time stays a learner, and the administrator's command retries.
async fn take_in(replica: &RunningReplica, node: u64) -> Proposed {
    let mut metrics = replica.consensus.metrics();
    let caught_up = async {
        while !has_caught_up(&metrics.borrow_watched(), node) {
            metrics.changed().await.ok()?;
        }
        Some(())
    };
    if !matches!(timeout(CATCH_UP_TIMEOUT, caught_up).await, Ok(Some(()))) {
        return Proposed::Retry;
    }
    let _turn = replica.presence.turn.lock().await;
    if replica.member(node).is_none() {
        return Proposed::Refused(format!("node {node} was removed from the cluster before it had caught up"));
    }
    replica.presence.answered(node, false);
    match seats_with(replica, node) {
        Some(seats) => settle(replica, &seats).await,
        None => Proposed::Retry,
    }
}

/// Whether a member lags the leader's log by at most [`LAG_ENTRIES_MAX`] entries, by the leader's metrics.
fn has_caught_up(metrics: &RaftMetrics<TypeConfig>, node: u64) -> bool {
    let matched = metrics.replication.as_ref().and_then(|matched| matched.get(&node).copied().flatten());
    matched.is_some_and(|id| id.index + LAG_ENTRIES_MAX >= metrics.last_log_index.unwrap_or(0))
}

async fn remove(replica: &RunningReplica, node: u64) -> Proposed {
    let Some(mut seats) = seats(replica) else { return Proposed::Retry };
    let Some(removed) = seats.remove(&node) else { return replica.committed() };
    if seats.is_empty() {
        return Proposed::Refused(format!("node {node} is the last member: stop it, and delete its data folder"));
    }
    if removed.leads && seats.values().any(|seat| seat.votes && seat.is_fit) {
        handover::hand_over(replica).await;
        return Proposed::Retry;
    }
    if removed.votes {
        let voters = voters::elect(&seats);
        if !voters::can_agree(&voters, &seats) {
            let gone: Vec<_> =
                seats.iter().filter(|(_, seat)| !seat.is_fit).map(|(node, _)| node.to_string()).collect();
            return Proposed::Refused(format!(
                "without node {node} there would be no majority: node {} does not answer. Start it, or remove it first",
                gone.join(", ")
            ));
        }
        if let Err(proposed) = written(replica.raft().change_membership(voters, true)).await {
            return proposed;
        }
        if removed.leads {
            // The next leader removes this node: a leader that removes itself may never learn that its removal is
            // committed.
            return Proposed::Retry;
        }
    }
    let out = ChangeMembers::RemoveNodes(BTreeSet::from([node]));
    match written(replica.raft().change_membership(out, true)).await {
        Ok(()) => {
            tracing::info!(node, "the node was removed from the membership");
            replica.committed()
        }
        Err(proposed) => proposed,
    }
}

async fn promote(replica: &RunningReplica, node: u64, instead_of: Option<u64>) -> Proposed {
    let Some(mut seats) = seats(replica) else { return Proposed::Retry };
    let refuse = |why: String| Proposed::Refused(why);
    match seats.get(&node) {
        None => return refuse(format!("node {node} is not a member: add it with `quorate cluster add`")),
        Some(seat) if seat.votes => return replica.committed(),
        Some(seat) if !seat.is_fit => {
            return refuse(format!("node {node} does not answer, or has not caught up: wait until it has"));
        }
        Some(_) => {}
    }
    let before = voters::elect(&seats);
    if !before.contains(&node) {
        let Some(out) = instead_of else {
            return refuse(format!(
                "{} of {} nodes are voters, and one more would tolerate no more failures: name the voter that it \
                 replaces, with --instead-of",
                before.len(),
                seats.len()
            ));
        };
        match seats.get_mut(&out) {
            Some(seat) if seat.leads => {
                return refuse(format!(
                    "node {out} is the leader: run `quorate cluster transfer` to another node first"
                ));
            }
            Some(seat) if seat.votes => *seat = Seat { votes: false, is_fit: false, ..*seat },
            _ => return refuse(format!("node {out} is not a voter")),
        }
    }
    settle(replica, &seats).await
}

/// Changes the voters to the elected set, if they differ from it.
async fn settle(replica: &RunningReplica, seats: &BTreeMap<u64, Seat>) -> Proposed {
    let metrics = replica.server_metrics();
    let stored = &metrics.membership_config;
    let voters = voters::elect(seats);
    // A change whose leader was lost half way leaves a joint configuration of two sets.
    let stands = matches!(stored.membership().get_joint_config().as_slice(), [only] if *only == voters);
    if stands {
        return replica.committed();
    }
    if !voters::can_agree(&voters, seats) {
        return Proposed::Refused(format!("nodes {voters:?} would be the voters, and too few of them answer"));
    }
    let unless_changed = Precondition::LastMembershipLogId { last_membership_log_id: *stored.log_id() };
    match written(replica.raft().change_membership_if(voters.clone(), true, [unless_changed])).await {
        Ok(()) => {
            tracing::info!(?voters, "the voters changed");
            replica.committed()
        }
        Err(proposed) => proposed,
    }
}

/// Waits for a change of the membership, for a bounded time: with a leader that has no majority, the change and the
/// periodic check of the members would wait until another node leads.
async fn written<T>(
    change: impl Future<Output = Result<T, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>>,
) -> Result<(), Proposed> {
    match timeout(MEMBERSHIP_STEP_TIMEOUT, change).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error)))) => {
            // Another change is in progress, or the node is not a learner yet: retried.
            tracing::debug!(%error, "the membership was not changed");
            Err(Proposed::Retry)
        }
        // Retried too: a change that is in force already is not made again.
        Ok(Err(_)) | Err(_) => Err(Proposed::Retry),
    }
}

/// Another member, as the leader observes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Index of the last entry that the member is known to have, together with all entries before it; `None` while
    /// unknown.
    pub match_index: Option<u64>,
    /// Number of entries that the member does not have, as far as the leader knows.
    pub lag: u64,
    /// Whether the member lacks more than [`LAG_ENTRIES_MAX`] entries, or one entry for longer than
    /// [`LAG_MAX`](crate::limits::LAG_MAX).
    pub lags: bool,
    /// Whether the member announced that it stops and will return.
    pub is_leaving: bool,
    /// Whether the member answered within [`PRESENT_WITHIN`](crate::limits::PRESENT_WITHIN).
    pub answers: bool,
    /// Whether the member votes.
    pub votes: bool,
}

/// Every other member; empty if this node does not lead.
pub(crate) fn followers(replica: &RunningReplica) -> BTreeMap<u64, Follower> {
    let metrics = replica.raft().metrics();
    let metrics = metrics.borrow_watched();
    if !metrics.state.is_leader() {
        return BTreeMap::new();
    }
    let membership = metrics.membership_config.membership();
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    let last = metrics.last_log_index.unwrap_or(0);
    let follower = |node: u64| {
        let matched = metrics.replication.as_ref().and_then(|matched| matched.get(&node).copied().flatten());
        let match_index = matched.map(|id| id.index);
        let lag = last - match_index.unwrap_or(0).min(last);
        Follower {
            match_index,
            lag,
            lags: lag > LAG_ENTRIES_MAX || replica.presence.lacks_for(node, match_index) > LAG_MAX,
            is_leaving: replica.presence.has_left(node),
            answers: replica.presence.has_answered(node) && replica.presence.silent_for(node) < PRESENT_WITHIN,
            votes: voters.contains(&node),
        }
    };
    let others = membership.nodes().map(|(&node, _)| node).filter(|node| *node != replica.identity.owner);
    others.map(|node| (node, follower(node))).collect()
}

/// Every member; `None` if this node does not lead.
fn seats(replica: &RunningReplica) -> Option<BTreeMap<u64, Seat>> {
    let metrics = replica.raft().metrics();
    let metrics = metrics.borrow_watched();
    if !metrics.state.is_leader() {
        return None;
    }
    let membership = metrics.membership_config.membership();
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    let last = metrics.last_log_index.unwrap_or(0);
    let has_all = |node: u64| {
        let matched = metrics.replication.as_ref().and_then(|matched| matched.get(&node).copied().flatten());
        matched.is_some_and(|id| id.index + LAG_ENTRIES_MAX >= last)
    };
    let seat = |node: u64| {
        let presence = &replica.presence;
        let (votes, leads) = (voters.contains(&node), node == replica.identity.owner);
        let is_fit = match votes {
            _ if leads => true,
            true => presence.has_left(node) || presence.silent_for(node) < replica.promote_after,
            false => presence.has_answered(node) && presence.silent_for(node) < PRESENT_WITHIN && has_all(node),
        };
        Seat { votes, leads, is_fit }
    };
    Some(membership.nodes().map(|(&node, _)| (node, seat(node))).collect())
}

/// Every member, with `added` counted as caught up, which the metrics may not report yet; `None` if this node does
/// not lead.
fn seats_with(replica: &RunningReplica, added: u64) -> Option<BTreeMap<u64, Seat>> {
    let mut seats = seats(replica)?;
    seats.entry(added).or_default().is_fit = true;
    Some(seats)
}

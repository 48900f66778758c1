//! Growing, shrinking, and keeping enough voters: what a leader does to the membership.
//!
//! Administrators say who belongs to the cluster; who votes follows from that and from who is there ([`voters::elect`]).
//! The leader looks every second: a voter that is gone for [`RaftSettings::promote_after`](crate::RaftSettings) gives
//! its vote to a learner. One that said it is leaving keeps it, for it comes back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use activation::state::{Format, State};
use api::peer::v1 as proto;
use futures::future::join_all;
use openraft::{
    ChangeMembers,
    async_runtime::WatchReceiver,
    errors::{ClientWriteError, RaftError},
    raft::Precondition,
};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::{
    format,
    limits::{LAG_ENTRIES_MAX, NODES_MAX, PEER_CALL_TIMEOUT, PRESENT_WITHIN},
    member::{Inner, Proposed},
    replica::Follower,
    types::{Member, TypeConfig},
    voters::{self, Seat},
    wire,
};

/// What an administrator wants of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Add { node: u64, address: String },
    Remove { node: u64 },
    Promote { node: u64, instead_of: Option<u64> },
}

/// Who was heard of, and when: the leader's own observation, begun anew with every leadership.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    seen: Mutex<Seen>,
    /// One change at a time.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Seen {
    term: Option<u64>,
    since: Option<Instant>,
    answered: BTreeMap<u64, Instant>,
    leaving: BTreeSet<u64>,
}

impl Presence {
    /// `node` is about to stop, and comes back.
    pub(crate) fn is_leaving(&self, node: u64) {
        self.seen().leaving.insert(node);
    }

    fn begin(&self, term: u64) {
        let mut seen = self.seen();
        if seen.term != Some(term) {
            (seen.term, seen.since) = (Some(term), Some(Instant::now()));
            seen.answered.clear();
        }
    }

    fn answered(&self, node: u64, leaving: bool) {
        let mut seen = self.seen();
        seen.answered.insert(node, Instant::now());
        if leaving {
            seen.leaving.insert(node)
        } else {
            seen.leaving.remove(&node)
        };
    }

    /// For how long `node` has not answered; since this node leads, where it never did.
    fn silent_for(&self, node: u64) -> Duration {
        let seen = self.seen();
        let last = seen.answered.get(&node).copied().or(seen.since);
        last.map_or(Duration::ZERO, |last| last.elapsed())
    }

    fn has_answered(&self, node: u64) -> bool {
        self.seen().answered.contains_key(&node)
    }

    fn has_left(&self, node: u64) -> bool {
        self.seen().leaving.contains(&node)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at every member and settles who votes. Does nothing on a node that does not lead.
pub(crate) async fn look(inner: &Inner) {
    observe(inner).await;
    let _turn = inner.presence.turn.lock().await;
    if let Some(seats) = seats(inner) {
        settle(inner, &seats).await;
    }
}

/// Asks every member whether it is there.
async fn observe(inner: &Inner) {
    let metrics = inner.server_metrics();
    if !metrics.state.is_leader() {
        return;
    }
    inner.presence.begin(metrics.vote.leader_id.term);
    let membership = metrics.membership_config.membership();
    let others = membership.nodes().filter(|(node, _)| **node != inner.identity.owner);
    let looks = others.map(|(&node, member)| async move {
        let Ok(mut peer) = inner.peers.client(node, member) else { return };
        if let Ok(Ok(reply)) = timeout(PEER_CALL_TIMEOUT, peer.clock(proto::ClockRequest {})).await {
            inner.presence.answered(node, reply.into_inner().leaving);
        }
    });
    join_all(looks).await;
}

/// Carries an administrator's change out on this node, which must lead.
pub(crate) async fn change(inner: &Inner, change: Change) -> Proposed {
    let _turn = inner.presence.turn.lock().await;
    observe(inner).await;
    match change {
        Change::Add { node, address } => add(inner, node, address).await,
        Change::Remove { node } => remove(inner, node).await,
        Change::Promote { node, instead_of } => promote(inner, node, instead_of).await,
    }
}

async fn add(inner: &Inner, node: u64, address: String) -> Proposed {
    let Some(seats) = seats(inner) else { return Proposed::Retry };
    let found = match identify(inner, node, &address).await {
        Ok(found) => found,
        Err(why) => return Proposed::Refused(why),
    };
    let written_format = inner.machine.view(State::format);
    if found.format < written_format {
        return Proposed::Refused(format!(
            "the version of node {node} reads formats up to {}, and the cluster writes {written_format}: run a newer \
             version there",
            found.format
        ));
    }
    match inner.member(node) {
        Some(known) if known.store != found.store => {
            return Proposed::Refused(format!(
                "node {node} is a member with another store: a node that lost its data joins under a new number \
                 (`cluster remove {node}` takes the old one out)"
            ));
        }
        None if found.initialised => {
            return Proposed::Refused(format!(
                "node {node} at {address} belongs to a cluster already: empty its data folder and initialise it anew, \
                 under a number that no member has"
            ));
        }
        None if seats.len() >= NODES_MAX => {
            return Proposed::Refused(format!("the cluster has {NODES_MAX} nodes already: remove one first"));
        }
        _ => {}
    }
    let member = Member { address, store: found.store };
    // Again where it is a member already: it may have moved to another address.
    let added = if inner.member(node).is_some_and(|known| known == member) {
        Ok(())
    } else if inner.member(node).is_some() {
        written(inner.raft.change_membership(ChangeMembers::SetNodes(BTreeMap::from([(node, member)])), true).await)
    } else {
        // Returns when it has caught up.
        written(inner.raft.add_learner(node, member, true).await)
    };
    if let Err(proposed) = added {
        return proposed;
    }
    inner.presence.answered(node, false);
    match seats_with(inner, node) {
        Some(seats) => settle(inner, &seats).await,
        None => Proposed::Retry,
    }
}

async fn remove(inner: &Inner, node: u64) -> Proposed {
    let Some(mut seats) = seats(inner) else { return Proposed::Retry };
    let Some(removed) = seats.remove(&node) else { return committed(inner) };
    if seats.is_empty() {
        return Proposed::Refused(format!("node {node} is the last one: stop it, and delete its data folder"));
    }
    if removed.leads && seats.values().any(|seat| seat.votes && seat.is_fit) {
        crate::leading::hand_over(inner).await;
        return Proposed::Retry;
    }
    if removed.votes {
        let voters = voters::elect(&seats);
        if !voters::can_agree(&voters, &seats) {
            let gone: Vec<_> =
                seats.iter().filter(|(_, seat)| !seat.is_fit).map(|(node, _)| node.to_string()).collect();
            return Proposed::Refused(format!(
                "without node {node} the others could agree on nothing: node {} does not answer. Bring it back, or \
                 remove it first",
                gone.join(", ")
            ));
        }
        if let Err(proposed) = written(inner.raft.change_membership(voters, true).await) {
            return proposed;
        }
        if removed.leads {
            // Whoever leads now takes it out: a leader that takes itself out may never hear that it is out.
            return Proposed::Retry;
        }
    }
    let out = ChangeMembers::RemoveNodes(BTreeSet::from([node]));
    match written(inner.raft.change_membership(out, true).await) {
        Ok(()) => {
            tracing::info!(node, "the node is no member any more");
            committed(inner)
        }
        Err(proposed) => proposed,
    }
}

async fn promote(inner: &Inner, node: u64, instead_of: Option<u64>) -> Proposed {
    let Some(mut seats) = seats(inner) else { return Proposed::Retry };
    let refuse = |why: String| Proposed::Refused(why);
    match seats.get(&node) {
        None => return refuse(format!("node {node} is no member: `quorate cluster add` makes it one")),
        Some(seat) if seat.votes => return committed(inner),
        Some(seat) if !seat.is_fit => {
            return refuse(format!("node {node} does not answer, or has not caught up: wait until it has"));
        }
        Some(_) => {}
    }
    let before = voters::elect(&seats);
    if !before.contains(&node) {
        let Some(out) = instead_of else {
            return refuse(format!(
                "{} of {} nodes vote, one more would bear no more losses: say whose vote it takes, with --instead-of",
                before.len(),
                seats.len()
            ));
        };
        match seats.get_mut(&out) {
            Some(seat) if seat.leads => {
                return refuse(format!("node {out} leads: `quorate cluster transfer` to another one first"));
            }
            Some(seat) if seat.votes => *seat = Seat { votes: false, is_fit: false, ..*seat },
            _ => return refuse(format!("node {out} does not vote")),
        }
    }
    settle(inner, &seats).await
}

/// Makes those vote who are to, where they do not.
async fn settle(inner: &Inner, seats: &BTreeMap<u64, Seat>) -> Proposed {
    let metrics = inner.server_metrics();
    let stored = &metrics.membership_config;
    let voters = voters::elect(seats);
    // A change whose leader was lost half way leaves two sets.
    let stands = matches!(stored.membership().get_joint_config().as_slice(), [only] if *only == voters);
    if stands {
        return committed(inner);
    }
    if !voters::can_agree(&voters, seats) {
        return Proposed::Refused(format!("nodes {voters:?} are to vote, and too few of them answer"));
    }
    let unless_changed = Precondition::LastMembershipLogId { last_membership_log_id: *stored.log_id() };
    match written(inner.raft.change_membership_if(voters.clone(), true, [unless_changed]).await) {
        Ok(()) => {
            tracing::info!(?voters, "these nodes vote now");
            committed(inner)
        }
        Err(proposed) => proposed,
    }
}

pub(crate) fn committed(inner: &Inner) -> Proposed {
    Proposed::Committed { log_index: inner.machine.last().map_or(0, |id| id.index) }
}

fn written<T>(result: Result<T, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>) -> Result<(), Proposed> {
    match result {
        Ok(_) => Ok(()),
        Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => {
            // A change that is under way, or a node that is not yet a learner: asked again.
            tracing::debug!(%error, "the membership was not changed");
            Err(Proposed::Retry)
        }
        Err(_) => Err(Proposed::Retry),
    }
}

/// Every other member; nothing where this node does not lead.
pub(crate) fn followers(inner: &Inner) -> BTreeMap<u64, Follower> {
    let metrics = inner.raft.metrics();
    let metrics = metrics.borrow_watched();
    if !metrics.state.is_leader() {
        return BTreeMap::new();
    }
    let membership = metrics.membership_config.membership();
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    let last = metrics.last_log_index.unwrap_or(0);
    let follower = |node: u64| {
        let matched = metrics.replication.as_ref().and_then(|matched| matched.get(&node).copied().flatten());
        Follower {
            lag: last - matched.map_or(0, |id| id.index).min(last),
            answers: inner.presence.has_answered(node) && inner.presence.silent_for(node) < PRESENT_WITHIN,
            votes: voters.contains(&node),
        }
    };
    let others = membership.nodes().map(|(&node, _)| node).filter(|node| *node != inner.identity.owner);
    others.map(|node| (node, follower(node))).collect()
}

/// Every member; nothing where this node does not lead.
fn seats(inner: &Inner) -> Option<BTreeMap<u64, Seat>> {
    let metrics = inner.raft.metrics();
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
        let presence = &inner.presence;
        let (votes, leads) = (voters.contains(&node), node == inner.identity.owner);
        let is_fit = match votes {
            _ if leads => true,
            true => presence.has_left(node) || presence.silent_for(node) < inner.promote_after,
            false => presence.has_answered(node) && presence.silent_for(node) < PRESENT_WITHIN && has_all(node),
        };
        Seat { votes, leads, is_fit }
    };
    Some(membership.nodes().map(|(&node, _)| (node, seat(node))).collect())
}

/// The same; `added` has caught up, which the metrics may not say yet.
fn seats_with(inner: &Inner, added: u64) -> Option<BTreeMap<u64, Seat>> {
    let mut seats = seats(inner)?;
    seats.entry(added).or_default().is_fit = true;
    Some(seats)
}

pub(crate) struct Found {
    pub(crate) store: Uuid,
    pub(crate) format: Format,
    initialised: bool,
}

/// Who is at `address`: it must be `node`.
pub(crate) async fn identify(inner: &Inner, node: u64, address: &str) -> Result<Found, String> {
    let fix = format!("start node {node} (`quorate host run`), and see that its peer address can be reached from here");
    let mut peer = inner.peers.stranger(address).map_err(|error| format!("{address}: {error}"))?;
    let reply = match timeout(PEER_CALL_TIMEOUT, peer.identify(proto::IdentifyRequest {})).await {
        Ok(Ok(reply)) => reply.into_inner(),
        Ok(Err(status)) => return Err(format!("nobody answers at {address} ({}): {fix}", status.message())),
        Err(_) => return Err(format!("nobody answers at {address}: {fix}")),
    };
    if reply.node != node {
        return Err(format!("at {address} there is node {}, not node {node}", reply.node));
    }
    let store = wire::store_in(&reply.store).map_err(|error| error.to_string())?;
    Ok(Found { store, format: format::read_by(&reply), initialised: reply.initialised })
}

//! How long a round trip to each other member takes, which of them are too slow, and whether another node could lead better.
//!
//! openraft bounds an append by the heartbeat interval. A leader from which a majority is further away than that replicates
//! nothing, and its heartbeats arrive all the same: the others elect no other one. So it hands over, where one is nearer.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    leader::{handover, membership},
    limits::{ROUND_TRIPS_KEPT, ROUND_TRIPS_MIN},
    replica::running::RunningReplica,
    warnings::Warnings,
};

/// The round trips of this node, and what the others report of theirs.
#[derive(Debug, Default)]
pub(crate) struct Links {
    seen: Mutex<Seen>,
    warnings: Warnings,
    handovers: Warnings,
}

#[derive(Debug, Default)]
struct Seen {
    own: BTreeMap<u64, VecDeque<Duration>>,
    reported: BTreeMap<u64, BTreeMap<u64, Duration>>,
}

impl Links {
    /// Notes that a round trip to `node` took so long.
    pub(crate) fn took(&self, node: u64, round_trip: Duration) {
        let mut seen = self.seen();
        let kept = seen.own.entry(node).or_default();
        if kept.len() >= ROUND_TRIPS_KEPT {
            kept.pop_front();
        }
        kept.push_back(round_trip);
    }

    /// Notes what `node` says of its own round trips.
    pub(crate) fn reports(&self, node: u64, round_trips: BTreeMap<u64, Duration>) {
        self.seen().reported.insert(node, round_trips);
    }

    /// Forgets all but these members.
    pub(crate) fn keep(&self, members: &BTreeSet<u64>) {
        let mut seen = self.seen();
        seen.own.retain(|node, _| members.contains(node));
        seen.reported.retain(|node, _| members.contains(node));
    }

    /// The median of the last round trips to each other member, where enough are known.
    pub(crate) fn round_trips(&self) -> BTreeMap<u64, Duration> {
        let seen = self.seen();
        let known = seen.own.iter().filter(|(_, kept)| kept.len() >= ROUND_TRIPS_MIN);
        known.filter_map(|(&node, kept)| Some((node, median(kept)?))).collect()
    }

    fn reported(&self) -> BTreeMap<u64, BTreeMap<u64, Duration>> {
        self.seen().reported.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Single insertions: it is whole after a panic.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn median(kept: &VecDeque<Duration>) -> Option<Duration> {
    let mut sorted: Vec<_> = kept.iter().copied().collect();
    sorted.sort_unstable();
    // Of two the faster one: the first call makes the connection.
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

/// How long `node` waits for a majority of `voters`, itself among them; nothing where too few round trips are known.
fn majority_wait(node: u64, voters: &BTreeSet<u64>, round_trips: &BTreeMap<u64, Duration>) -> Option<Duration> {
    let mut others: Vec<_> =
        voters.iter().filter(|voter| **voter != node).filter_map(|voter| round_trips.get(voter).copied()).collect();
    others.sort_unstable();
    match voters.len() / 2 {
        0 => Some(Duration::ZERO),
        needed => others.get(needed - 1).copied(),
    }
}

/// The voter that is to lead in place of `leader`, which waits for a majority longer than `bearable`: one that waits no longer
/// than that, and at most half as long.
fn nearer(
    leader: u64,
    voters: &BTreeSet<u64>,
    own: &BTreeMap<u64, Duration>,
    reported: &BTreeMap<u64, BTreeMap<u64, Duration>>,
    bearable: Duration,
) -> Option<u64> {
    let waits = majority_wait(leader, voters, own).filter(|waits| *waits > bearable)?;
    let others = voters.iter().filter(|voter| **voter != leader).filter_map(|&voter| {
        let would_wait = majority_wait(voter, voters, reported.get(&voter)?)?;
        (would_wait <= bearable && would_wait * 2 <= waits).then_some((would_wait, voter))
    });
    others.min().map(|(_, voter)| voter)
}

/// Says which links are too slow, and hands leadership over where this node is too far from a majority and another is not.
pub(crate) async fn look(replica: &RunningReplica) {
    let metrics = replica.server_metrics();
    let membership = metrics.membership_config.membership();
    let members: BTreeSet<u64> = membership.nodes().map(|(&node, _)| node).collect();
    replica.links.keep(&members);
    let (own, bearable) = (replica.links.round_trips(), replica.round_trip_max);
    warn_of_slow(replica, &own);
    if !metrics.state.is_leader() {
        return;
    }
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    let followers = membership::followers(replica);
    let mut reported = replica.links.reported();
    reported.retain(|node, _| followers.get(node).is_some_and(|follower| follower.answers && !follower.is_leaving));
    let leader = replica.identity.owner;
    if let Some(successor) = nearer(leader, &voters, &own, &reported, bearable)
        && replica.links.handovers.is_due()
    {
        tracing::warn!(successor, "this node is too far from the others to lead: a nearer one is to");
        let _tried_again_later = handover::transfer(replica, successor).await;
    }
}

fn warn_of_slow(replica: &RunningReplica, round_trips: &BTreeMap<u64, Duration>) {
    let slow = |(_, took): &(&u64, &Duration)| **took > replica.round_trip_max;
    if !round_trips.iter().any(|link| slow(&link)) || !replica.links.warnings.is_due() {
        return;
    }
    for (&node, took) in round_trips.iter().filter(slow) {
        tracing::error!(
            node,
            round_trip_ms = took.as_millis(),
            bearable_ms = replica.round_trip_max.as_millis(),
            "the link to a node is too slow for this node's elections: set raft.profile = \"far\" in the configuration of every \
             node, and restart one after the other"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn round_trips<const N: usize>(known: [(u64, u64); N]) -> BTreeMap<u64, Duration> {
        known.into_iter().map(|(node, took)| (node, ms(took))).collect()
    }

    #[test]
    fn a_link_takes_the_median_of_its_last_round_trips_and_nothing_of_too_few() {
        let links = Links::default();
        links.took(2, ms(900));
        assert_eq!(links.round_trips(), BTreeMap::new());
        links.took(2, ms(3));
        assert_eq!(links.round_trips(), round_trips([(2, 3)]));
        for took in [4, 5, 2] {
            links.took(2, ms(took));
        }
        assert_eq!(links.round_trips(), round_trips([(2, 4)]));
        for _ in 0..ROUND_TRIPS_KEPT {
            links.took(2, ms(120));
        }
        assert_eq!(links.round_trips(), round_trips([(2, 120)]));
        links.keep(&BTreeSet::from([1, 3]));
        assert_eq!(links.round_trips(), BTreeMap::new());
    }

    #[test]
    fn a_majority_is_there_when_its_slowest_needed_voter_is() {
        let voters = BTreeSet::from([1, 2, 3, 4, 5]);
        let known = round_trips([(2, 10), (3, 20), (4, 200), (5, 300)]);
        assert_eq!(majority_wait(1, &voters, &known), Some(ms(20)));
        assert_eq!(majority_wait(1, &voters, &round_trips([(2, 10)])), None, "one of two is not known");
        assert_eq!(majority_wait(1, &BTreeSet::from([1]), &BTreeMap::new()), Some(Duration::ZERO));
    }

    #[test]
    fn a_far_leader_gives_way_to_a_near_one_and_to_no_other() {
        let voters = BTreeSet::from([1, 2, 3]);
        let far = round_trips([(1, 120), (2, 130)]);
        let near = BTreeMap::from([(1, round_trips([(2, 1), (3, 120)])), (2, round_trips([(1, 2), (3, 130)]))]);
        assert_eq!(nearer(3, &voters, &far, &near, ms(75)), Some(1));
        // A majority is near, all are as far, or the others say nothing.
        assert_eq!(nearer(3, &voters, &round_trips([(1, 1), (2, 130)]), &near, ms(75)), None);
        let all_far = BTreeMap::from([(1, round_trips([(2, 120), (3, 120)]))]);
        assert_eq!(nearer(3, &voters, &far, &all_far, ms(75)), None);
        assert_eq!(nearer(3, &voters, &far, &BTreeMap::new(), ms(75)), None);
    }
}

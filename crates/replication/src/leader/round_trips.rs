//! Round-trip times to the other members, and the choice of a leader that is near enough to a majority.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    limits::{ROUND_TRIPS_KEPT, ROUND_TRIPS_MIN},
    warnings::Warnings,
};

/// The round-trip times of this node, and those that the other members report.
#[derive(Debug, Default)]
pub(crate) struct RoundTrips {
    seen: Mutex<Seen>,
    /// Limits the warnings about slow links.
    pub(crate) warnings: Warnings,
    /// Limits the attempts to hand leadership over because of slow links.
    pub(crate) handovers: Warnings,
}

#[derive(Debug, Default)]
struct Seen {
    own: BTreeMap<u64, VecDeque<Duration>>,
    reported: BTreeMap<u64, BTreeMap<u64, Duration>>,
}

impl RoundTrips {
    /// Records one round trip to `node`.
    pub(crate) fn took(&self, node: u64, round_trip: Duration) {
        let mut seen = self.seen();
        let kept = seen.own.entry(node).or_default();
        if kept.len() >= ROUND_TRIPS_KEPT {
            kept.pop_front();
        }
        kept.push_back(round_trip);
    }

    /// Records the round-trip times that `node` reports.
    pub(crate) fn reports(&self, node: u64, round_trips: BTreeMap<u64, Duration>) {
        self.seen().reported.insert(node, round_trips);
    }

    /// Removes the records of all nodes but these members.
    pub(crate) fn keep(&self, members: &BTreeSet<u64>) {
        let mut seen = self.seen();
        seen.own.retain(|node, _| members.contains(node));
        seen.reported.retain(|node, _| members.contains(node));
    }

    /// The median of the last round trips to each other member, for members with at least [`ROUND_TRIPS_MIN`] of
    /// them.
    pub(crate) fn medians(&self) -> BTreeMap<u64, Duration> {
        let seen = self.seen();
        let known = seen.own.iter().filter(|(_, kept)| kept.len() >= ROUND_TRIPS_MIN);
        known.filter_map(|(&node, kept)| Some((node, median(kept)?))).collect()
    }

    /// The round-trip times that each other member reported last.
    pub(crate) fn reported(&self) -> BTreeMap<u64, BTreeMap<u64, Duration>> {
        self.seen().reported.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Changed by single insertions: it is consistent after a panic.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn median(kept: &VecDeque<Duration>) -> Option<Duration> {
    let mut sorted: Vec<_> = kept.iter().copied().collect();
    sorted.sort_unstable();
    // Of two values the smaller one: the first call includes opening the connection.
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

/// How long `node` waits for replies from a majority of `voters`, itself included; `None` if too few round trips
/// are recorded.
fn majority_wait(node: u64, voters: &BTreeSet<u64>, round_trips: &BTreeMap<u64, Duration>) -> Option<Duration> {
    let mut others: Vec<_> =
        voters.iter().filter(|voter| **voter != node).filter_map(|voter| round_trips.get(voter).copied()).collect();
    others.sort_unstable();
    match voters.len() / 2 {
        0 => Some(Duration::ZERO),
        needed => others.get(needed - 1).copied(),
    }
}

/// The voter that should lead instead of `leader`, if `leader` waits longer than `bearable` for a majority: a voter
/// whose wait is at most `bearable`, and at most half of the leader's.
pub(crate) fn nearer(
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
    fn the_delay_of_a_link_is_the_median_of_its_last_round_trips_if_there_are_enough() {
        let links = RoundTrips::default();
        links.took(2, ms(900));
        assert_eq!(links.medians(), BTreeMap::new());
        links.took(2, ms(3));
        assert_eq!(links.medians(), round_trips([(2, 3)]));
        for took in [4, 5, 2] {
            links.took(2, ms(took));
        }
        assert_eq!(links.medians(), round_trips([(2, 4)]));
        for _ in 0..ROUND_TRIPS_KEPT {
            links.took(2, ms(120));
        }
        assert_eq!(links.medians(), round_trips([(2, 120)]));
        links.keep(&BTreeSet::from([1, 3]));
        assert_eq!(links.medians(), BTreeMap::new());
    }

    #[test]
    fn a_majority_is_as_near_as_its_slowest_required_voter() {
        let voters = BTreeSet::from([1, 2, 3, 4, 5]);
        let known = round_trips([(2, 10), (3, 20), (4, 200), (5, 300)]);
        assert_eq!(majority_wait(1, &voters, &known), Some(ms(20)));
        assert_eq!(majority_wait(1, &voters, &round_trips([(2, 10)])), None, "one of two is not known");
        assert_eq!(majority_wait(1, &BTreeSet::from([1]), &BTreeMap::new()), Some(Duration::ZERO));
    }

    #[test]
    fn a_far_leader_transfers_leadership_to_a_near_node_only() {
        let voters = BTreeSet::from([1, 2, 3]);
        let far = round_trips([(1, 120), (2, 130)]);
        let near = BTreeMap::from([(1, round_trips([(2, 1), (3, 120)])), (2, round_trips([(1, 2), (3, 130)]))]);
        assert_eq!(nearer(3, &voters, &far, &near, ms(75)), Some(1));
        // No successor: a majority is near the leader, all voters are equally far, or the others have reported
        // nothing.
        assert_eq!(nearer(3, &voters, &round_trips([(1, 1), (2, 130)]), &near, ms(75)), None);
        let all_far = BTreeMap::from([(1, round_trips([(2, 120), (3, 120)]))]);
        assert_eq!(nearer(3, &voters, &far, &all_far, ms(75)), None);
        assert_eq!(nearer(3, &voters, &far, &BTreeMap::new(), ms(75)), None);
    }
}

//! Samples of the voters' wall clocks, and the median and confirmation computed from them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::NodeId;
use crate::limits::{CLOCK_AGREEMENT_MS, CLOCK_SAMPLE_AGE_MS_MAX, TIME_MS_MAX};

/// A time on a wall clock, with the leader's monotonic time of the reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) ms: u64,
    pub(super) at: Duration,
}

impl Reading {
    /// What the clock shows at `at` if it has advanced steadily since the reading.
    pub(super) fn aged(self, at: Duration) -> u64 {
        self.ms.saturating_add(millis(at.saturating_sub(self.at))).min(TIME_MS_MAX)
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    reading: Reading,
    /// Whether the node's operating system keeps the clock synchronised.
    is_synchronised: bool,
}

/// The samples of the voters: one for each voter, at most 60 s old.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    voters: BTreeSet<NodeId>,
    samples: BTreeMap<NodeId, Sample>,
}

impl Samples {
    pub(super) fn of(voters: impl IntoIterator<Item = NodeId>) -> Self {
        Self { voters: voters.into_iter().collect(), samples: BTreeMap::new() }
    }

    pub(super) fn set_voters(&mut self, voters: impl IntoIterator<Item = NodeId>) {
        self.voters = voters.into_iter().collect();
        self.samples.retain(|node, _| self.voters.contains(node));
    }

    pub(super) fn add(&mut self, node: NodeId, wall_ms: u64, is_synchronised: bool, at: Duration) {
        if self.voters.contains(&node) {
            let reading = Reading { ms: wall_ms.min(TIME_MS_MAX), at };
            self.samples.insert(node, Sample { reading, is_synchronised });
        }
    }

    /// The time that each freshly sampled clock shows at `at`.
    pub(super) fn fresh(&self, at: Duration) -> BTreeMap<NodeId, u64> {
        self.fresh_samples(at).map(|(node, sample)| (node, sample.reading.aged(at))).collect()
    }

    fn fresh_samples(&self, at: Duration) -> impl Iterator<Item = (NodeId, &Sample)> {
        let age_max = Duration::from_millis(CLOCK_SAMPLE_AGE_MS_MAX);
        let is_fresh = move |sample: &Sample| at.saturating_sub(sample.reading.at) <= age_max;
        self.samples.iter().filter(move |(_, sample)| is_fresh(sample)).map(|(node, sample)| (*node, sample))
    }

    /// The lower median of the fresh samples; `None` without a majority of the voters.
    pub(super) fn median(&self, at: Duration) -> Option<u64> {
        let fresh = self.fresh(at);
        let mut times: Vec<u64> = fresh.values().copied().collect();
        times.sort_unstable();
        times.get(times.len().saturating_sub(1) / 2).copied().filter(|_| self.is_majority(times.len()))
    }

    /// Whether a majority of all voters has fresh, synchronised samples within [`CLOCK_AGREEMENT_MS`] of
    /// `median_ms`.
    pub(super) fn confirm(&self, median_ms: u64, at: Duration) -> bool {
        let agrees = |sample: &Sample| {
            sample.is_synchronised && sample.reading.aged(at).abs_diff(median_ms) <= CLOCK_AGREEMENT_MS
        };
        self.is_majority(self.fresh_samples(at).filter(|(_, sample)| agrees(sample)).count())
    }

    fn is_majority(&self, nodes: usize) -> bool {
        nodes > self.voters.len() / 2
    }
}

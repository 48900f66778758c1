//! Cluster time, as the leader keeps it: the lower median of the voters' wall clocks, never running backwards.
//!
//! The leader keeps one sample per voter, at most 60 s old, aged by its own monotonic clock. With samples of a majority
//! the target is their lower median, so one wrong clock in three changes nothing; without a majority, time goes on by
//! the monotonic clock. A target more than a day beyond the time that has passed, confirmed by fewer than three samples,
//! raises an alarm: time stands still, so that nothing expires, until an administrator accepts the jump, three samples
//! confirm it, or the target comes back.
//!
//! One `ClusterClock` lives as long as one leadership. Invariant: a stamp is never below the previous one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thiserror::Error;

use crate::id::NodeId;
use crate::limits::{CLOCK_CONFIRMATIONS_MIN, CLOCK_JUMP_MS_MAX, CLOCK_SAMPLE_AGE_MS_MAX, TIME_MS_MAX};

/// What the leader writes into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub time_ms: u64,
    pub skew: SkewReference,
}

/// What the clients' clocks of a batch are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkewReference {
    /// The batch's own time.
    ClusterTime,
    /// Another time: while an alarm holds cluster time back.
    Other(u64),
    /// Nothing: no majority says what time it is.
    LeaveOut,
}

/// Cluster time was never set, and no majority of clocks can set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no majority of the nodes' clocks is known yet, and cluster time was never set")]
pub struct NoTime;

/// A jump that waits for confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockAlarm {
    /// Where cluster time stands.
    pub previous_ms: u64,
    /// Where the clocks say it should be.
    pub target_ms: u64,
    /// How many clocks were asked.
    pub samples: usize,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    ms: u64,
    at: Duration,
}

impl Reading {
    /// What a clock that showed this goes on to show.
    fn aged(self, at: Duration) -> u64 {
        self.ms.saturating_add(millis(at.saturating_sub(self.at))).min(TIME_MS_MAX)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Clone, Debug)]
pub struct ClusterClock {
    voters: BTreeSet<NodeId>,
    samples: BTreeMap<NodeId, Reading>,
    began: Duration,
    /// The last stamp that was not held back by an alarm.
    anchor: Option<Reading>,
    alarm: Option<ClockAlarm>,
}

impl ClusterClock {
    /// A clock for a leadership that begins at `at`.
    pub fn new(voters: impl IntoIterator<Item = NodeId>, at: Duration) -> Self {
        let voters = voters.into_iter().collect();
        Self { voters, samples: BTreeMap::new(), began: at, anchor: None, alarm: None }
    }

    /// The membership changed; samples of nodes that no longer vote are forgotten.
    pub fn set_voters(&mut self, voters: impl IntoIterator<Item = NodeId>) {
        self.voters = voters.into_iter().collect();
        self.samples.retain(|node, _| self.voters.contains(node));
    }

    /// A node's wall clock showed `wall_ms` at the leader's monotonic time `at`. Only voters are heard.
    pub fn sample(&mut self, node: NodeId, wall_ms: u64, at: Duration) {
        if self.voters.contains(&node) {
            self.samples.insert(node, Reading { ms: wall_ms.min(TIME_MS_MAX), at });
        }
    }

    /// The time for the next batch. `previous_ms` is the time of the replicated state.
    pub fn stamp(&mut self, previous_ms: Option<u64>, at: Duration) -> Result<Stamp, NoTime> {
        let stamp = self.next_stamp(previous_ms, at)?;
        // In release builds, too: every node would count with it.
        assert!(Some(stamp.time_ms) >= previous_ms, "cluster time runs backwards: {stamp:?} after {previous_ms:?}");
        Ok(stamp)
    }

    fn next_stamp(&mut self, previous_ms: Option<u64>, at: Duration) -> Result<Stamp, NoTime> {
        let previous_ms = previous_ms.max(self.anchor.map(|anchor| anchor.ms));
        let Some(previous_ms) = previous_ms else {
            let target_ms = self.median(at).ok_or(NoTime)?;
            return Ok(self.advance(target_ms, at));
        };
        let expected_ms = self.expected(previous_ms, at);
        let fresh = self.fresh(at).len();
        match self.median(at) {
            Some(target_ms) => {
                let confirmed = fresh >= CLOCK_CONFIRMATIONS_MIN;
                if confirmed || target_ms <= expected_ms.saturating_add(CLOCK_JUMP_MS_MAX) {
                    return Ok(self.advance(target_ms.max(previous_ms), at));
                }
                self.alarm = Some(ClockAlarm { previous_ms, target_ms, samples: fresh });
                Ok(Stamp { time_ms: previous_ms, skew: SkewReference::Other(target_ms) })
            }
            None if self.alarm.is_some() => Ok(Stamp { time_ms: previous_ms, skew: SkewReference::LeaveOut }),
            None => Ok(self.advance(expected_ms, at)),
        }
    }

    /// The alarm that stands since the last stamp.
    #[must_use]
    pub fn alarm(&self) -> Option<ClockAlarm> {
        self.alarm
    }

    /// An administrator confirms the jump: time goes on from where the clocks say it is. Answers that time, or `None`
    /// when no alarm stands.
    pub fn accept(&mut self, at: Duration) -> Option<u64> {
        let alarm = self.alarm?;
        let target_ms = self.median(at).unwrap_or(alarm.target_ms).max(alarm.previous_ms);
        Some(self.advance(target_ms, at).time_ms)
    }

    /// The replicated time was set back to `time_ms` by [`crate::state::Command::ResetClock`]: stamps go on from there.
    pub fn reset(&mut self, time_ms: u64, at: Duration) {
        self.advance(time_ms, at);
    }

    /// The lower median of the fresh samples; `None` without a majority of the voters.
    #[must_use]
    pub fn median(&self, at: Duration) -> Option<u64> {
        let fresh = self.fresh(at);
        let mut times: Vec<u64> = fresh.values().copied().collect();
        times.sort_unstable();
        let has_majority = times.len() > self.voters.len() / 2;
        times.get(times.len().saturating_sub(1) / 2).copied().filter(|_| has_majority)
    }

    /// How far each freshly sampled clock is ahead of the median, in milliseconds; empty without a majority.
    #[must_use]
    pub fn offsets(&self, at: Duration) -> BTreeMap<NodeId, i64> {
        let Some(median_ms) = self.median(at) else { return BTreeMap::new() };
        let offset = |ms: u64| i64::try_from(i128::from(ms) - i128::from(median_ms)).unwrap_or(i64::MAX);
        self.fresh(at).into_iter().map(|(node, ms)| (node, offset(ms))).collect()
    }

    fn fresh(&self, at: Duration) -> BTreeMap<NodeId, u64> {
        let age_max = Duration::from_millis(CLOCK_SAMPLE_AGE_MS_MAX);
        let fresh = self.samples.iter().filter(|(_, sample)| at.saturating_sub(sample.at) <= age_max);
        fresh.map(|(node, sample)| (*node, sample.aged(at))).collect()
    }

    /// Where time would be if it had gone on from the last stamp, or from the beginning of the leadership.
    fn expected(&self, previous_ms: u64, at: Duration) -> u64 {
        let from = self.anchor.unwrap_or(Reading { ms: previous_ms, at: self.began });
        from.aged(at).max(previous_ms)
    }

    fn advance(&mut self, time_ms: u64, at: Duration) -> Stamp {
        self.anchor = Some(Reading { ms: time_ms, at });
        self.alarm = None;
        Stamp { time_ms, skew: SkewReference::ClusterTime }
    }
}

//! Cluster time, which the leader computes: the lower median of the voters' wall clocks. It never runs backwards.
//!
//! The leader keeps one sample for each voter, at most 60 s old, and ages it by its own monotonic clock. With
//! samples of a majority the target is their lower median, so one wrong clock in three changes nothing. Without a
//! majority, time advances by the monotonic clock. Behaviour on a jump of the clocks depends on the format: since
//! format 3 there is a second clock for expiry ([`two_clocks`]); before that, time stands still until the jump is
//! confirmed ([`one_clock`]).
//!
//! A `ClusterClock` exists for one leadership of a node. Invariant: a stamp is never below the previous one.

mod one_clock;
mod samples;
mod two_clocks;
mod types;

use std::collections::BTreeMap;
use std::time::Duration;

use self::one_clock::OneClock;
use self::samples::Samples;
use self::two_clocks::TwoClocks;
pub use self::types::{ClockAlarm, ClockAlarmKind, NoTime, SkewReference, Stamp, Times};
use crate::id::NodeId;

#[derive(Clone, Debug)]
pub struct ClusterClock {
    samples: Samples,
    one_clock: OneClock,
    two_clocks: TwoClocks,
    /// Whether the last stamp was made for formats 1 and 2.
    has_one_clock: bool,
}

impl ClusterClock {
    /// A clock for a leadership that begins at `at` of the leader's monotonic clock.
    pub fn new(voters: impl IntoIterator<Item = NodeId>, at: Duration) -> Self {
        Self {
            samples: Samples::of(voters),
            one_clock: OneClock::beginning(at),
            two_clocks: TwoClocks::default(),
            has_one_clock: false,
        }
    }

    /// Sets the voters after a change of membership. Samples of nodes that are no longer voters are removed.
    pub fn set_voters(&mut self, voters: impl IntoIterator<Item = NodeId>) {
        self.samples.set_voters(voters);
    }

    /// Adds a sample: a node's wall clock showed `wall_ms` at the leader's monotonic time `at`, and its operating
    /// system reported whether the clock is synchronised. Samples of nodes that are not voters are ignored.
    pub fn sample(&mut self, node: NodeId, wall_ms: u64, is_synchronised: bool, at: Duration) {
        self.samples.add(node, wall_ms, is_synchronised, at);
    }

    /// The stamp for the next batch in formats 1 and 2. `previous_ms` is the cluster time in the replicated state.
    pub fn stamp(&mut self, previous_ms: Option<u64>, at: Duration) -> Result<Stamp, NoTime> {
        self.has_one_clock = true;
        let stamp = self.one_clock.stamp(&self.samples, previous_ms, at)?;
        // Asserted in release builds, too: every node would count with this time.
        assert!(Some(stamp.time_ms) >= previous_ms, "cluster time runs backwards: {stamp:?} after {previous_ms:?}");
        Ok(stamp)
    }

    /// The stamp for the next batch since format 3. `replicated` holds the times in the replicated state.
    pub fn stamp_two_clocks(&mut self, replicated: Times, at: Duration) -> Result<Stamp, NoTime> {
        self.has_one_clock = false;
        let stamp = self.two_clocks.stamp(&self.samples, replicated, at)?;
        let runs_on = Some(stamp.time_ms) >= replicated.time_ms && stamp.expiry_ms >= replicated.expiry_ms;
        assert!(runs_on, "cluster time runs backwards: {stamp:?} after {replicated:?}");
        assert!(stamp.expiry_ms <= Some(stamp.time_ms), "the clock of expiry is ahead: {stamp:?}");
        Ok(stamp)
    }

    /// The alarm that the last stamp raised or left in force.
    #[must_use]
    pub fn alarm(&self) -> Option<ClockAlarm> {
        if self.has_one_clock { self.one_clock.alarm() } else { self.two_clocks.alarm() }
    }

    /// Formats 1 and 2: an administrator confirms the jump, and cluster time continues from the clocks' target.
    /// Returns that time, or `None` when there is no alarm.
    pub fn accept(&mut self, at: Duration) -> Option<u64> {
        self.one_clock.accept(&self.samples, at)
    }

    /// Sets the clocks after the log set them with [`crate::state::Command::ResetClock`] or
    /// [`crate::state::Command::AcceptClock`]. Stamps continue from there.
    pub fn set(&mut self, times: Times, at: Duration) {
        if let Some(time_ms) = times.time_ms {
            self.one_clock.advance(time_ms, at);
            self.two_clocks.set(time_ms, times.expiry_ms.unwrap_or(time_ms), at);
        }
    }

    /// Since format 3: the time to which the leader sets cluster time back without an administrator; `None` where it
    /// must not.
    #[must_use]
    pub fn to_reset(&self, at: Duration) -> Option<u64> {
        self.two_clocks.to_reset(&self.samples, at)
    }

    /// The lower median of the fresh samples; `None` without a majority of the voters.
    #[must_use]
    pub fn median(&self, at: Duration) -> Option<u64> {
        self.samples.median(at)
    }

    /// How far each freshly sampled clock is ahead of the median, in milliseconds; empty without a majority of the
    /// voters.
    #[must_use]
    pub fn offsets(&self, at: Duration) -> BTreeMap<NodeId, i64> {
        let Some(median_ms) = self.median(at) else { return BTreeMap::new() };
        let offset = |ms: u64| i64::try_from(i128::from(ms) - i128::from(median_ms)).unwrap_or(i64::MAX);
        self.samples.fresh(at).into_iter().map(|(node, ms)| (node, offset(ms))).collect()
    }
}

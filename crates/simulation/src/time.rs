//! True time, which runs faster than the runtime's, and the clocks of the nodes, which may be wrong.

use std::time::Duration;

use replication::Clock;

use crate::{publisher::START_MS, world::World};

/// True time: it goes on at a rate that changes now and then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrueTime {
    /// Virtual time of the runtime at the last change of the rate,
    since: Duration,
    /// true time then,
    at: Duration,
    /// and how many times as fast as the runtime's it goes on.
    rate: u32,
}

impl Default for TrueTime {
    fn default() -> Self {
        Self { since: Duration::ZERO, at: Duration::ZERO, rate: 1 }
    }
}

impl TrueTime {
    /// True time since the beginning, when the runtime's is `now`.
    pub(crate) fn at(&self, now: Duration) -> Duration {
        self.at + now.saturating_sub(self.since) * self.rate
    }

    /// From `now` on it goes on at this rate.
    pub(crate) fn set_rate(&mut self, now: Duration, rate: u32) {
        *self = Self { since: now, at: self.at(now), rate };
    }

    /// It jumps ahead: everything was off for so long.
    pub(crate) fn skip(&mut self, now: Duration, skipped: Duration) {
        *self = Self { since: now, at: self.at(now) + skipped, rate: self.rate };
    }
}

/// What is wrong with a node's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClockError {
    /// How far the wall clock is ahead, in milliseconds.
    pub(crate) offset_ms: i64,
    /// How much too fast both clocks are, in millionths.
    pub(crate) drift_ppm: i32,
}

/// The clocks of one node.
pub(crate) struct NodeClock {
    pub(crate) world: World,
    pub(crate) node: u64,
    /// True time when the node started: where its monotonic clock begins.
    pub(crate) origin: Duration,
}

fn drifted(time: Duration, drift_ppm: i32) -> Duration {
    let nanos = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
    let nanos = nanos + nanos * i128::from(drift_ppm) / 1_000_000;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

impl Clock for NodeClock {
    fn wall_ms(&self) -> u64 {
        let error = self.world.clock_error(self.node);
        let shown = drifted(self.world.true_time(), error.drift_ppm);
        let shown = i128::from(START_MS) + i128::try_from(shown.as_millis()).unwrap_or(0) + i128::from(error.offset_ms);
        u64::try_from(shown).unwrap_or(0)
    }

    fn monotonic(&self) -> Duration {
        drifted(self.world.true_time() - self.origin, self.world.clock_error(self.node).drift_ppm)
    }
}

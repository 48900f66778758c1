//! True time, which runs faster than the runtime's, and what is wrong with a node's clock.

use std::time::Duration;

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

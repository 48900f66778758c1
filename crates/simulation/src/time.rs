//! True time, which may run faster than the runtime's time, and the errors of a node's clock.

use std::time::Duration;

/// True time, which advances at a rate that changes during the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrueTime {
    /// Virtual time of the runtime at the last change of the rate.
    since: Duration,
    /// True time at the last change of the rate.
    at: Duration,
    /// How many times as fast as the runtime's time true time advances.
    rate: u32,
}

impl Default for TrueTime {
    fn default() -> Self {
        Self { since: Duration::ZERO, at: Duration::ZERO, rate: 1 }
    }
}

impl TrueTime {
    /// True time since the beginning, when the runtime's time is `now`.
    pub(crate) fn at(&self, now: Duration) -> Duration {
        self.at + now.saturating_sub(self.since) * self.rate
    }

    /// Sets the rate from `now` on.
    pub(crate) fn set_rate(&mut self, now: Duration, rate: u32) {
        *self = Self { since: now, at: self.at(now), rate };
    }

    /// Advances true time by `skipped` at once, for a time in which all nodes were off.
    pub(crate) fn skip(&mut self, now: Duration, skipped: Duration) {
        *self = Self { since: now, at: self.at(now) + skipped, rate: self.rate };
    }
}

/// The error of a node's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClockError {
    /// How far the wall clock is ahead, in milliseconds.
    pub(crate) offset_ms: i64,
    /// How much too fast the wall clock and the monotonic clock run, in millionths.
    pub(crate) drift_ppm: i32,
}

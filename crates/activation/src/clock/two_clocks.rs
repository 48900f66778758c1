//! Since format 3: cluster time follows the clocks. A second clock, by which requests expire, follows only confirmed
//! clocks.
//!
//! Cluster time moves to the voters' median at once, however far that is, so that client clocks are compared with
//! the right time. The clock of expiry moves to the median where a majority of voters has synchronised clocks that
//! agree with it; otherwise it advances with the leader's monotonic clock. So a wrong clock makes nothing expire,
//! requests recorded meanwhile have the time that the clocks showed, and nothing of that is lost when an
//! administrator accepts the clocks.

use std::time::Duration;

use super::samples::{Samples, millis};
use super::types::{ClockAlarm, NoTime, SkewReference, Stamp, Times};
use crate::limits::{CLOCK_AGREEMENT_MS, CLOCK_JUMP_MS_MAX, TIME_MS_MAX};

/// The last stamp of this leadership.
#[derive(Clone, Copy, Debug)]
struct Last {
    at: Duration,
    time_ms: u64,
    expiry_ms: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct TwoClocks {
    last: Option<Last>,
    alarm: Option<ClockAlarm>,
}

impl TwoClocks {
    pub(super) fn alarm(&self) -> Option<ClockAlarm> {
        self.alarm
    }

    pub(super) fn stamp(&mut self, samples: &Samples, replicated: Times, at: Duration) -> Result<Stamp, NoTime> {
        // Stamps of entries that are not applied yet are missing from `replicated`; `last` has them.
        let time_ms = replicated.time_ms.max(self.last.map(|last| last.time_ms));
        let expiry_ms = replicated.expiry_ms.max(self.last.map(|last| last.expiry_ms));
        // 0 at the first stamp of a leadership: without confirmation the clock of expiry then stands still.
        let passed_ms = self.last.map_or(0, |last| millis(at.saturating_sub(last.at)));
        let median_ms = samples.median(at);
        let (time_ms, skew) = match median_ms {
            Some(median_ms) => (median_ms.max(time_ms.unwrap_or(0)), SkewReference::Other(median_ms)),
            // The first stamp of a leadership needs the clocks. Without them the time since the last leader's stamp
            // is unknown, and a request that is recorded now might count as weeks old a moment later.
            None => {
                let last_ms = time_ms.filter(|_| self.last.is_some()).ok_or(NoTime)?;
                (last_ms.saturating_add(passed_ms).min(TIME_MS_MAX), SkewReference::LeaveOut)
            }
        };
        let confirmed_ms = median_ms.filter(|median_ms| samples.confirm(*median_ms, at));
        let unconfirmed_ms = expiry_ms.map_or(time_ms, |expiry_ms| expiry_ms.saturating_add(passed_ms));
        let expiry_ms = expiry_ms.max(Some(confirmed_ms.unwrap_or(unconfirmed_ms).min(time_ms))).unwrap_or(time_ms);
        self.last = Some(Last { at, time_ms, expiry_ms });
        self.alarm = alarm(time_ms, expiry_ms, median_ms, samples.fresh(at).len());
        Ok(Stamp { time_ms, skew, expiry_ms: Some(expiry_ms) })
    }

    /// Sets the clocks to the times that the log set.
    pub(super) fn set(&mut self, time_ms: u64, expiry_ms: u64, at: Duration) {
        self.last = Some(Last { at, time_ms, expiry_ms });
        self.alarm = None;
    }

    /// The time to which the leader sets cluster time back without an administrator: confirmed clocks are behind
    /// cluster time, and the clock of expiry is not ahead of them, so no request would expire later because of it.
    pub(super) fn to_reset(&self, samples: &Samples, at: Duration) -> Option<u64> {
        let last = self.last?;
        let median_ms = samples.median(at).filter(|median_ms| samples.confirm(*median_ms, at))?;
        let is_ahead = last.time_ms > median_ms.saturating_add(CLOCK_AGREEMENT_MS);
        (is_ahead && last.expiry_ms <= median_ms).then_some(median_ms)
    }
}

fn alarm(time_ms: u64, expiry_ms: u64, median_ms: Option<u64>, samples: usize) -> Option<ClockAlarm> {
    let behind_ms = median_ms.filter(|median_ms| time_ms > median_ms.saturating_add(CLOCK_AGREEMENT_MS));
    if let Some(target_ms) = behind_ms {
        return Some(ClockAlarm { previous_ms: time_ms, target_ms, samples });
    }
    let is_unconfirmed = time_ms.saturating_sub(expiry_ms) > CLOCK_JUMP_MS_MAX;
    is_unconfirmed.then_some(ClockAlarm { previous_ms: expiry_ms, target_ms: time_ms, samples })
}

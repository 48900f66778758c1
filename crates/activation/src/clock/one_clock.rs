//! Formats 1 and 2: one clock, which stands still while a jump is not confirmed.

use std::time::Duration;

use super::samples::{Reading, Samples};
use super::types::{ClockAlarm, NoTime, SkewReference, Stamp};
use crate::limits::{CLOCK_CONFIRMATIONS_MIN, CLOCK_JUMP_MS_MAX};

/// The clock of formats 1 and 2. A target that is more than a day beyond the elapsed time and is confirmed by fewer
/// than three samples raises an alarm. Time then stands still, so that nothing expires, until an administrator
/// accepts the jump, three samples confirm it, or the target returns to the range.
#[derive(Clone, Debug)]
pub(super) struct OneClock {
    began: Duration,
    /// The last stamp that no alarm held back.
    anchor: Option<Reading>,
    alarm: Option<ClockAlarm>,
}

impl OneClock {
    pub(super) fn beginning(at: Duration) -> Self {
        Self { began: at, anchor: None, alarm: None }
    }

    pub(super) fn alarm(&self) -> Option<ClockAlarm> {
        self.alarm
    }

    pub(super) fn stamp(&mut self, samples: &Samples, previous_ms: Option<u64>, at: Duration) -> Result<Stamp, NoTime> {
        let previous_ms = previous_ms.max(self.anchor.map(|anchor| anchor.ms));
        let Some(previous_ms) = previous_ms else {
            let target_ms = samples.median(at).ok_or(NoTime)?;
            return Ok(self.advance(target_ms, at));
        };
        let expected_ms = self.expected(previous_ms, at);
        let fresh = samples.fresh(at).len();
        match samples.median(at) {
            Some(target_ms) => {
                let confirmed = fresh >= CLOCK_CONFIRMATIONS_MIN;
                if confirmed || target_ms <= expected_ms.saturating_add(CLOCK_JUMP_MS_MAX) {
                    return Ok(self.advance(target_ms.max(previous_ms), at));
                }
                self.alarm = Some(ClockAlarm { previous_ms, target_ms, samples: fresh });
                Ok(Stamp { time_ms: previous_ms, skew: SkewReference::Other(target_ms), expiry_ms: None })
            }
            None if self.alarm.is_some() => {
                Ok(Stamp { time_ms: previous_ms, skew: SkewReference::LeaveOut, expiry_ms: None })
            }
            None => Ok(self.advance(expected_ms, at)),
        }
    }

    pub(super) fn accept(&mut self, samples: &Samples, at: Duration) -> Option<u64> {
        let alarm = self.alarm?;
        let target_ms = samples.median(at).unwrap_or(alarm.target_ms).max(alarm.previous_ms);
        Some(self.advance(target_ms, at).time_ms)
    }

    pub(super) fn advance(&mut self, time_ms: u64, at: Duration) -> Stamp {
        self.anchor = Some(Reading { ms: time_ms, at });
        self.alarm = None;
        Stamp { time_ms, skew: SkewReference::ClusterTime, expiry_ms: None }
    }

    /// Where time would be if it had advanced with the monotonic clock since the last stamp, or since the leadership
    /// began.
    fn expected(&self, previous_ms: u64, at: Duration) -> u64 {
        let from = self.anchor.unwrap_or(Reading { ms: previous_ms, at: self.began });
        from.aged(at).max(previous_ms)
    }
}

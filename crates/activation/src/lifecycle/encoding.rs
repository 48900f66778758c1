//! A lifecycle as bytes, and back: whatever is read is within bounds, or refused.

use prost::Message;
use thiserror::Error;

use super::time::Timeline;
use super::{Evidence, Lifecycle, Moment, REARMS, Term};
use crate::limits::{INTERVAL_MINUTES_MAX, INTERVAL_MINUTES_MIN, TIME_MS_MAX};
use crate::proto;
use crate::status::Status;

/// What this version writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// Bytes that are no lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LifecycleError {
    #[error("the record of the machine's times is damaged: {0}")]
    Malformed(&'static str),
    #[error("the record of the machine's times has format {0}; this version reads up to {FORMAT}")]
    Newer(u32),
}

impl Lifecycle {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        proto::Lifecycle {
            format: FORMAT,
            reckoned_ms: self.timeline.reckoned_ms,
            boot: self.timeline.boot.map_or_else(Vec::new, Vec::from).into(),
            uptime_ms: self.timeline.uptime_ms,
            term: match self.term {
                Term::OutOfBoxGrace => 1,
                Term::Licence => 2,
                Term::OutOfToleranceGrace => 3,
                Term::Over => 4,
            },
            ends_ms: self.ends_ms,
            ask_first_until_ms: self.ask_first_until_ms.unwrap_or(0),
            next_attempt_ms: self.next_attempt_ms,
            activation_interval_minutes: self.activation_interval_minutes,
            renewal_interval_minutes: self.renewal_interval_minutes,
            rearms_left: self.rearms_left.into(),
            last_status: self.last_status.map(|status| status.0),
        }
        .encode_to_vec()
    }

    /// Reads what was kept. A licence that it speaks of is one only with the evidence, and for as long as that says:
    /// without it, it is over.
    pub fn decode(bytes: &[u8], evidence: Option<&Evidence>, now: Moment) -> Result<Self, LifecycleError> {
        let raw = proto::Lifecycle::decode(bytes).map_err(|_| LifecycleError::Malformed("encoding"))?;
        if raw.format > FORMAT {
            return Err(LifecycleError::Newer(raw.format));
        }
        let time = |ms: u64, field| if ms <= TIME_MS_MAX { Ok(ms) } else { Err(LifecycleError::Malformed(field)) };
        let interval = |minutes: u32, field| {
            let allowed = (INTERVAL_MINUTES_MIN..=INTERVAL_MINUTES_MAX).contains(&minutes);
            if allowed { Ok(minutes) } else { Err(LifecycleError::Malformed(field)) }
        };
        let boot = match raw.boot.as_ref() {
            [] => None,
            bytes => Some(bytes.try_into().map_err(|_| LifecycleError::Malformed("boot"))?),
        };
        let rearms_left = u8::try_from(raw.rearms_left).ok().filter(|left| *left <= REARMS);
        let mut read = Self {
            timeline: Timeline { reckoned_ms: time(raw.reckoned_ms, "time")?, boot, uptime_ms: raw.uptime_ms },
            term: match raw.term {
                1 => Term::OutOfBoxGrace,
                2 => Term::Licence,
                3 => Term::OutOfToleranceGrace,
                4 => Term::Over,
                _ => return Err(LifecycleError::Malformed("term")),
            },
            ends_ms: time(raw.ends_ms, "end")?,
            ask_first_until_ms: Some(time(raw.ask_first_until_ms, "end")?).filter(|until_ms| *until_ms > 0),
            next_attempt_ms: time(raw.next_attempt_ms, "next attempt")?,
            activation_interval_minutes: interval(raw.activation_interval_minutes, "activation interval")?,
            renewal_interval_minutes: interval(raw.renewal_interval_minutes, "renewal interval")?,
            rearms_left: rearms_left.ok_or(LifecycleError::Malformed("rearms"))?,
            last_status: raw.last_status.map(Status),
        };
        // Signed, so it was at least that late.
        let signed_ms = evidence.map_or(0, |evidence| evidence.body().cluster_time_ms);
        read.timeline.reckoned_ms = read.timeline.reckoned_ms.max(signed_ms);
        if read.term == Term::Licence {
            match evidence.and_then(Evidence::licensed_until_ms) {
                Some(until_ms) => read.ends_ms = until_ms,
                None => read.take_away_licence(),
            }
        }
        read.advance(now);
        Ok(read)
    }
}

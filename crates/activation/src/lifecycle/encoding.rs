//! Encodes and decodes a lifecycle. Decoded values are within their bounds; other bytes are refused.

use prost::Message;
use thiserror::Error;

use super::time::{Due, Timeline};
use super::{ASK_FIRST_MS, Evidence, Lifecycle, MINUTE_MS, Moment, REARMS, Term};
use crate::limits::{INTERVAL_MINUTES_MAX, INTERVAL_MINUTES_MIN, LIFECYCLE_BYTES_MAX, TIME_MS_MAX};
use crate::proto;
use crate::status::Status;

/// The format that this version writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// The bytes are not a lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LifecycleError {
    #[error("the record of the machine's times is damaged: {0}")]
    Malformed(&'static str),
    #[error("the record of the machine's times has format {0}; this version reads up to {FORMAT}")]
    Newer(u32),
}

fn encode_due(due: Due) -> proto::Due {
    proto::Due { passed_ms: due.passed_ms, reckoned_ms: due.reckoned_ms }
}

impl Lifecycle {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        proto::Lifecycle {
            format: FORMAT,
            passed_ms: self.timeline.passed_ms,
            wall_ms: self.timeline.wall_ms,
            boot: self.timeline.boot.map_or_else(Vec::new, Vec::from).into(),
            uptime_ms: self.timeline.uptime_ms,
            term: match self.term {
                Term::OutOfBoxGrace => 1,
                Term::Licence => 2,
                Term::OutOfToleranceGrace => 3,
                Term::Over => 4,
            },
            ends: Some(encode_due(self.ends)),
            ask_first_ms: self.ask_first_ms,
            next_attempt: Some(encode_due(self.next_attempt)),
            activation_interval_minutes: self.activation_interval_minutes,
            renewal_interval_minutes: self.renewal_interval_minutes,
            rearms_left: self.rearms_left.into(),
            last_status: self.last_status.map(|status| status.0),
        }
        .encode_to_vec()
    }

    /// Decodes a stored lifecycle. A licence in it holds only with `evidence`, and for as long as the evidence
    /// states; without evidence the licence is over. The rest is not signed, so it can never give more than a new
    /// installation has.
    pub fn decode(bytes: &[u8], evidence: Option<&Evidence>, now: Moment) -> Result<Self, LifecycleError> {
        if bytes.len() > LIFECYCLE_BYTES_MAX {
            return Err(LifecycleError::Malformed("too long"));
        }
        let raw = proto::Lifecycle::decode(bytes).map_err(|_| LifecycleError::Malformed("encoding"))?;
        match raw.format {
            0 => return Err(LifecycleError::Malformed("format")),
            1..=FORMAT => {}
            newer => return Err(LifecycleError::Newer(newer)),
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
        let due = |raw: Option<proto::Due>, field| {
            let raw = raw.ok_or(LifecycleError::Malformed(field))?;
            Ok(Due { passed_ms: time(raw.passed_ms, field)?, reckoned_ms: time(raw.reckoned_ms, field)? })
        };
        let rearms_left = u8::try_from(raw.rearms_left).ok().filter(|left| *left <= REARMS);
        let mut read = Self {
            timeline: Timeline {
                passed_ms: time(raw.passed_ms, "time")?,
                wall_ms: time(raw.wall_ms, "time")?,
                boot,
                uptime_ms: raw.uptime_ms,
            },
            term: match raw.term {
                1 => Term::OutOfBoxGrace,
                2 => Term::Licence,
                3 => Term::OutOfToleranceGrace,
                4 => Term::Over,
                _ => return Err(LifecycleError::Malformed("term")),
            },
            ends: due(raw.ends, "end")?,
            ask_first_ms: raw.ask_first_ms.map(|ms| ms.min(ASK_FIRST_MS)),
            next_attempt: due(raw.next_attempt, "next attempt")?,
            activation_interval_minutes: interval(raw.activation_interval_minutes, "activation interval")?,
            renewal_interval_minutes: interval(raw.renewal_interval_minutes, "renewal interval")?,
            rearms_left: rearms_left.ok_or(LifecycleError::Malformed("rearms"))?,
            last_status: raw.last_status.map(Status),
        };
        // A host signed this time, so it is at least that late.
        let signed_ms = evidence.map_or(0, |evidence| evidence.body().cluster_time_ms);
        read.timeline.passed_ms = read.timeline.passed_ms.max(signed_ms);
        read.ends = read.ends.within(&read.timeline, read.term.longest_ms());
        read.next_attempt = read.next_attempt.within(&read.timeline, u64::from(INTERVAL_MINUTES_MAX) * MINUTE_MS);
        if read.term == Term::Licence {
            match evidence.and_then(Evidence::licensed_until_ms) {
                Some(until_ms) => read.ends = read.ends.min(Due::on(until_ms)),
                None => read.take_away_licence(),
            }
        }
        read.advance(now);
        Ok(read)
    }
}

//! The lifecycle of a client machine, pure (R13 to R15, R20 to R24): its state, its next request, and what changes
//! them.
//!
//! Time is passed in as a [`Moment`] and chance as a number; the next action and its time are returned. The stored
//! state holds times only. A licence is proved each time by [`Evidence`], which is verified again from the bytes of
//! the exchange, so editing the stored state never yields a licence.
//!
//! Clocks may jump by months in either direction. A clock that is set back lengthens no term. Where a clock that was
//! set forward shows that a term is over, the client asks a host first; and when the clock is set back, or a signed
//! answer gives the time, the term is again what it was.
//!
//! The owner of the file can edit whatever is not signed, so unsigned content never gives more than a new
//! installation has.
//!
//! Invariants: licensed only with evidence of a count at or above the threshold, for 180 days of reckoned time plus
//! the time for one last request; at most [`REARMS`] rearms.

mod encoding;
mod events;
mod evidence;
mod standing;
mod time;

use std::time::Duration;

use thiserror::Error;

pub use self::encoding::LifecycleError;
pub use self::events::{AnswerProcessed, RequestSent};
pub use self::evidence::{Evidence, EvidenceError, LICENCE_MS};
pub use self::standing::{Installed, LicenseStanding, LicenseState, Next};
pub use self::time::Moment;
use self::time::{Due, Timeline};
use crate::limits::{ACTIVATION_INTERVAL_MINUTES_DEFAULT, RENEWAL_INTERVAL_MINUTES_DEFAULT};
use crate::status::Status;

const MINUTE_MS: u64 = 60 * 1000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// R15: length of both grace periods, in milliseconds.
pub const GRACE_MS: u64 = 30 * DAY_MS;
/// R21: how often the timers may be reset.
pub const REARMS: u8 = 3;
/// Machines that start together make their first request within this time, each at a random time, in milliseconds.
pub const FIRST_ATTEMPT_SPREAD_MS: u64 = MINUTE_MS;
/// How long a term continues where only the wall clock shows that it is over, in milliseconds of running time. The
/// client asks a host first, and the term ends when that request fails, or when this time has passed.
pub const ASK_FIRST_MS: u64 = ACTIVATION_INTERVAL_MINUTES_DEFAULT as u64 * MINUTE_MS;
/// Chance shortens an interval by at most one part in this number, so the documented times still hold.
const JITTER_SHARE: u64 = 10;

/// No rearm is left (R21, R22).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no rearm is left: the timers can be reset {REARMS} times")]
pub struct NoRearmsLeft;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    OutOfBoxGrace,
    Licence,
    OutOfToleranceGrace,
    /// A licence that was withdrawn, whatever its evidence states.
    Over,
}

impl Term {
    fn longest_ms(self) -> u64 {
        match self {
            Self::OutOfBoxGrace | Self::OutOfToleranceGrace => GRACE_MS,
            Self::Licence => LICENCE_MS,
            Self::Over => 0,
        }
    }
}

/// The lifecycle of one machine with one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    timeline: Timeline,
    term: Term,
    ends: Due,
    /// The running time that is left where only the wall clock shows that the term is over, in milliseconds.
    ask_first_ms: Option<u64>,
    next_attempt: Due,
    activation_interval_minutes: u32,
    renewal_interval_minutes: u32,
    rearms_left: u8,
    last_status: Option<Status>,
}

impl Lifecycle {
    /// A machine's first start: out-of-box grace (R15). `chance` is a random number, in all methods.
    #[must_use]
    pub fn begin(now: Moment, chance: u64) -> Self {
        let timeline = Timeline::begin(now);
        let mut new = Self {
            timeline,
            term: Term::OutOfBoxGrace,
            ends: Due::after(&timeline, GRACE_MS),
            ask_first_ms: None,
            next_attempt: Due::after(&timeline, 0),
            activation_interval_minutes: ACTIVATION_INTERVAL_MINUTES_DEFAULT,
            renewal_interval_minutes: RENEWAL_INTERVAL_MINUTES_DEFAULT,
            rearms_left: REARMS,
            last_status: None,
        };
        new.ask_soon(chance);
        new
    }

    /// The program starts. An overdue request is made soon, at a random time, so that the machines of a building
    /// do not all ask at once.
    pub fn wake(&mut self, now: Moment, chance: u64) {
        self.advance(now);
        if self.next_attempt.left_ms(&self.timeline) == 0 {
            self.ask_soon(chance);
        }
    }

    /// Advances the time to `now` and changes nothing else.
    pub fn advance(&mut self, now: Moment) {
        self.advance_unnoticed(now, 0);
    }

    /// Advances the time to `now`. Where the term ended on the wall clock since the last call, at most
    /// `unnoticed_ms` of the running time since then is subtracted from [`ASK_FIRST_MS`].
    fn advance_unnoticed(&mut self, now: Moment, unnoticed_ms: u64) {
        let left_ms = self.ends.left_ms(&self.timeline);
        let vouched_ms = self.timeline.advance(now);
        if self.ends.left_ms(&self.timeline) > 0 {
            self.ask_first_ms = None;
        } else if left_ms > vouched_ms {
            let used_ms = vouched_ms.min(self.ends.over_ms(&self.timeline)).min(unnoticed_ms);
            self.ask_first_ms = Some(ASK_FIRST_MS.saturating_sub(used_ms));
            self.next_attempt = self.next_attempt.within(&self.timeline, 0);
        } else {
            self.ask_first_ms = self.ask_first_ms.map(|ms| ms.saturating_sub(vouched_ms));
        }
    }

    /// The machine's license state at `now`.
    #[must_use]
    pub fn standing(&self, now: Moment, installed: Installed) -> LicenseStanding {
        let then = self.at(now);
        let is_over = then.is_over();
        let state = match (installed, then.term) {
            (Installed::Nothing, _) => LicenseState::Unlicensed,
            (Installed::Direct { certified: true }, _) => LicenseState::Licensed,
            _ if is_over => LicenseState::Notification,
            (_, Term::OutOfBoxGrace) => LicenseState::OutOfBoxGrace,
            // A volume licence was given for the product's setup key, so it does not hold with a direct key.
            (Installed::Direct { certified: false }, Term::Licence) => LicenseState::Notification,
            (_, Term::Over) => LicenseState::Notification,
            (_, Term::Licence) => LicenseState::Licensed,
            (_, Term::OutOfToleranceGrace) => LicenseState::OutOfToleranceGrace,
        };
        let lasts = matches!(state, LicenseState::Notification | LicenseState::Unlicensed);
        let ends = !lasts && installed != Installed::Direct { certified: true };
        let wait_ms = then.next_attempt.left_ms(&then.timeline);
        LicenseStanding {
            state,
            minutes_left: ends.then(|| then.ends.left_ms(&then.timeline) / MINUTE_MS),
            next_attempt: (installed == Installed::Setup).then(|| Duration::from_millis(wait_ms)),
            rearms_left: then.rearms_left,
            last_status: then.last_status,
        }
    }

    /// Why the machine lost its state, as the HRESULT for administrators: its hardware is out of tolerance (R23), or
    /// a grace period expired (R15). `None` in every other state, and where a licence ran out: then the status of
    /// the last attempt states why it was not renewed.
    #[must_use]
    pub fn reason(&self, now: Moment, installed: Installed) -> Option<Status> {
        match (self.standing(now, installed).state, self.at(now).term) {
            (LicenseState::OutOfToleranceGrace, _) => Some(Status::HARDWARE_OUT_OF_TOLERANCE),
            (LicenseState::Notification, Term::OutOfBoxGrace | Term::OutOfToleranceGrace) => {
                Some(Status::GRACE_EXPIRED)
            }
            _ => None,
        }
    }

    /// The next action.
    #[must_use]
    pub fn next(&self, now: Moment, installed: Installed) -> Next {
        match self.standing(now, installed).next_attempt {
            None => Next::Nothing,
            Some(Duration::ZERO) => Next::Attempt,
            Some(wait) => Next::Wait(wait),
        }
    }

    /// Takes over a host's answer (R3, R13, R14): its signed time and its intervals. At or above the threshold the
    /// 180 days begin.
    pub fn answered(&mut self, now: Moment, evidence: &Evidence, chance: u64) {
        self.advance(now);
        let body = evidence.body();
        self.timeline.correct(body.cluster_time_ms);
        // A term that began while the clock was ahead must not be longer than one that begins now.
        self.ends = self.ends.within(&self.timeline, self.term.longest_ms());
        self.activation_interval_minutes = body.activation_interval_minutes;
        self.renewal_interval_minutes = body.renewal_interval_minutes;
        match evidence.licensed_until_ms() {
            Some(until_ms) => {
                (self.term, self.ends, self.ask_first_ms) = (Term::Licence, Due::on(until_ms), None);
                self.last_status = Some(Status::OK);
                self.ask_after(self.renewal_interval_minutes, chance);
            }
            None => {
                self.last_status = Some(Status::BELOW_THRESHOLD);
                self.asked(chance);
            }
        }
    }

    /// An attempt failed: no host answered, or no answer was valid (R14). An unsigned reply changes no state; it
    /// only ends the wait for a host.
    pub fn failed(&mut self, now: Moment, status: Status, chance: u64) {
        self.advance(now);
        self.last_status = Some(status);
        self.asked(chance);
    }

    /// The hardware changed beyond tolerance (R15, R23): a licence becomes out-of-tolerance grace, and the next
    /// request is soon. Returns whether there was a licence.
    pub fn hardware_changed(&mut self, now: Moment, chance: u64) -> bool {
        self.advance(now);
        let was_licensed = self.term == Term::Licence && !self.is_over();
        self.take_away_licence();
        if was_licensed {
            self.term = Term::OutOfToleranceGrace;
            self.ends = Due::after(&self.timeline, GRACE_MS);
            self.last_status = Some(Status::HARDWARE_OUT_OF_TOLERANCE);
        }
        self.ask_soon(chance);
        was_licensed
    }

    /// The evidence of the licence is missing, or does not fit what is installed now: the licence ends, and the next
    /// request is soon.
    pub fn lost_evidence(&mut self, now: Moment, chance: u64) {
        self.advance(now);
        self.take_away_licence();
        self.ask_soon(chance);
    }

    /// Resets the timers (R21): the machine is in out-of-box grace, and a licence ends.
    pub fn rearm(&mut self, now: Moment, chance: u64) -> Result<(), NoRearmsLeft> {
        self.advance(now);
        self.rearms_left = self.rearms_left.checked_sub(1).ok_or(NoRearmsLeft)?;
        (self.term, self.ask_first_ms, self.last_status) = (Term::OutOfBoxGrace, None, None);
        self.ends = Due::after(&self.timeline, GRACE_MS);
        self.ask_soon(chance);
        Ok(())
    }

    /// Prepares the machine as an image for others (R22); the caller gives it a new CMID and removes its identity.
    /// Without a rearm left the timers stay, but no copy inherits a licence.
    pub fn generalize(&mut self, now: Moment, chance: u64) -> Result<(), NoRearmsLeft> {
        let rearmed = self.rearm(now, chance);
        if rearmed.is_err() {
            self.take_away_licence();
        }
        rearmed
    }

    /// Whether the stored state has a licence, which evidence must prove.
    #[must_use]
    pub fn claims_licence(&self) -> bool {
        self.term == Term::Licence
    }

    fn at(&self, now: Moment) -> Self {
        let mut then = self.clone();
        // The time for the last request passes even if `advance` is not called.
        then.advance_unnoticed(now, u64::MAX);
        then
    }

    fn is_over(&self) -> bool {
        let has_ended = self.ends.left_ms(&self.timeline) == 0;
        self.term == Term::Over || has_ended && self.ask_first_ms.is_none_or(|ms| ms == 0)
    }

    fn take_away_licence(&mut self) {
        if self.term == Term::Licence {
            (self.term, self.ends, self.ask_first_ms) = (Term::Over, Due::on(0), None);
        }
    }

    /// An attempt brought no licence: a term that only waited for the attempt is over.
    fn asked(&mut self, chance: u64) {
        self.ask_first_ms = None;
        self.ask_after(self.activation_interval_minutes, chance);
    }

    fn ask_soon(&mut self, chance: u64) {
        self.next_attempt = Due::after(&self.timeline, chance % FIRST_ATTEMPT_SPREAD_MS);
    }

    /// Schedules the next request after the interval of R14, shortened by chance. The last attempt of a term is made
    /// shortly before its end, at a random time, because the terms of many machines may end together.
    fn ask_after(&mut self, minutes: u32, chance: u64) {
        let interval_ms = u64::from(minutes).saturating_mul(MINUTE_MS);
        let mut after_ms = interval_ms - chance % (interval_ms / JITTER_SHARE).max(1);
        let left_ms = self.ends.left_ms(&self.timeline);
        if left_ms > FIRST_ATTEMPT_SPREAD_MS {
            after_ms = after_ms.min(left_ms - chance % FIRST_ATTEMPT_SPREAD_MS);
        }
        self.next_attempt = Due::after(&self.timeline, after_ms);
    }
}

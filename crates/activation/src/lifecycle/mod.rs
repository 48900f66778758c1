//! The life of a client machine, pure (R13 to R15, R20 to R24): which state it is in, when it asks next, and what moves it.
//!
//! Time comes in as a [`Moment`], chance as a number; what to do and when comes out. The state that is kept has times
//! only: a licence is proved each time by [`Evidence`], which is verified anew from the bytes of the exchange, so editing
//! what is kept never makes one.
//!
//! Clocks may jump by months either way. One that is set back lengthens nothing. Where one that was set forward says that
//! a term is over, a host is asked first; and when it comes back, or a signed answer says how late it is, the term is again
//! what it was.
//!
//! What is not signed can be edited by whoever owns the file, so it can say no more than a new installation has.
//!
//! Invariants: licensed only with evidence of a count at or above the threshold, for 180 days of reckoned time and the time
//! it takes to ask once more; at most [`REARMS`] rearms.

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
/// R15: both graces.
pub const GRACE_MS: u64 = 30 * DAY_MS;
/// R21: how often the timers may be set anew.
pub const REARMS: u8 = 3;
/// Machines that start together first ask within this time, each at a moment of its own.
pub const FIRST_ATTEMPT_SPREAD_MS: u64 = MINUTE_MS;
/// Where only the wall clock says that a term is over, a host is asked first: the term goes on until that failed, and at
/// most while the machine runs for so long.
pub const ASK_FIRST_MS: u64 = ACTIVATION_INTERVAL_MINUTES_DEFAULT as u64 * MINUTE_MS;
/// Of an interval, the share that chance may take away: the guide's times still hold.
const JITTER_SHARE: u64 = 10;

/// Nothing is left to set the timers anew with (R21, R22).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no rearm is left: the timers can be set anew {REARMS} times")]
pub struct NoRearmsLeft;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    OutOfBoxGrace,
    Licence,
    OutOfToleranceGrace,
    /// A licence that was taken away, whatever its evidence says.
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

/// The life of one machine with one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    timeline: Timeline,
    term: Term,
    ends: Due,
    /// Only the wall clock says that the term is over: it goes on while the machine runs for so long.
    ask_first_ms: Option<u64>,
    next_attempt: Due,
    activation_interval_minutes: u32,
    renewal_interval_minutes: u32,
    rearms_left: u8,
    last_status: Option<Status>,
}

impl Lifecycle {
    /// A machine's first start: out-of-box grace (R15). `chance` is a random number, here and below.
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

    /// The program starts: an attempt that is overdue is made soon, but not by all machines of a building at once.
    pub fn wake(&mut self, now: Moment, chance: u64) {
        self.advance(now);
        if self.next_attempt.left_ms(&self.timeline) == 0 {
            self.ask_soon(chance);
        }
    }

    /// Takes note of the time; nothing else.
    pub fn advance(&mut self, now: Moment) {
        self.advance_unnoticed(now, 0);
    }

    /// Of the time that the machine ran since it took note, at most `unnoticed_ms` are counted as time to ask in.
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

    /// How the machine stands.
    #[must_use]
    pub fn standing(&self, now: Moment, installed: Installed) -> LicenseStanding {
        let then = self.at(now);
        let is_over = then.is_over();
        let state = match (installed, then.term) {
            (Installed::Nothing, _) => LicenseState::Unlicensed,
            (Installed::Direct { certified: true }, _) => LicenseState::Licensed,
            _ if is_over => LicenseState::Notification,
            (_, Term::OutOfBoxGrace) => LicenseState::OutOfBoxGrace,
            // A licence of hosts is for the product's setup key.
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

    /// Why the machine lost what it had, as the code that administrators know: its hardware is out of tolerance (R23), or
    /// a grace period expired (R15). None in every other state, and where a licence ran out: then the last attempt's
    /// status says why it was not renewed.
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

    /// What to do now.
    #[must_use]
    pub fn next(&self, now: Moment, installed: Installed) -> Next {
        match self.standing(now, installed).next_attempt {
            None => Next::Nothing,
            Some(Duration::ZERO) => Next::Attempt,
            Some(wait) => Next::Wait(wait),
        }
    }

    /// A host answered (R3, R13, R14): its signed time is believed, its intervals are taken over, and at or above the
    /// threshold the 180 days begin.
    pub fn answered(&mut self, now: Moment, evidence: &Evidence, chance: u64) {
        self.advance(now);
        let body = evidence.body();
        self.timeline.correct(body.cluster_time_ms);
        // What began by a clock that was ahead has no more days than what begins now.
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

    /// Nobody answered, or none that counts (R14). What is not signed moves no state; it only ends the wait for a host.
    pub fn failed(&mut self, now: Moment, status: Status, chance: u64) {
        self.advance(now);
        self.last_status = Some(status);
        self.asked(chance);
    }

    /// The hardware changed beyond tolerance (R15, R23): a licence turns into out-of-tolerance grace, and a host is to be
    /// asked. Gives whether it did.
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

    /// The evidence of a licence is gone, or is not for what is installed now: the licence ends, and a host is to be asked.
    pub fn lost_evidence(&mut self, now: Moment, chance: u64) {
        self.advance(now);
        self.take_away_licence();
        self.ask_soon(chance);
    }

    /// Sets the timers anew (R21): out-of-box grace, and what was licensed is so no more.
    pub fn rearm(&mut self, now: Moment, chance: u64) -> Result<(), NoRearmsLeft> {
        self.advance(now);
        self.rearms_left = self.rearms_left.checked_sub(1).ok_or(NoRearmsLeft)?;
        (self.term, self.ask_first_ms, self.last_status) = (Term::OutOfBoxGrace, None, None);
        self.ends = Due::after(&self.timeline, GRACE_MS);
        self.ask_soon(chance);
        Ok(())
    }

    /// The machine is to be an image for others (R22): the caller gives it another CMID and forgets its identity. Without a
    /// rearm left the timers stay, but no copy inherits a licence.
    pub fn generalize(&mut self, now: Moment, chance: u64) -> Result<(), NoRearmsLeft> {
        let rearmed = self.rearm(now, chance);
        if rearmed.is_err() {
            self.take_away_licence();
        }
        rearmed
    }

    /// Whether what is kept says that there is a licence, which evidence must prove.
    #[must_use]
    pub fn claims_licence(&self) -> bool {
        self.term == Term::Licence
    }

    fn at(&self, now: Moment) -> Self {
        let mut then = self.clone();
        // Where nobody takes note, the time to ask runs out all the same.
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

    /// An attempt was made in vain: what only waited for it is over.
    fn asked(&mut self, chance: u64) {
        self.ask_first_ms = None;
        self.ask_after(self.activation_interval_minutes, chance);
    }

    fn ask_soon(&mut self, chance: u64) {
        self.next_attempt = Due::after(&self.timeline, chance % FIRST_ATTEMPT_SPREAD_MS);
    }

    /// R14, less what chance takes away. The last attempt of a term is made shortly before its end, by machines whose terms
    /// end together at moments of their own.
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

//! The life of a client machine, pure (R13 to R15, R20 to R24): which state it is in, when it asks next, and what moves it.
//!
//! Time comes in as a [`Moment`], chance as a number; what to do and when comes out. The state that is kept has times
//! only: a licence is proved each time by [`Evidence`], which is verified anew from the bytes of the exchange, so editing
//! what is kept never makes one.
//!
//! Invariants: licensed only with evidence of a count at or above the threshold, for 180 days of reckoned time; time that
//! is reckoned never goes back but to a cluster's signed time; at most [`REARMS`] rearms.

mod encoding;
mod events;
mod evidence;
mod time;

use std::time::Duration;

use thiserror::Error;

pub use self::encoding::LifecycleError;
pub use self::events::{AnswerProcessed, RequestSent};
pub use self::evidence::{Evidence, EvidenceError};
pub use self::time::Moment;
use self::time::Timeline;
use crate::limits::{ACTIVATION_INTERVAL_MINUTES_DEFAULT, RENEWAL_INTERVAL_MINUTES_DEFAULT};
use crate::message::LicenseStatus;
use crate::status::Status;

const MINUTE_MS: u64 = 60 * 1000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// R13: what one answer is good for.
pub const LICENCE_MS: u64 = 180 * DAY_MS;
/// R15: both graces.
pub const GRACE_MS: u64 = 30 * DAY_MS;
/// R21: how often the timers may be set anew.
pub const REARMS: u8 = 3;
/// Machines that start together first ask within this time, each at a moment of its own.
pub const FIRST_ATTEMPT_SPREAD_MS: u64 = MINUTE_MS;
/// Where only the wall clock says that a term is over, a host is asked first, and for at most this long.
pub const ASK_FIRST_MS: u64 = ACTIVATION_INTERVAL_MINUTES_DEFAULT as u64 * MINUTE_MS;
/// Of an interval, the share that chance may take away: the guide's times still hold.
const JITTER_SHARE: u64 = 10;

/// What a machine may run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LicenseState {
    OutOfBoxGrace,
    Licensed,
    OutOfToleranceGrace,
    Notification,
    Unlicensed,
}

impl LicenseState {
    /// As commands print it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OutOfBoxGrace => "oob_grace",
            Self::Licensed => "licensed",
            Self::OutOfToleranceGrace => "oot_grace",
            Self::Notification => "notification",
            Self::Unlicensed => "unlicensed",
        }
    }

    /// As requests and events carry it.
    #[must_use]
    pub fn status(self) -> LicenseStatus {
        match self {
            Self::OutOfBoxGrace => LicenseStatus::OutOfBoxGrace,
            Self::Licensed => LicenseStatus::Licensed,
            Self::OutOfToleranceGrace => LicenseStatus::OutOfToleranceGrace,
            Self::Notification => LicenseStatus::Notification,
            Self::Unlicensed => LicenseStatus::Unlicensed,
        }
    }
}

/// Which way the machine is to be activated (R24), as its key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// No key.
    Nothing,
    /// A setup key: hosts are asked.
    Setup,
    /// A direct key; whether the publisher's certificate holds for this machine.
    Direct { certified: bool },
}

/// How a machine stands at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub state: LicenseState,
    /// Until the state ends; none where it does not end by itself.
    pub minutes_left: Option<u64>,
    /// Until a host is asked; none where none is.
    pub next_attempt: Option<Duration>,
    pub rearms_left: u8,
    /// Of the last attempt.
    pub last_status: Option<Status>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask a host, and say [`Lifecycle::answered`] or [`Lifecycle::failed`].
    Attempt,
    /// Look again then, or when something happens.
    Wait(Duration),
    /// No host is asked: no key is installed, or a direct one.
    Nothing,
}

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

/// The life of one machine with one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    timeline: Timeline,
    term: Term,
    ends_ms: u64,
    /// Only the wall clock says that the term is over: until then it goes on, so that a host is asked first.
    ask_first_until_ms: Option<u64>,
    next_attempt_ms: u64,
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
            ends_ms: timeline.reckoned_ms.saturating_add(GRACE_MS),
            ask_first_until_ms: None,
            next_attempt_ms: 0,
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
        if self.next_attempt_ms <= self.timeline.reckoned_ms {
            self.ask_soon(chance);
        }
    }

    /// Takes note of the time; nothing else.
    pub fn advance(&mut self, now: Moment) {
        let was_over = self.timeline.reckoned_ms >= self.ends_ms;
        let unvouched_ms = self.timeline.advance(now);
        let is_over = self.timeline.reckoned_ms >= self.ends_ms;
        let vouched_ms = self.timeline.reckoned_ms.saturating_sub(unvouched_ms);
        if is_over && !was_over && vouched_ms < self.ends_ms {
            self.ask_first_until_ms = Some(self.timeline.reckoned_ms.saturating_add(ASK_FIRST_MS));
        }
    }

    /// How the machine stands.
    #[must_use]
    pub fn standing(&self, now: Moment, installed: Installed) -> Standing {
        let then = self.at(now);
        let (reckoned_ms, is_over) = (then.timeline.reckoned_ms, then.is_over());
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
        let wait_ms = then.next_attempt_ms.saturating_sub(reckoned_ms);
        Standing {
            state,
            minutes_left: ends.then(|| then.ends_ms.saturating_sub(reckoned_ms) / MINUTE_MS),
            next_attempt: (installed == Installed::Setup).then(|| Duration::from_millis(wait_ms)),
            rearms_left: then.rearms_left,
            last_status: then.last_status,
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
        if self.term != Term::Licence {
            // A grace that began by a clock that was ahead has no more days than one that begins now.
            self.ends_ms = self.ends_ms.min(self.timeline.reckoned_ms.saturating_add(GRACE_MS));
        }
        self.activation_interval_minutes = body.activation_interval_minutes;
        self.renewal_interval_minutes = body.renewal_interval_minutes;
        match evidence.licensed_until_ms() {
            Some(until_ms) => {
                (self.term, self.ends_ms, self.ask_first_until_ms) = (Term::Licence, until_ms, None);
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
            self.ends_ms = self.timeline.reckoned_ms.saturating_add(GRACE_MS);
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
        (self.term, self.ask_first_until_ms, self.last_status) = (Term::OutOfBoxGrace, None, None);
        self.ends_ms = self.timeline.reckoned_ms.saturating_add(GRACE_MS);
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
        then.advance(now);
        then
    }

    fn is_over(&self) -> bool {
        let reckoned_ms = self.timeline.reckoned_ms;
        let has_ended = reckoned_ms >= self.ends_ms || self.term == Term::Over;
        has_ended && self.ask_first_until_ms.is_none_or(|until_ms| reckoned_ms >= until_ms)
    }

    fn take_away_licence(&mut self) {
        if self.term == Term::Licence {
            (self.term, self.ends_ms, self.ask_first_until_ms) = (Term::Over, 0, None);
        }
    }

    /// An attempt was made in vain: what only waited for it is over.
    fn asked(&mut self, chance: u64) {
        if self.timeline.reckoned_ms >= self.ends_ms {
            self.ask_first_until_ms = None;
        }
        self.ask_after(self.activation_interval_minutes, chance);
    }

    fn ask_soon(&mut self, chance: u64) {
        let at_ms = self.timeline.reckoned_ms.saturating_add(chance % FIRST_ATTEMPT_SPREAD_MS);
        self.ask_at(at_ms);
    }

    /// R14, less what chance takes away.
    fn ask_after(&mut self, minutes: u32, chance: u64) {
        let interval_ms = u64::from(minutes).saturating_mul(MINUTE_MS);
        let earlier_ms = chance % (interval_ms / JITTER_SHARE).max(1);
        self.ask_at(self.timeline.reckoned_ms.saturating_add(interval_ms - earlier_ms));
    }

    /// Never later than the end of the term.
    fn ask_at(&mut self, at_ms: u64) {
        let is_ahead = self.ends_ms > self.timeline.reckoned_ms;
        self.next_attempt_ms = if is_ahead { at_ms.min(self.ends_ms) } else { at_ms };
    }
}

//! A machine's license state and its next action, as values for callers.

use std::time::Duration;

use crate::message::LicenseStatus;
use crate::status::Status;

/// The license states of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LicenseState {
    OutOfBoxGrace,
    Licensed,
    OutOfToleranceGrace,
    Notification,
    Unlicensed,
}

impl LicenseState {
    /// The name that commands print.
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

    /// The value that requests and events carry.
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

/// How the machine is activated (R24), as its key determines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// No key is installed.
    Nothing,
    /// A setup key: the machine asks hosts.
    Setup,
    /// A direct key. `certified` states whether the publisher's certificate is valid for this machine.
    Direct { certified: bool },
}

/// A machine's license state at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LicenseStanding {
    pub state: LicenseState,
    /// Minutes until the state ends; `None` where it does not end by itself.
    pub minutes_left: Option<u64>,
    /// Time until the next request to a host; `None` where none is due.
    pub next_attempt: Option<Duration>,
    pub rearms_left: u8,
    /// The status of the last attempt.
    pub last_status: Option<Status>,
}

/// The next action of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask a host, then call [`super::Lifecycle::answered`] or [`super::Lifecycle::failed`].
    Attempt,
    /// Check again after this time or on an event, and every hour with [`super::Lifecycle::advance`], because clocks
    /// may jump.
    Wait(Duration),
    /// Ask no host: no key is installed, or a direct key.
    Nothing,
}

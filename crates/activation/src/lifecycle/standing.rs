//! How a machine stands and what it is to do, as values for those who drive it and those who look.

use std::time::Duration;

use crate::message::LicenseStatus;
use crate::status::Status;

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
pub struct LicenseStanding {
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
    /// Ask a host, and say [`super::Lifecycle::answered`] or [`super::Lifecycle::failed`].
    Attempt,
    /// Look again then, or when something happens; and every hour, with [`super::Lifecycle::advance`], because clocks may jump.
    Wait(Duration),
    /// No host is asked: no key is installed, or a direct one.
    Nothing,
}

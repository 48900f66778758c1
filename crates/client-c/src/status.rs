//! The machine's license state, as C reads it.

use std::ffi::c_char;

use activation::lifecycle::LicenseState;
use client::{ClientStatus, FoundBy};

use crate::text::buffer;

/// Size of a product's name, in bytes with the terminating zero.
pub const QUORATE_PRODUCT_BYTES: usize = 64;
/// Size of a CMID as text, in bytes with the terminating zero.
pub const QUORATE_CMID_BYTES: usize = 37;
/// Size of a host with its port, in bytes with the terminating zero.
pub const QUORATE_HOST_BYTES: usize = 264;
/// Size of the text of a status, in bytes with the terminating zero.
pub const QUORATE_WORDS_BYTES: usize = 128;

/// The licence state of the machine.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuorateState {
    /// No key is installed.
    Unlicensed = 0,
    /// The initial grace period of 30 days.
    OutOfBoxGrace = 1,
    /// Licensed, for up to 180 days from the last answer.
    Licensed = 2,
    /// The hardware changed: a grace period of 30 days in which the machine must be activated again.
    OutOfToleranceGrace = 3,
    /// The grace period or the licence has expired: inform the user, and keep calling quorate_client_activate.
    Notification = 4,
}

/// How the first host is found.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuorateFoundBy {
    /// It was set with quorate_client_set_host.
    Fixed = 0,
    /// It sent the last answer.
    Cache = 1,
    /// It is looked up in DNS.
    Srv = 2,
}

/// The status of the machine. Texts are UTF-8 and zero-terminated.
#[repr(C)]
pub struct QuorateStatus {
    pub state: QuorateState,
    /// How the first host is found.
    pub found_by: QuorateFoundBy,
    /// Minutes until the state ends by itself; -1 where it does not.
    pub minutes_left: i64,
    /// Seconds until quorate_client_activate should be called; 0: now; -1: the machine is not activated by hosts.
    pub seconds_to_next_attempt: i64,
    /// The status of the last attempt, an HRESULT; -1 before the first one.
    pub last_status: i64,
    /// How often the timers can still be reset.
    pub rearms_left: u32,
    /// The text of last_status; empty before the first attempt.
    pub last_words: [c_char; QUORATE_WORDS_BYTES],
    /// The product of the installed key, by its name in the catalog; empty where there is none.
    pub product: [c_char; QUORATE_PRODUCT_BYTES],
    /// The client machine id (CMID), by which hosts count the machine.
    pub cmid: [c_char; QUORATE_CMID_BYTES],
    /// The first host, HOST:PORT; empty where hosts are looked up in DNS.
    pub host: [c_char; QUORATE_HOST_BYTES],
}

impl From<&ClientStatus> for QuorateStatus {
    fn from(status: &ClientStatus) -> Self {
        let standing = status.standing;
        let number = |value: Option<u64>| value.map_or(-1, |value| i64::try_from(value).unwrap_or(i64::MAX));
        // Rounded up, so that the program does not make an attempt a fraction of a second too early.
        let seconds = standing.next_attempt.map(|wait| wait.as_millis().div_ceil(1000));
        Self {
            state: match standing.state {
                LicenseState::Unlicensed => QuorateState::Unlicensed,
                LicenseState::OutOfBoxGrace => QuorateState::OutOfBoxGrace,
                LicenseState::Licensed => QuorateState::Licensed,
                LicenseState::OutOfToleranceGrace => QuorateState::OutOfToleranceGrace,
                LicenseState::Notification => QuorateState::Notification,
            },
            found_by: match status.found_by {
                FoundBy::Fixed => QuorateFoundBy::Fixed,
                FoundBy::Cache => QuorateFoundBy::Cache,
                FoundBy::Srv => QuorateFoundBy::Srv,
            },
            minutes_left: number(standing.minutes_left),
            seconds_to_next_attempt: number(seconds.map(|seconds| u64::try_from(seconds).unwrap_or(u64::MAX))),
            last_status: number(standing.last_status.map(|status| status.0.into())),
            rearms_left: standing.rearms_left.into(),
            last_words: buffer(standing.last_status.map_or("", |status| status.words())),
            product: buffer(status.product.as_ref().map_or("", |product| product.as_str())),
            cmid: buffer(&status.cmid.to_string()),
            host: buffer(status.host.as_deref().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use activation::limits::NAME_BYTES_MAX;
    use activation::status::Status;

    use super::*;

    #[test]
    fn every_text_has_room() {
        const { assert!(NAME_BYTES_MAX < QUORATE_PRODUCT_BYTES) };
        const { assert!(client::limits::NAME_BYTES_MAX + ":65535".len() < QUORATE_HOST_BYTES) };
        for status in Status::ALL {
            assert!(status.words().len() < QUORATE_WORDS_BYTES, "{status}");
        }
    }
}

//! Why a call failed, sorted by which side can correct it.

use std::error::Error;
use std::ffi::c_char;

use activation::status::Status;
use client::{AskError, ClientError, StateError};

use crate::text::buffer;

/// Size of the message in QuorateError, in bytes with the terminating zero.
pub const QUORATE_MESSAGE_BYTES: usize = 1024;
/// Size of the advice in QuorateError, in bytes with the terminating zero.
pub const QUORATE_ADVICE_BYTES: usize = 256;

/// The result of a call.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuorateResult {
    /// The call succeeded.
    Done = 0,
    /// Not activated: no host could be reached, all hosts refused, or the count is below the threshold. An
    /// earlier licence stays valid.
    NotActivated = 1,
    /// An argument is missing or invalid: an error in the calling program.
    Argument = 2,
    /// The key is mistyped, or not valid for this product or machine.
    KeyRefused = 3,
    /// This account has no access to the folder.
    Denied = 4,
    /// Another process is using the folder: call again.
    Busy = 5,
    /// The folder cannot be read or written: it is damaged, was written by a newer version, or the disk is full.
    Folder = 6,
    /// An internal error of this library, or a system without randomness or sockets. The handle can only be freed.
    Internal = 7,
}

/// The reason why a call failed. A call that succeeds clears it.
#[repr(C)]
pub struct QuorateError {
    /// The result that the call returned; for quorate_client_open, the corresponding result.
    pub result: QuorateResult,
    /// The status code (an HRESULT, such as 0xC004F074); 0 where there is none.
    pub status: u32,
    /// The error message for people: UTF-8, zero-terminated.
    pub message: [c_char; QUORATE_MESSAGE_BYTES],
    /// The next step, as a sentence; empty where the message contains it.
    pub advice: [c_char; QUORATE_ADVICE_BYTES],
}

/// The error before it is written to the caller's memory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) result: QuorateResult,
    status: Status,
    message: String,
    advice: &'static str,
}

impl Failure {
    pub(crate) fn argument(message: String) -> Self {
        Self::new(QuorateResult::Argument, message)
    }

    pub(crate) fn internal(message: String) -> Self {
        Self::new(QuorateResult::Internal, message)
    }

    fn new(result: QuorateResult, message: String) -> Self {
        Self { result, status: Status::OK, message, advice: "" }
    }

    /// The key was refused.
    pub(crate) fn key(error: &dyn Error) -> Self {
        let advice = Status::KEY_INVALID.advice();
        Self { result: QuorateResult::KeyRefused, status: Status::KEY_INVALID, message: chain(error), advice }
    }

    /// A host answered, and the count is below the threshold.
    pub(crate) fn below_threshold(count: u32, threshold: u32) -> Self {
        let status = Status::BELOW_THRESHOLD;
        let message = format!("{} The count is {count}, the threshold {threshold}.", status.words());
        Self { result: QuorateResult::NotActivated, status, message, advice: status.advice() }
    }

    pub(crate) fn not_activated(message: String) -> Self {
        Self::new(QuorateResult::NotActivated, message)
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        let hosts = error.tried().iter().map(|tried| format!("; {}", chain(&tried.error)));
        let message = [chain(&error)].into_iter().chain(hosts).collect();
        Self { result: QuorateResult::NotActivated, status: error.status(), message, advice: error.advice() }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let result = match &error {
            ClientError::State(StateError::InUse { .. }) => QuorateResult::Busy,
            ClientError::State(StateError::Denied { .. }) => QuorateResult::Denied,
            ClientError::State(StateError::NoEntropy(_)) | ClientError::NoEntropy(_) | ClientError::NoRearmsLeft(_) => {
                QuorateResult::Internal
            }
            ClientError::State(StateError::Newer { .. } | StateError::Damaged { .. } | StateError::Io { .. })
            | ClientError::Times { .. } => QuorateResult::Folder,
            ClientError::Key(error) => return Self::key(error),
            ClientError::NoCatalog => QuorateResult::Argument,
            ClientError::NotForHosts | ClientError::KeyStillNeeded(_) => QuorateResult::NotActivated,
        };
        Self { status: error.status(), ..Self::new(result, chain(&error)) }
    }
}

impl QuorateError {
    pub(crate) fn of(failure: Option<&Failure>) -> Self {
        match failure {
            None => Self { result: QuorateResult::Done, status: 0, message: buffer(""), advice: buffer("") },
            Some(Failure { result, status, message, advice }) => {
                Self { result: *result, status: status.0, message: buffer(message), advice: buffer(advice) }
            }
        }
    }
}

/// An error with its causes, without repetition.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use activation::channel::InstallKeyError;

    use super::*;

    #[test]
    fn every_advice_has_room() {
        for status in Status::ALL {
            assert!(status.advice().len() < QUORATE_ADVICE_BYTES, "{status}");
        }
    }

    #[test]
    fn each_error_is_for_the_one_who_can_do_something_about_it_with_the_status_of_its_reason() {
        let folder = || "folder".into();
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let table: [(ClientError, QuorateResult, u32); 7] = [
            (StateError::InUse { folder: folder() }.into(), QuorateResult::Busy, 0x8007_0020),
            (StateError::Denied { path: folder() }.into(), QuorateResult::Denied, 0x8007_0005),
            (StateError::Newer { path: folder(), found: 9 }.into(), QuorateResult::Folder, 0x8007_051A),
            (StateError::Io { path: folder(), source: full() }.into(), QuorateResult::Folder, 0x8007_0070),
            (InstallKeyError::HostKey.into(), QuorateResult::KeyRefused, 0xC004_F050),
            (ClientError::NoCatalog, QuorateResult::Argument, 0x8007_0490),
            (ClientError::NotForHosts, QuorateResult::NotActivated, 0x8007_0490),
        ];
        for (error, result, status) in table {
            assert_eq!(error.status(), Status(status), "{error}");
            let failure = Failure::from(error);
            assert_eq!((failure.result, failure.status), (result, Status(status)), "{failure:?}");
        }
    }
}

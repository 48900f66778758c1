//! Events of a client machine, as [`crate::Client::next`] returns them.

use std::fmt;

use activation::lifecycle::{AnswerProcessed, EvidenceError, LicenseState, RequestSent};
use activation::status::Status;

use crate::client_error::ClientError;

/// An event of a client machine.
#[derive(Debug)]
pub enum Event {
    /// Event 12288: the client sent a request to a host.
    Sent(RequestSent),
    /// Event 12289: the client processed the answer.
    Answered(AnswerProcessed),
    /// No host gave a valid answer.
    Failed { status: Status, error: String },
    StateChanged {
        before: LicenseState,
        after: LicenseState,
        /// The cause: 0xC004F00F where the hardware is out of tolerance (R23), 0xC004F009 where a grace period
        /// expired (R15).
        reason: Option<Status>,
    },
    /// The machine differs from the recorded one: its hardware changed, or the folder was copied from another
    /// machine.
    HardwareChanged { was_licensed: bool },
    /// The stored proof of a licence does not verify.
    EvidenceLost(EvidenceError),
    /// The state could not be read or stored; the client tries again.
    Trouble(ClientError),
}

impl Event {
    /// The number of the event that administrators see; `None` where it has none.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        match self {
            Self::Sent(_) => Some(RequestSent::ID),
            Self::Answered(_) => Some(AnswerProcessed::ID),
            _ => None,
        }
    }

    /// The HRESULT of the event; `None` where it has none.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match self {
            Self::Sent(sent) => Some(sent.status),
            Self::Answered(answered) => Some(answered.status),
            Self::Failed { status, .. } => Some(*status),
            Self::StateChanged { reason, .. } => *reason,
            Self::HardwareChanged { .. } => Some(Status::HARDWARE_OUT_OF_TOLERANCE),
            Self::Trouble(error) => Some(error.status()),
            Self::EvidenceLost(_) => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(sent) => write!(f, "a request was sent: {sent}"),
            Self::Answered(answered) => write!(f, "an answer was processed: {answered}"),
            Self::Failed { status, error } => write!(f, "no host gave a valid answer ({status}): {error}"),
            Self::StateChanged { before, after, reason } => {
                write!(f, "the state changed from {} to {}", before.name(), after.name())?;
                reason.map_or(Ok(()), |reason| write!(f, ": {} ({reason})", reason.words()))
            }
            Self::HardwareChanged { was_licensed: true } => f.write_str(
                "the hardware changed, or this is a copy of the licensed machine (run `quorate client generalize` on a \
                 copy); activate the machine within 30 days",
            ),
            Self::HardwareChanged { was_licensed: false } => f.write_str(
                "the hardware changed, or this is a copy of another machine (run `quorate client generalize` on a \
                 copy)",
            ),
            Self::EvidenceLost(error) => write!(f, "the stored evidence of a licence is not valid: {error}"),
            Self::Trouble(error) => error.fmt(f),
        }
    }
}

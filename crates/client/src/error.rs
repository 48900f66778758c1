//! Why a host gave no valid answer, sorted by which side is to blame.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use activation::catalog::Name;
use activation::message::{AnswerError, RefusalDetail};
use activation::status::Status;
use dcerpc::ndr::BadStub;
use dcerpc::{AssociationError, fault};
use thiserror::Error;

use crate::address::HostAddress;

/// No verified answer. None of these replies is signed, so the next host may still answer.
#[derive(Debug, Error)]
pub enum ActivateError {
    /// The host understood the request and refused it.
    #[error("the host at {peer} refused: {} ({status}){}", status.words(), Detail(detail.as_ref()))]
    Refused {
        peer: SocketAddr,
        /// The host's HRESULT: not 0, and possibly one that has no text in this version.
        status: Status,
        /// With 0xC004F042, from hosts that send it: which group is needed and which groups the host holds. With
        /// 0xC004F039: the limit of new machines that was reached. Advice for the user, as unsigned as the refusal
        /// itself.
        detail: Option<RefusalDetail>,
    },
    /// The host's RPC layer ended the call: the host is busy, or did not accept the bytes as a request.
    #[error("the host at {peer} ended the call with fault 0x{status:08x}")]
    Fault {
        peer: SocketAddr,
        /// The fault code: one of [`dcerpc::fault`], or another.
        status: u32,
    },
    /// The host was not reached, or sent no reply.
    #[error("cannot connect to a host at {host}")]
    NotReached {
        host: HostAddress,
        #[source]
        reason: NotReached,
    },
    /// An answer that does not verify: of another publisher, replayed, changed on the way, or not covering the
    /// product.
    #[error("the answer from {peer} cannot be trusted")]
    NotTrusted {
        peer: SocketAddr,
        #[source]
        error: AnswerError,
    },
    /// A server of another kind listens at the address.
    #[error("the server at {peer} is not an activation host")]
    Protocol {
        peer: SocketAddr,
        #[source]
        error: NotAHost,
    },
}

/// Why there was no reply.
#[derive(Debug, Error)]
pub enum NotReached {
    #[error("the name lookup failed")]
    Lookup(#[source] io::Error),
    #[error("the name has no address")]
    NoAddress,
    /// The last of the IP addresses; the others failed as well.
    #[error("cannot connect to {address}")]
    Connect {
        address: SocketAddr,
        #[source]
        error: io::Error,
    },
    #[error("the connection was interrupted")]
    Broken(#[source] io::Error),
    #[error("the connection was closed without an answer")]
    Closed,
    #[error("no answer in time")]
    Silent,
    /// An earlier exchange on the same session timed out, was dropped, or failed.
    #[error("the session cannot be used: an earlier exchange on it was not completed")]
    SessionOver,
}

/// How a server showed that it is not an activation host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotAHost {
    #[error(transparent)]
    Rpc(#[from] AssociationError),
    #[error("its answer is not marshalled as the interface requires")]
    Stub(BadStub),
}

/// The detail of a refusal, as the end of a sentence.
struct Detail<'a>(Option<&'a RefusalDetail>);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(RefusalDetail { needed, held, new_cmids_per_minute }) = self.0 else { return Ok(()) };
        if *new_cmids_per_minute > 0 {
            return write!(
                f,
                ": it accepts {new_cmids_per_minute} new machines per minute from one client address, and this limit \
                 is reached; try again in a minute"
            );
        }
        match needed {
            Some(needed) => write!(f, ": this product needs a host key of group {needed} or higher")?,
            None => f.write_str(": the host's catalog does not list this product")?,
        }
        match held.as_slice() {
            [] => Ok(()),
            held => {
                write!(f, "; the host has keys of {}", held.iter().map(Name::as_str).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl ActivateError {
    /// The HRESULT of the error: the host's own where the host refused, otherwise the client's.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Refused { status, .. } => *status,
            Self::Fault { .. } => Status::HOST_UNAVAILABLE,
            Self::NotTrusted { error: AnswerError::Blocked, .. } => Status::KEY_BLOCKED,
            Self::NotTrusted { error: AnswerError::NotCovered, .. } => Status::KEY_DOES_NOT_COVER_PRODUCT,
            Self::NotTrusted { error: AnswerError::Ended, .. } => Status::HOST_NOT_ACTIVATED,
            Self::NotReached { .. } | Self::NotTrusted { .. } | Self::Protocol { .. } => Status::NO_HOST_REACHED,
        }
    }

    /// The next step, as a sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Refused { status, .. } => status.advice(),
            Self::Fault { status: fault::SERVER_TOO_BUSY, .. } => "Try again later, or use another host.",
            Self::Fault { .. } => {
                "Compare the versions of client and host; the host's log has the reason of the fault."
            }
            Self::NotReached { reason, .. } => reason.advice(),
            Self::NotTrusted { error, .. } => distrust_advice(error),
            Self::Protocol { .. } => {
                "Check the host's address and port; hosts of other vendors often listen on 1688 as well."
            }
        }
    }
}

impl NotReached {
    fn advice(&self) -> &'static str {
        match self {
            Self::Lookup(_) | Self::NoAddress => "Check the host's name and the DNS servers of this machine.",
            Self::Connect { .. } => "Check that the host runs, its address and port, and the firewalls in between.",
            Self::Broken(_) | Self::Closed => "Try again; if it fails again, see the host's log for the reason.",
            Self::Silent => "Check that the host has a quorum (`quorate cluster status` there), or use another host.",
            Self::SessionOver => "Open a new session.",
        }
    }
}

fn distrust_advice(error: &AnswerError) -> &'static str {
    match error {
        AnswerError::UntrustedHost => {
            "Use a host with a key of this publisher, or the trust file of the host's publisher."
        }
        AnswerError::NoCatalog | AnswerError::UnknownProduct => "Get a newer trust file from the publisher.",
        AnswerError::Blocked => Status::KEY_BLOCKED.advice(),
        AnswerError::NotCovered => Status::KEY_DOES_NOT_COVER_PRODUCT.advice(),
        AnswerError::Ended => Status::HOST_NOT_ACTIVATED.advice(),
        AnswerError::Signature | AnswerError::Malformed(_) => {
            "Use another host, and find out what changes or replays answers between this machine and the host."
        }
    }
}

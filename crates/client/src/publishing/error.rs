//! Why a publisher's service gave no answer.

use std::fmt;

use activation::hresult;
use activation::id::NodeId;
use activation::status::Status;
use thiserror::Error;
use tokio_rustls::rustls;

use crate::address::{HostAddress, InvalidAddress};
use crate::error::NotReached;

/// No answer of the given publisher.
#[derive(Debug, Error)]
pub enum PublishingError {
    #[error("invalid address of a publisher's service: {0}")]
    Address(#[from] InvalidAddress),
    #[error("the file of authority certificates cannot be used: {0}")]
    Certificates(&'static str),
    /// The publisher was not reached, or sent no reply. Whether it performed the request is unknown; a retry gets
    /// the same answer.
    #[error("cannot connect to a publisher at {address}")]
    NotReached {
        address: HostAddress,
        #[source]
        reason: NotReached,
    },
    /// The server has no certificate that this publisher signed.
    #[error("the server at {address} is not this publisher")]
    NotThisPublisher {
        address: HostAddress,
        #[source]
        error: rustls::Error,
    },
    /// The publisher's rules refuse the request: no certificate was issued and no activation was used.
    #[error("the publisher refused: {}", Listed(.0))]
    Refused(Vec<Refusal>),
    /// The publisher was verified, and cannot answer now.
    #[error("the publisher at {address} cannot answer now: {message}")]
    Unavailable { address: HostAddress, message: String },
    /// The server is not a publisher's service, or runs another version.
    #[error("the server at {address} is not a publisher's service: {message}")]
    Protocol { address: HostAddress, message: String },
}

/// One entry that the publisher refused, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{status} {reason}", Asking(*.node))]
pub struct Refusal {
    /// The node of the entry; `None` where a machine asked for itself.
    pub node: Option<NodeId>,
    pub status: Status,
    /// The reason as text, in the publisher's wording.
    pub reason: String,
}

struct Listed<'a>(&'a [Refusal]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, refusal) in self.0.iter().enumerate() {
            write!(f, "{}{refusal}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

struct Asking(Option<NodeId>);

impl fmt::Display for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |node| write!(f, "node {node}: "))
    }
}

impl PublishingError {
    /// The HRESULT of the error: the publisher's own where it refused, otherwise the client's.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Refused(refusals) => refusals.first().map_or(Status::ACCESS_DENIED, |refusal| refusal.status),
            Self::NotThisPublisher { .. } => Status::ACCESS_DENIED,
            Self::NotReached { .. } | Self::Unavailable { .. } => Status::HOST_UNAVAILABLE,
            Self::Address(_) => hresult::INVALID_ARGUMENT,
            Self::Certificates(_) | Self::Protocol { .. } => hresult::INVALID_DATA,
        }
    }

    /// The next step, as a sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Refused(_) => self.status().advice(),
            Self::Address(_) => "Give the address of the publisher's service as HOST:PORT.",
            Self::Certificates(_) => "Give the certificates of the publisher's certification authority in PEM.",
            Self::NotReached { reason, .. } => match reason {
                NotReached::Lookup(_) | NotReached::NoAddress => {
                    "Check the name of the publisher's service and the DNS servers of this machine."
                }
                NotReached::Connect { .. } => {
                    "Check address and port of the publisher's service, and the firewalls in between."
                }
                _ => "Try again: the same request gets the same answer, and spends nothing twice.",
            },
            Self::NotThisPublisher { .. } => {
                "Check the address; where the service uses a certificate of another authority, give the file of that \
                 authority. Otherwise the connection may be intercepted."
            }
            Self::Unavailable { .. } => "Try again later: the same request spends nothing twice.",
            Self::Protocol { .. } => "Check address and port, and compare the versions of both sides.",
        }
    }
}

//! Why a node gets no certificate, with the code of each reason.

use std::fmt;

use activation::{catalog::Name, id::NodeId, key::KeyKind, status::Status};

/// The refused requests of a file, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusals(pub Vec<Refusal>);

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, refusal) in self.0.iter().enumerate() {
            write!(f, "{}{refusal}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {node}: {} {reason}", reason.status())]
pub struct Refusal {
    /// The node that asked.
    pub node: NodeId,
    /// Why it gets nothing.
    pub reason: Reason,
}

/// Why a node gets no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Somebody else asked in its name, or the file was changed.
    #[error("the request is not signed by the node key in it")]
    Signature,
    /// Somebody else gives the place back in its name, or the file was changed.
    #[error("the release is not signed by the node key in it")]
    ReleaseSignature,
    /// The place is not one of this publisher's.
    #[error("the release is meant for another publisher")]
    OtherPublisher,
    /// The id was answered before, for something else.
    #[error("its request id was used for another request: ask with a new request")]
    RequestIdReused,
    /// The node key was certified and holds no activation slot any more: it gave the slot back, the slot was freed, or
    /// another node key of the same host took it over (R31). A request that was answered before is refused with it.
    #[error(
        "its node key has no activation slot any more: it was released, freed, or replaced by another one; have the node \
         make a new key with `quorate key activate --new-key --node {node}`, and --publisher HOST:PORT or --offline FILE"
    )]
    NodeKeySpent {
        /// The node that asked.
        node: NodeId,
    },
    /// Never issued here.
    #[error("this publisher issued no such key")]
    UnknownKey,
    /// A setup or direct key.
    #[error("a host key is needed, and this is a {0}")]
    WrongKind(KeyKind),
    /// On record, or in the catalog that was signed last.
    #[error("the key is blocked")]
    KeyBlocked,
    /// Not in the catalog.
    #[error("the catalog has no platform class `{0}`")]
    UnknownPlatform(Name),
    /// R34.
    #[error("platform class `{platform}` may not hold keys of group `{group}`")]
    Platform {
        /// What the node runs on.
        platform: Name,
        /// The group of the key.
        group: Name,
    },
    /// The publisher wants hosts that are told by their whole machine.
    #[error(
        "the key is for hosts that are told from others by their machine, and node {node} is told by {found}: set `identity = \"machine\"` \
         in its configuration, start it again, and activate it with `--new-key`"
    )]
    Identity {
        /// The node that asked.
        node: NodeId,
        /// `its data folder`, or `some factors of its machine`.
        found: &'static str,
    },
    /// R31: all places are taken.
    #[error("the key is good for {limit} hosts, and all are activated")]
    HostsUsedUp {
        /// Places of the key.
        limit: u32,
    },
    /// R31: this host was activated again too often.
    #[error("the key is good for {limit} re-activations of a host, and this host has used them")]
    ReactivationsUsedUp {
        /// Re-activations of each host.
        limit: u32,
    },
}

impl Reason {
    /// The code that administrators know.
    pub fn status(&self) -> Status {
        match self {
            Self::Signature | Self::ReleaseSignature | Self::OtherPublisher | Self::RequestIdReused => {
                Status::ACCESS_DENIED
            }
            Self::UnknownKey
            | Self::WrongKind(_)
            | Self::UnknownPlatform(_)
            | Self::Platform { .. }
            | Self::Identity { .. } => Status::KEY_INVALID,
            Self::KeyBlocked => Status::KEY_BLOCKED,
            Self::NodeKeySpent { .. } => Status::HOST_NOT_ACTIVATED,
            Self::HostsUsedUp { .. } | Self::ReactivationsUsedUp { .. } => Status::KEY_LIMIT_REACHED,
        }
    }
}

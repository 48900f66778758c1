//! Why a node receives no certificate, with an HRESULT for each reason.

use std::fmt;

use activation::{catalog::Name, id::NodeId, key::KeyKind, status::Status};

/// The refused entries of a file, at least one.
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

/// A refused entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {node}: {} {reason}", reason.status())]
pub struct Refusal {
    /// The node of the entry.
    pub node: NodeId,
    /// The reason of the refusal.
    pub reason: Reason,
}

/// Why a node receives no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The request is not signed by the node key in it: another key signed it, or the file was changed.
    #[error("the request is not signed by the node key in it")]
    Signature,
    /// The release is not signed by the node key in it: another key signed it, or the file was changed.
    #[error("the release is not signed by the node key in it")]
    ReleaseSignature,
    /// The released activation slot is of another publisher's key.
    #[error("the release is addressed to another publisher")]
    OtherPublisher,
    /// The id was used before for another request.
    #[error("its request id was used for another request: make a new request")]
    RequestIdReused,
    /// The node key was certified and no longer holds an activation slot: it gave the slot back, the slot was freed,
    /// or another node key of the same host took it over (R31). A request that was answered before is then refused,
    /// too.
    #[error(
        "its node key has no activation slot any more: it was released, freed, or replaced by another one; have the node \
         make a new key with `quorate key activate --new-key --node {node}`, and --publisher HOST:PORT or --offline FILE"
    )]
    NodeKeySpent {
        /// The node of the request.
        node: NodeId,
    },
    /// This publisher did not issue the key.
    #[error("this publisher issued no such key")]
    UnknownKey,
    /// The key is a setup key or a direct key.
    #[error("a host key is needed, but this is a {0}")]
    WrongKind(KeyKind),
    /// The key is blocked on record, or in the last signed catalog.
    #[error("the key is blocked")]
    KeyBlocked,
    /// The catalog has no such platform class.
    #[error("the catalog has no platform class `{0}`")]
    UnknownPlatform(Name),
    /// R34: the platform class may not hold keys of the group.
    #[error("platform class `{platform}` may not hold keys of group `{group}`")]
    Platform {
        /// The platform class of the node.
        platform: Name,
        /// The group of the key.
        group: Name,
    },
    /// The key requires hosts that are identified by their whole machine.
    #[error(
        "the key accepts only hosts that are identified by all hardware factors, but node {node} is identified by \
         {found}: set `identity = \"machine\"` in its configuration, start it again, and activate it with `--new-key`"
    )]
    Identity {
        /// The node of the request.
        node: NodeId,
        /// The kind of identity that the node has: `its data folder`, or `some factors of its machine`.
        found: &'static str,
    },
    /// R31: all activation slots are in use.
    #[error("the limit of {limit} hosts of this key is reached")]
    HostsUsedUp {
        /// The number of activation slots of the key.
        limit: u32,
    },
    /// R31: this host has used all its reactivations.
    #[error("the limit of {limit} reactivations of this host is reached")]
    ReactivationsUsedUp {
        /// The number of reactivations of each host.
        limit: u32,
    },
}

impl Reason {
    /// The HRESULT of the reason.
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

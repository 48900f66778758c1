//! Outcomes of applying a command.

use prost::Message;
use thiserror::Error;

use super::registration::Holder;
use crate::catalog::CatalogError;
use crate::certificate::CertificateError;
use crate::coded::Coded;
use crate::host_activation::{ActivationFileError, NotSignedByNode, NotSignedByPublisher};
use crate::id::{KeyId, NodeId};
use crate::key::KeyKind;
use crate::settings::SettingError;
use crate::status::Status;
use crate::{limits, proto};

/// The result of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// One outcome per record, in order.
    Batch { time_ms: u64, outcomes: Vec<RecordOutcome> },
    /// The state is now as the command requires, and may have been so before.
    Done,
    /// The command was refused; nothing changed.
    Refused(CommandRefusal),
    /// A newer version wrote the entry, and this version cannot apply it. Nothing changed. The node must stop,
    /// because its state would differ from that of the others.
    Newer,
    /// A command that is carried out once, and was carried out before. Nothing changed now. `index` and `refused`
    /// are those of the first time.
    Repeated { index: u64, refused: Option<Coded> },
    /// Another node's hash at `index` was compared with this node's; `matches` is `None` where this node does not
    /// have its hash at `index`, or no longer.
    HashChecked { index: u64, matches: Option<bool> },
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandRefusal {
    #[error("the command is malformed: {0}")]
    Malformed(&'static str),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the cluster has the maximum of {max} {what} already")]
    TooMany { what: &'static str, max: usize },
    #[error("this is a {0}, but hosts need a host key")]
    NotAHostKey(KeyKind),
    #[error("the answer is malformed: {0}")]
    Answers(#[from] ActivationFileError),
    #[error(transparent)]
    NotSignedByPublisher(#[from] NotSignedByPublisher),
    #[error("release of node {node}: {NotSignedByNode}")]
    NotSignedByNode { node: NodeId },
    #[error("node {node} has no such certificate for key {key}")]
    NotHeld { node: NodeId, key: KeyId },
    #[error("key {key} is installed for another publisher, and nodes are activated with it")]
    KeyOfAnother { key: KeyId },
    #[error("no catalog of this publisher is installed: run `catalog install` first")]
    UnknownPublisher,
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error("node {node} announces the DNS name of node {other}: set a different dns.target on each node")]
    TargetOfAnother { node: NodeId, other: NodeId },
    #[error("the cluster knows no such token: it was used already, or is not this cluster's")]
    UnknownToken,
    #[error("the token's time is over: ask for another one")]
    ExpiredToken,
    #[error("this key is already registered for {holder}: create a new key")]
    KeyOfAnotherHolder { holder: Holder },
    #[error("this key of {holder} is not registered: it was revoked or displaced; get a certificate with a new token")]
    KeyNotRegistered { holder: Holder },
    #[error("a reset can only set cluster time back, and cluster time is not later than the requested time")]
    NotABackwardReset,
    /// The outcome of the same command when it was first carried out.
    #[error("{0}")]
    Earlier(Coded),
    #[error("certificate for node {node}: {source}")]
    Certificate { node: NodeId, source: CertificateError },
    #[error("certificate for node {node}: key {key} is not installed: run `key install` first")]
    KeyNotInstalled { node: NodeId, key: KeyId },
    #[error("certificate for node {node}: the installed catalog has no group {group}: install a newer catalog")]
    UnknownGroup { node: NodeId, group: u8 },
    #[error("certificate for node {node}: platform class {platform} may not hold a key of group {group}")]
    PlatformMayNotHold { node: NodeId, platform: u8, group: u8 },
}

/// The outcome of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    Counted(Counted),
    Refused(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub count: u32,
    pub threshold: u32,
    pub activation_interval_minutes: u32,
    pub renewal_interval_minutes: u32,
    /// The host key whose certificate the node signs with.
    pub key: KeyId,
    /// The CMID was remembered with another machine digest: one of the two machines is a copy, or the hardware
    /// changed.
    pub other_machine: bool,
}

/// Why a request was not counted. A refusal changes neither the remembered CMIDs nor the cache limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    NotActivated,
    KeyBlocked,
    NotCovered,
    ClockSkew,
}

impl Refusal {
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::NotActivated => Status::HOST_NOT_ACTIVATED,
            Self::KeyBlocked => Status::KEY_BLOCKED,
            Self::NotCovered => Status::KEY_DOES_NOT_COVER_PRODUCT,
            Self::ClockSkew => Status::CLOCK_SKEW,
        }
    }
}

/// The bytes are not an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed outcome")]
pub struct MalformedOutcome;

impl RecordOutcome {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self {
            Self::Counted(counted) => proto::outcome::Kind::Counted(proto::Counted {
                count: counted.count,
                threshold: counted.threshold,
                activation_interval_minutes: counted.activation_interval_minutes,
                renewal_interval_minutes: counted.renewal_interval_minutes,
                key: u64::from_be_bytes(counted.key.0),
                other_machine: counted.other_machine,
            }),
            Self::Refused(refusal) => proto::outcome::Kind::Refusal(match refusal {
                Refusal::NotActivated => proto::Refusal::NotActivated,
                Refusal::KeyBlocked => proto::Refusal::KeyBlocked,
                Refusal::NotCovered => proto::Refusal::NotCovered,
                Refusal::ClockSkew => proto::Refusal::ClockSkew,
            } as i32),
        };
        proto::Outcome { kind: Some(kind) }.encode_to_vec()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedOutcome> {
        if bytes.len() > limits::OUTCOME_BYTES_MAX {
            return Err(MalformedOutcome);
        }
        let raw = proto::Outcome::decode(bytes).map_err(|_| MalformedOutcome)?;
        match raw.kind.ok_or(MalformedOutcome)? {
            proto::outcome::Kind::Counted(counted) => Ok(Self::Counted(Counted {
                count: counted.count,
                threshold: counted.threshold,
                activation_interval_minutes: counted.activation_interval_minutes,
                renewal_interval_minutes: counted.renewal_interval_minutes,
                key: KeyId(counted.key.to_be_bytes()),
                other_machine: counted.other_machine,
            })),
            proto::outcome::Kind::Refusal(refusal) => {
                match proto::Refusal::try_from(refusal).map_err(|_| MalformedOutcome)? {
                    proto::Refusal::Unspecified => Err(MalformedOutcome),
                    proto::Refusal::NotActivated => Ok(Self::Refused(Refusal::NotActivated)),
                    proto::Refusal::KeyBlocked => Ok(Self::Refused(Refusal::KeyBlocked)),
                    proto::Refusal::NotCovered => Ok(Self::Refused(Refusal::NotCovered)),
                    proto::Refusal::ClockSkew => Ok(Self::Refused(Refusal::ClockSkew)),
                }
            }
        }
    }
}

//! Commands: the content of log entries.

use bytes::Bytes;
use prost::Message;
use thiserror::Error;

use super::Batch;
use crate::certificate::NodeCertificate;
use crate::id::{NodeId, PublisherId, node_id};
use crate::key::TypedKey;
use crate::{limits, proto};

/// A change of the replicated state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Requests to be counted.
    Batch(Batch),
    /// A publisher's first catalog, with its root key, or a newer one.
    InstallCatalog {
        signed: Bytes,
    },
    InstallKey {
        key: TypedKey,
    },
    /// Node activations, all or none.
    InstallCertificates {
        publisher: PublisherId,
        certificates: Vec<(NodeId, NodeCertificate)>,
    },
    /// Cluster time went wrong: set it back, and requests recorded later with it.
    ResetClock {
        time_ms: u64,
    },
    /// The leader's state hash after the entry at `index`.
    StateHash {
        index: u64,
        hash: [u8; 32],
    },
}

/// Bytes that are no command: the field that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed command: {0}")]
pub struct MalformedCommand(pub &'static str);

impl Command {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        use proto::command::Kind;
        let kind = match self {
            Self::Batch(batch) => Kind::Batch(proto::Batch {
                stamp: Some(batch.stamp.into()),
                records: batch.records.iter().map(crate::message::Record::to_proto).collect(),
            }),
            Self::InstallCatalog { signed } => Kind::InstallCatalog(proto::InstallCatalog { signed: signed.clone() }),
            Self::InstallKey { key } => Kind::InstallKey(proto::InstallKey { key: key.to_string() }),
            Self::InstallCertificates { publisher, certificates } => {
                Kind::InstallCertificates(proto::InstallCertificates {
                    publisher: Bytes::copy_from_slice(&publisher.0),
                    certificates: certificates.iter().map(encode_certificate).collect(),
                })
            }
            Self::ResetClock { time_ms } => Kind::ResetClock(proto::ResetClock { time_ms: *time_ms }),
            Self::StateHash { index, hash } => {
                Kind::StateHash(proto::StateHash { index: *index, hash: Bytes::copy_from_slice(hash) })
            }
        };
        proto::Command { kind: Some(kind) }.encode_to_vec().into()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedCommand> {
        use proto::command::Kind;
        if bytes.len() > limits::COMMAND_BYTES_MAX {
            return Err(MalformedCommand("too long"));
        }
        // One copy, so that the fields of all records share it.
        let raw = proto::Command::decode(Bytes::copy_from_slice(bytes)).map_err(|_| MalformedCommand("encoding"))?;
        match raw.kind.ok_or(MalformedCommand("unknown kind"))? {
            Kind::Batch(batch) => batch.try_into().map(Self::Batch),
            Kind::InstallCatalog(install) => Ok(Self::InstallCatalog { signed: install.signed }),
            Kind::InstallKey(install) => {
                install.key.parse().map(|key| Self::InstallKey { key }).map_err(|_| MalformedCommand("key"))
            }
            Kind::InstallCertificates(install) => {
                if install.certificates.len() > limits::CERTIFICATES_MAX {
                    return Err(MalformedCommand("too many certificates"));
                }
                let publisher = PublisherId::try_from(install.publisher.as_ref());
                let certificates = install.certificates.iter().map(decode_certificate).collect::<Result<_, _>>()?;
                Ok(Self::InstallCertificates {
                    publisher: publisher.map_err(|_| MalformedCommand("publisher"))?,
                    certificates,
                })
            }
            Kind::ResetClock(reset) if reset.time_ms <= limits::TIME_MS_MAX => {
                Ok(Self::ResetClock { time_ms: reset.time_ms })
            }
            Kind::ResetClock(_) => Err(MalformedCommand("time")),
            Kind::StateHash(state) => {
                let hash = state.hash.as_ref().try_into().map_err(|_| MalformedCommand("hash"))?;
                Ok(Self::StateHash { index: state.index, hash })
            }
        }
    }
}

pub(super) fn encode_certificate((node, certificate): &(NodeId, NodeCertificate)) -> proto::NodeAndCertificate {
    // As in a record: no parser lets a larger node id through.
    let node = u32::try_from(*node).unwrap_or(u32::MAX);
    proto::NodeAndCertificate { node, certificate: certificate.encode().into() }
}

pub(super) fn decode_certificate(
    raw: &proto::NodeAndCertificate,
) -> Result<(NodeId, NodeCertificate), MalformedCommand> {
    let node = node_id(raw.node.into()).map_err(|_| MalformedCommand("node"))?;
    let certificate = NodeCertificate::decode(&raw.certificate).map_err(|_| MalformedCommand("certificate"))?;
    Ok((node, certificate))
}

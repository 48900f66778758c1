//! The records: issued keys with their hosts, and what each activation request got.
//!
//! Whoever is to change them takes a [`Turn`], reads, decides and commits. The turn ends when the change is durable or
//! has failed, also where the caller was dropped meanwhile: the next one never decides on records that are out of date.
//! Once a write has failed nobody gets a turn any more, because what the store shows then may not be on the disk.

use std::{path::Path, sync::Arc};

use activation::{
    certificate::NodeCertificate,
    id::{KeyId, MachineDigest, NodeId, node_id},
};
use bytes::Bytes;
use prost::Message;
use storage::{Batch, Kind, Owner, Store, Writer};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use uuid::Uuid;

use crate::{Host, IssuedKey, KeyLimits, entropy::random, proto};

const KEYS: &[u8] = b"key/";
const ACTIVATIONS: &[u8] = b"activation/";

/// The records cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// Another process has them open, or they are damaged.
    #[error(transparent)]
    Open(#[from] storage::OpenError),
    /// The writing thread did not start, or there were no random numbers for the store's identity.
    #[error("cannot open the records: {0}")]
    Start(std::io::Error),
    /// The disk refused a read.
    #[error(transparent)]
    Read(#[from] storage::ReadError),
    /// The disk refused a write. Whether it is there after a restart is unknown.
    #[error(transparent)]
    Write(#[from] storage::WriteFailed),
    /// A record became too large.
    #[error(transparent)]
    TooLarge(#[from] storage::ValueTooLarge),
    /// The writing thread ended before it reported.
    #[error("the records stopped being written: start again")]
    Stopped,
    /// A record is not as it was written.
    #[error("the records are damaged ({what}): restore them from a backup")]
    Damaged {
        /// The record, and what of it.
        what: &'static str,
    },
}

/// What an activation request got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Activation {
    pub(crate) request_id: [u8; 16],
    /// Of everything the node signed: the same id with another content is another request.
    pub(crate) request_digest: [u8; 32],
    pub(crate) node: NodeId,
    pub(crate) machine: MachineDigest,
    pub(crate) activated_ms: u64,
    pub(crate) certificate: NodeCertificate,
}

pub(crate) struct Records {
    store: Arc<Store>,
    writer: Writer,
    turn: Arc<Mutex<()>>,
}

/// The right to change the records.
pub(crate) struct Turn(#[expect(dead_code, reason = "held, and released by being dropped")] OwnedMutexGuard<()>);

impl Records {
    pub(crate) fn create(folder: &Path) -> Result<Self, RecordsError> {
        let random = random().map_err(|error| RecordsError::Start(std::io::Error::other(error)))?;
        Self::start(folder, uuid::Builder::from_random_bytes(random).into_uuid())
    }

    /// Opens records that exist.
    pub(crate) fn open(folder: &Path) -> Result<Self, RecordsError> {
        Self::start(folder, Uuid::nil())
    }

    fn start(folder: &Path, store_if_new: Uuid) -> Result<Self, RecordsError> {
        let store = Arc::new(Store::open(folder, Owner { kind: Kind::Publisher, number: 0, store_if_new })?);
        let writer = Writer::start(Arc::clone(&store)).map_err(RecordsError::Start)?;
        Ok(Self { store, writer, turn: Arc::default() })
    }

    pub(crate) async fn turn(&self) -> Result<Turn, RecordsError> {
        let turn = Turn(Arc::clone(&self.turn).lock_owned().await);
        self.writer.failure().cloned().map_or(Ok(turn), |failure| Err(failure.into()))
    }

    /// Makes all of it durable, or none.
    pub(crate) async fn commit<'a>(
        &self,
        turn: Turn,
        keys: impl IntoIterator<Item = &'a IssuedKey>,
        activations: impl IntoIterator<Item = &'a Activation>,
    ) -> Result<(), RecordsError> {
        let mut batch = Batch::default();
        for key in keys {
            batch.put(key_path(key.key.key_id()), encode_key(key))?;
        }
        for activation in activations {
            batch.put(activation_path(activation.request_id), encode_activation(activation))?;
        }
        let (done, outcome) = oneshot::channel();
        let report = move |result| {
            drop(turn);
            // A caller that has gone finds what it asked for on record when it asks again.
            drop(done.send(result));
        };
        self.writer.append(batch, report).await;
        Ok(outcome.await.map_err(|_| RecordsError::Stopped)??)
    }

    pub(crate) fn key(&self, id: KeyId) -> Result<Option<IssuedKey>, RecordsError> {
        self.store.get(&key_path(id))?.map(|value| decode_key(&value)).transpose()
    }

    /// By id.
    pub(crate) fn keys(&self) -> Result<Vec<IssuedKey>, RecordsError> {
        self.store.scan(KEYS).map(|item| decode_key(&item?.1)).collect()
    }

    pub(crate) fn activation(&self, request_id: [u8; 16]) -> Result<Option<Activation>, RecordsError> {
        let value = self.store.get(&activation_path(request_id))?;
        value.map(|value| decode_activation(request_id, &value)).transpose()
    }
}

fn key_path(id: KeyId) -> Vec<u8> {
    [KEYS, &id.0].concat()
}

fn activation_path(request_id: [u8; 16]) -> Vec<u8> {
    [ACTIVATIONS, &request_id].concat()
}

fn encode_key(key: &IssuedKey) -> Vec<u8> {
    let hosts = key.hosts.iter().map(|host| proto::Host {
        machine: Bytes::copy_from_slice(&host.machine.0),
        node: node_number(host.node),
        node_key: Bytes::copy_from_slice(&host.node_key),
        reactivations: host.reactivations,
        activated_ms: host.activated_ms,
    });
    proto::IssuedKey {
        key: key.key.to_string(),
        group: key.group.to_string(),
        hosts_limit: key.limits.hosts,
        reactivations_limit: key.limits.reactivations,
        issued_ms: key.issued_ms,
        hosts: hosts.collect(),
    }
    .encode_to_vec()
}

fn decode_key(value: &[u8]) -> Result<IssuedKey, RecordsError> {
    let raw = proto::IssuedKey::decode(value).map_err(|_| damaged("a key"))?;
    Ok(IssuedKey {
        key: raw.key.parse().map_err(|_| damaged("the symbols of a key"))?,
        group: raw.group.parse().map_err(|_| damaged("the group of a key"))?,
        limits: KeyLimits { hosts: raw.hosts_limit, reactivations: raw.reactivations_limit },
        issued_ms: raw.issued_ms,
        hosts: raw.hosts.iter().map(decode_host).collect::<Result<_, _>>()?,
    })
}

fn decode_host(raw: &proto::Host) -> Result<Host, RecordsError> {
    Ok(Host {
        machine: MachineDigest::try_from(raw.machine.as_ref()).map_err(|_| damaged("the machine of a host"))?,
        node: node_id(raw.node.into()).map_err(|_| damaged("the node of a host"))?,
        node_key: raw.node_key.as_ref().try_into().map_err(|_| damaged("the node key of a host"))?,
        reactivations: raw.reactivations,
        activated_ms: raw.activated_ms,
    })
}

fn encode_activation(activation: &Activation) -> Vec<u8> {
    proto::Activation {
        request_digest: Bytes::copy_from_slice(&activation.request_digest),
        key: Bytes::copy_from_slice(&activation.certificate.key.0),
        node: node_number(activation.node),
        machine: Bytes::copy_from_slice(&activation.machine.0),
        activated_ms: activation.activated_ms,
        certificate: activation.certificate.encode().into(),
    }
    .encode_to_vec()
}

fn decode_activation(request_id: [u8; 16], value: &[u8]) -> Result<Activation, RecordsError> {
    let raw = proto::Activation::decode(value).map_err(|_| damaged("an activation"))?;
    let machine = MachineDigest::try_from(raw.machine.as_ref());
    Ok(Activation {
        request_id,
        request_digest: raw.request_digest.as_ref().try_into().map_err(|_| damaged("the digest of a request"))?,
        node: node_id(raw.node.into()).map_err(|_| damaged("the node of an activation"))?,
        machine: machine.map_err(|_| damaged("the machine of an activation"))?,
        activated_ms: raw.activated_ms,
        certificate: NodeCertificate::decode(&raw.certificate).map_err(|_| damaged("a certificate"))?,
    })
}

fn node_number(node: NodeId) -> u32 {
    // No parser lets a larger node id through.
    u32::try_from(node).unwrap_or(u32::MAX)
}

fn damaged(what: &'static str) -> RecordsError {
    RecordsError::Damaged { what }
}

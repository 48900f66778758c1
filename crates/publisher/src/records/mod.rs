//! The records: issued keys with their hosts, results of activation requests, direct keys and their activations.
//!
//! A caller that changes the records takes a [`Turn`], reads, decides and commits. The turn ends when the change is
//! durable or has failed, also where the caller was dropped in the meantime, so the next caller never decides on
//! outdated records. After a failed write no caller gets a turn, because the store's content in memory may then
//! differ from the disk.

mod activation;
mod certified;
mod encoding;
mod error;

use std::{path::Path, sync::Arc};

use ::activation::{
    certificate::Validity,
    direct::DirectCertificate,
    id::{Cmid, KeyId, MachineDigest},
};
use storage::{Batch, Kind, Owner, Store, Writer};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use uuid::Uuid;

pub(crate) use self::activation::Activation;
pub use self::error::RecordsError;
use self::{
    certified::{Certified, CertifiedKeys},
    encoding::{decode_activation, decode_direct_key, decode_key},
    error::damaged,
};
use crate::{
    entropy::random,
    issued::{DirectKey, IssuedKey},
};

const KEYS: &[u8] = b"key/";
const ACTIVATIONS: &[u8] = b"activation/";
const DIRECT_KEYS: &[u8] = b"direct-key/";
const DIRECT_ACTIVATIONS: &[u8] = b"direct-activation/";
/// The prefixes under which all records are stored.
const PREFIXES: [&[u8]; 4] = [ACTIVATIONS, DIRECT_ACTIVATIONS, DIRECT_KEYS, KEYS];

pub(crate) struct Records {
    store: Arc<Store>,
    writer: Writer,
    turn: Arc<Mutex<()>>,
    certified: CertifiedKeys,
}

/// The right to change the records.
pub(crate) struct Turn(#[expect(dead_code, reason = "held, and released by being dropped")] OwnedMutexGuard<()>);

impl Records {
    pub(crate) fn create(folder: &Path) -> Result<Self, RecordsError> {
        let random = random().map_err(|error| RecordsError::Start(std::io::Error::other(error)))?;
        Self::start(folder, uuid::Builder::from_random_bytes(random).into_uuid())
    }

    /// Opens existing records.
    pub(crate) fn open(folder: &Path) -> Result<Self, RecordsError> {
        Self::start(folder, Uuid::nil())
    }

    fn start(folder: &Path, store_if_new: Uuid) -> Result<Self, RecordsError> {
        let store = Arc::new(Store::open(folder, Owner { kind: Kind::Publisher, number: 0, store_if_new })?);
        let writer = Writer::start(Arc::clone(&store)).map_err(RecordsError::Start)?;
        Ok(Self { store, writer, turn: Arc::default(), certified: CertifiedKeys::default() })
    }

    pub(crate) async fn turn(&self) -> Result<Turn, RecordsError> {
        let turn = Turn(Arc::clone(&self.turn).lock_owned().await);
        self.writer.failure().cloned().map_or(Ok(turn), |failure| Err(failure.into()))
    }

    /// Whether a write has failed; then no caller gets a turn.
    pub(crate) fn have_failed(&self) -> bool {
        self.writer.failure().is_some()
    }

    /// Makes all of `change` durable, or none.
    pub(crate) async fn commit(&self, turn: Turn, change: Change) -> Result<(), RecordsError> {
        // Noted before the change is durable: after a failed write no caller gets a turn, so the early note does no
        // harm.
        self.certified.note(&change.certified);
        let (done, outcome) = oneshot::channel();
        let report = move |result| {
            drop(turn);
            // A caller that was dropped finds the result in the records when it repeats the request.
            drop(done.send(result));
        };
        self.writer.append(change.batch, report).await;
        Ok(outcome.await.map_err(|_| RecordsError::Stopped)??)
    }

    /// All records as stored, in the order of their paths.
    pub(crate) fn all(&self) -> Result<Vec<Raw>, RecordsError> {
        PREFIXES.into_iter().flat_map(|prefix| self.store.scan(prefix)).map(|item| Ok(item?)).collect()
    }

    /// Whether there are no records.
    pub(crate) fn is_empty(&self) -> Result<bool, RecordsError> {
        for prefix in PREFIXES {
            if self.store.scan(prefix).next().transpose()?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits until the writing thread has ended and the files are closed.
    pub(crate) async fn close(self) {
        let Self { store, writer, turn, certified: _ } = self;
        drop((writer, turn));
        while Arc::strong_count(&store) > 1 {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn key(&self, id: KeyId) -> Result<Option<IssuedKey>, RecordsError> {
        self.store.get(&key_path(id))?.map(|value| decode_key(&value)).transpose()
    }

    /// The host keys, by id.
    pub(crate) fn keys(&self) -> Result<Vec<IssuedKey>, RecordsError> {
        self.store.scan(KEYS).map(|item| decode_key(&item?.1)).collect()
    }

    pub(crate) fn direct_key(&self, id: KeyId) -> Result<Option<DirectKey>, RecordsError> {
        self.store.get(&direct_key_path(id))?.map(|value| decode_direct_key(&value)).transpose()
    }

    /// The direct keys, by id.
    pub(crate) fn direct_keys(&self) -> Result<Vec<DirectKey>, RecordsError> {
        self.store.scan(DIRECT_KEYS).map(|item| decode_direct_key(&item?.1)).collect()
    }

    /// The certificate and data that a machine received for a direct key.
    pub(crate) fn direct_activation(
        &self,
        key: KeyId,
        machine: MachineDigest,
        cmid: Cmid,
    ) -> Result<Option<DirectCertificate>, RecordsError> {
        let value = self.store.get(&direct_activation_place(key, machine, cmid))?;
        value.map(|value| decode_direct_activation(&value)).transpose()
    }

    /// The results of all activation requests, in the order of the request ids.
    pub(crate) fn activations(&self) -> impl Iterator<Item = Result<Activation, RecordsError>> {
        self.store.scan(ACTIVATIONS).map(|item| {
            let (path, value) = item?;
            let id = path.strip_prefix(ACTIVATIONS).and_then(|id| id.try_into().ok());
            decode_activation(id.ok_or_else(|| damaged("a request id"))?, &value)
        })
    }

    /// The validity of the latest certificate that was issued to this node key for the host key; `None` where none
    /// ever was.
    pub(crate) fn latest_validity(&self, key: KeyId, node_key: [u8; 32]) -> Result<Option<Validity>, RecordsError> {
        self.certified.latest((key, node_key), || self.activations())
    }

    pub(crate) fn activation(&self, request_id: [u8; 16]) -> Result<Option<Activation>, RecordsError> {
        let value = self.store.get(&activation_path(request_id))?;
        value.map(|value| decode_activation(request_id, &value)).transpose()
    }
}

/// The path of a record, and its bytes.
pub(crate) type Raw = (Vec<u8>, Vec<u8>);

/// A change of several records, made as a whole.
#[derive(Default)]
pub(crate) struct Change {
    batch: Batch,
    /// The certificate of each activation in the change.
    certified: Vec<Certified>,
}

impl Change {
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    pub(crate) fn key(&mut self, key: &IssuedKey) -> Result<(), RecordsError> {
        Ok(self.batch.put(key_path(key.key.key_id()), encoding::encode_key(key))?)
    }

    pub(crate) fn activation(&mut self, activation: &Activation) -> Result<(), RecordsError> {
        self.certified.push(Certified::by(&activation.certificate));
        Ok(self.batch.put(activation_path(activation.request_id), encoding::encode_activation(activation))?)
    }

    pub(crate) fn direct_key(&mut self, key: &DirectKey) -> Result<(), RecordsError> {
        Ok(self.batch.put(direct_key_path(key.key.key_id()), encoding::encode_direct_key(key))?)
    }

    pub(crate) fn direct_activation(&mut self, certificate: &DirectCertificate) -> Result<(), RecordsError> {
        Ok(self.batch.put(direct_activation_path(certificate), certificate.encode())?)
    }

    /// Adds a record as [`Records::all`] returned it. Refused where it cannot be decoded.
    pub(crate) fn raw(&mut self, path: Vec<u8>, value: Vec<u8>) -> Result<(), RecordsError> {
        check(&path, &value)?;
        Ok(self.batch.put(path, value)?)
    }
}

/// Checks that a record can be decoded and belongs to its path.
fn check(path: &[u8], value: &[u8]) -> Result<(), RecordsError> {
    let place = if path.starts_with(KEYS) {
        key_path(decode_key(value)?.key.key_id())
    } else if path.starts_with(DIRECT_KEYS) {
        direct_key_path(decode_direct_key(value)?.key.key_id())
    } else if path.starts_with(DIRECT_ACTIVATIONS) {
        direct_activation_path(&decode_direct_activation(value)?)
    } else if let Some(id) = path.strip_prefix(ACTIVATIONS) {
        let id = id.try_into().map_err(|_| damaged("a request id"))?;
        activation_path(decode_activation(id, value)?.request_id)
    } else {
        return Err(damaged("a record of an unknown kind"));
    };
    if place == path { Ok(()) } else { Err(damaged("the path of a record")) }
}

fn direct_key_path(id: KeyId) -> Vec<u8> {
    [DIRECT_KEYS, &id.0].concat()
}

fn direct_activation_path(certificate: &DirectCertificate) -> Vec<u8> {
    direct_activation_place(certificate.key, certificate.machine, certificate.cmid)
}

fn direct_activation_place(key: KeyId, machine: MachineDigest, cmid: Cmid) -> Vec<u8> {
    [DIRECT_ACTIVATIONS, &key.0, &machine.0, &cmid.0].concat()
}

fn decode_direct_activation(value: &[u8]) -> Result<DirectCertificate, RecordsError> {
    DirectCertificate::decode(value).map_err(|_| damaged("a direct certificate"))
}

fn key_path(id: KeyId) -> Vec<u8> {
    [KEYS, &id.0].concat()
}

fn activation_path(request_id: [u8; 16]) -> Vec<u8> {
    [ACTIVATIONS, &request_id].concat()
}

//! openraft's types with this crate's type parameters. No other crate uses them.

use std::fmt;

use activation::state::Applied;
use bytes::Bytes;
use openraft::alias::{EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// tokio, with openraft's randomness drawn from a seeded generator ([`Environment::seed`](crate::Environment)).
pub(crate) type Runtime = openraft_rt::deterministic_rng::DeterministicRng<openraft_rt_tokio::TokioRuntime>;

openraft::declare_raft_types!(
    pub(crate) TypeConfig:
        D = Command,
        R = Option<Applied>,
        Node = Member,
        AsyncRuntime = Runtime,
);

pub(crate) use openraft::EntryPayload;
pub(crate) type Payload = EntryPayload<Command, u64, Member>;
pub(crate) type Entry = EntryOf<TypeConfig>;
pub(crate) type LogId = LogIdOf<TypeConfig>;
pub(crate) type Vote = VoteOf<TypeConfig>;
pub(crate) type StoredMembership = StoredMembershipOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<u64, Member>;
pub(crate) type SnapshotMeta = SnapshotMetaOf<TypeConfig>;
pub(crate) type Snapshot = SnapshotOf<TypeConfig, EncodedState>;
pub(crate) type RpcError = openraft::errors::RPCError<TypeConfig>;

/// An encoded command of the `activation` crate, opaque to the log.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Command(pub Bytes);

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.0.len())
    }
}

/// The state of a snapshot, encoded, with its SHA-256. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EncodedState {
    bytes: Bytes,
    digest: [u8; 32],
}

impl EncodedState {
    /// Computes the digest of `bytes`, which takes seconds for the state of millions of machines.
    pub(crate) fn new(bytes: Bytes) -> Self {
        let digest = Sha256::digest(&bytes).into();
        Self { bytes, digest }
    }

    /// The state in `bytes`; `None` if `digest` is not the digest of `bytes`.
    pub(crate) fn verified(bytes: Bytes, digest: &[u8]) -> Option<Self> {
        Some(Self::new(bytes)).filter(|state| state.digest == digest)
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl fmt::Debug for EncodedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "state of {} bytes", self.bytes.len())
    }
}

/// A member of the cluster, as the membership records it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The address of the member's peer service, HOST:PORT.
    pub address: String,
    /// The UUID of the member's store. A node with another store is another node.
    pub store: Uuid,
}

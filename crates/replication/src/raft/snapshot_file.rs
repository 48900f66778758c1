//! The snapshot on disk: one file, which is replaced atomically.
//!
//! The file is durable before the snapshot is reported to openraft, because the log before it may be purged from
//! then on.

use std::{io, sync::Arc};

use api::log::v1 as proto;
use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use storage::{Disk, SnapshotIoError};

use crate::planted::{Bug, Planted};
use crate::raft::{
    types::{EncodedState, Snapshot, SnapshotMeta},
    wire::{self, Malformed},
};

/// Format of the file around the state; the state has a format of its own.
const FORMAT: u32 = 1;

/// Why a snapshot on disk was refused.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotDamaged {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] SnapshotIoError),
    /// A newer version wrote the file.
    #[error(
        "{path} has format {found}, this version reads formats up to {FORMAT}: run the newer version that wrote it"
    )]
    Newer {
        /// Path of the file.
        path: String,
        /// The file's format.
        found: u32,
    },
    /// The file's content is damaged.
    #[error("{path} is damaged: {what}; restore it from a backup, or let the node join again")]
    Content {
        /// Path of the file.
        path: String,
        /// Description of the damage.
        what: String,
    },
}

/// The snapshot file of a disk.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile(Arc<dyn Disk>, Planted);

impl SnapshotFile {
    pub(crate) fn on(disk: Arc<dyn Disk>) -> Self {
        Self(disk, Planted::default())
    }

    /// The same file, with a bug of the simulation.
    pub(crate) fn planted_with(self, planted: Planted) -> Self {
        Self(self.0, planted)
    }

    pub(crate) fn path(&self) -> String {
        self.0.snapshot_path()
    }

    /// Replaces the file, durably.
    pub(crate) async fn write(&self, meta: &SnapshotMeta, state: &EncodedState) -> io::Result<()> {
        Ok(self.0.write_snapshot(pieces(meta, state).into()).await?)
    }

    /// The snapshot; `None` if there is no file.
    pub(crate) fn read(&self) -> Result<Option<Snapshot>, SnapshotDamaged> {
        let path = || self.path();
        let damaged = |what: String| SnapshotDamaged::Content { path: path(), what };
        let Some(bytes) = self.0.read_snapshot()? else { return Ok(None) };
        let mut file = proto::Snapshot::decode(bytes).map_err(|error| damaged(error.to_string()))?;
        if file.format > FORMAT {
            return Err(SnapshotDamaged::Newer { path: path(), found: file.format });
        }
        let state = EncodedState::verified(std::mem::take(&mut file.state), &file.digest);
        let state = state.ok_or_else(|| damaged("its content does not match its digest".into()))?;
        // Files of previous versions have no seal.
        let seal = std::mem::take(&mut file.seal);
        if !seal.is_empty() && !self.1.has(Bug::SnapshotWithoutIndex) && seal_of(&file) != seal {
            return Err(damaged("its index or its membership does not match its seal".into()));
        }
        let last_membership =
            wire::stored_membership_in(file.membership).map_err(|Malformed(what)| damaged(what.into()))?;
        let meta = SnapshotMeta { last_log_id: file.last.map(wire::log_id_in), last_membership };
        Ok(Some(Snapshot { meta, snapshot: state }))
    }
}

/// A snapshot as it is written: one protobuf message in three pieces, so that the state is not copied.
pub(crate) fn pieces(meta: &SnapshotMeta, state: &EncodedState) -> [Bytes; 3] {
    /// Protobuf key of the field `state` (field number 4), before its length.
    const STATE_KEY: u8 = 4 << 3 | 2;
    let mut head = proto::Snapshot {
        format: FORMAT,
        last: meta.last_log_id.as_ref().map(wire::log_id_out),
        membership: Some(wire::stored_membership_out(&meta.last_membership)),
        ..proto::Snapshot::default()
    };
    let mut before_state = head.encode_to_vec();
    before_state.push(STATE_KEY);
    prost::encode_length_delimiter(state.bytes().len(), &mut before_state).expect("writing to a vector cannot fail");
    head.digest = Bytes::copy_from_slice(state.digest());
    let seal = seal_of(&head);
    let after_state = proto::Snapshot { digest: head.digest, seal, ..proto::Snapshot::default() };
    [before_state.into(), state.bytes().clone(), after_state.encode_to_vec().into()]
}

/// The digest that covers the index, the membership, and (through its own digest) the state.
fn seal_of(file: &proto::Snapshot) -> Bytes {
    let head = proto::Snapshot { state: Bytes::new(), seal: Bytes::new(), ..file.clone() };
    Sha256::digest(head.encode_to_vec()).to_vec().into()
}

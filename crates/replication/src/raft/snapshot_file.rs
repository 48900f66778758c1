//! The snapshot on disk: one file, whole or not at all.
//!
//! Written to a temporary file, synced, renamed, the folder synced, and only then reported: the log behind it may be
//! purged from that moment on.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use api::log::v1 as proto;
use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::raft::{
    types::{Snapshot, SnapshotMeta},
    wire::{self, Malformed},
};

/// The form of the file around the state; the state has a format of its own.
const FORMAT: u32 = 1;
/// The newest snapshot, in the folder for them.
pub const SNAPSHOT_FILE: &str = "snapshot";

/// Why a snapshot on disk was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotDamaged {
    /// The operating system said no.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The answer.
        source: io::Error,
    },
    /// A newer binary wrote it.
    #[error("{} has format {found}, this binary reads up to {FORMAT}: run the newer version that wrote it", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is not what was written.
    #[error("{} is damaged: {what}; restore it from a backup or let the node join anew", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// The folder that holds the snapshot.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    path: PathBuf,
}

impl SnapshotFile {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { path: folder.join(SNAPSHOT_FILE) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the file, durably. Blocks for as long as the disk takes.
    pub(crate) fn write(&self, meta: &SnapshotMeta, state: &Bytes) -> io::Result<()> {
        storage::durable::replace_file(&self.path, &message(meta, state).encode_to_vec())
    }

    /// The snapshot, where there is one.
    pub(crate) fn read(&self) -> Result<Option<Snapshot>, SnapshotDamaged> {
        let path = || self.path.clone();
        let damaged = |what: String| SnapshotDamaged::Content { path: path(), what };
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SnapshotDamaged::Io { path: path(), source }),
        };
        let file = proto::Snapshot::decode(bytes).map_err(|error| damaged(error.to_string()))?;
        if file.format > FORMAT {
            return Err(SnapshotDamaged::Newer { path: path(), found: file.format });
        }
        if Sha256::digest(&file.state).as_slice() != file.digest.as_ref() {
            return Err(damaged("its content does not match its digest".into()));
        }
        let last_membership =
            wire::stored_membership_in(file.membership).map_err(|Malformed(what)| damaged(what.into()))?;
        let meta = SnapshotMeta { last_log_id: file.last.map(wire::log_id_in), last_membership };
        Ok(Some(Snapshot { meta, snapshot: file.state }))
    }
}

/// A snapshot as it is written.
pub(crate) fn message(meta: &SnapshotMeta, state: &Bytes) -> proto::Snapshot {
    proto::Snapshot {
        format: FORMAT,
        last: meta.last_log_id.as_ref().map(wire::log_id_out),
        membership: Some(wire::stored_membership_out(&meta.last_membership)),
        state: state.clone(),
        digest: Sha256::digest(state).to_vec().into(),
    }
}

//! The whole replicated state in one file, and a cluster of one node begun from it.
//!
//! ```text
//! quorate-backup 1\n        the format of the file
//! a Snapshot                the state, its last entry, its membership
//! 32 bytes                  SHA-256 of all bytes before
//! ```
//! A file whose digest does not match is refused.

use std::{collections::BTreeMap, io, sync::Arc};

use activation::state::{Applied, Format, SnapshotError, State};
use api::log::v1 as proto;
use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use storage::{Batch, Disk, ReadError};

use crate::gate::state::cleared;
use crate::raft::{
    log::{self, LogDamaged},
    snapshot_file::{self, SnapshotFile},
    state_machine::{StateDamaged, StateMachine},
    types::{EncodedState, LogId, Member, Membership, SnapshotMeta, StoredMembership},
    wire,
};

const HEAD: &[u8] = b"quorate-backup 1\n";
const DIGEST_BYTES: usize = 32;

/// Why a file is not accepted as a backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file is no backup, or has the format of a later version.
    #[error(
        "it is not a backup that this version reads: `quorate cluster backup` of this or an earlier version writes one"
    )]
    Unknown,
    /// The end of the file is missing, or a byte was changed.
    #[error("it is incomplete or altered: its content does not match its digest; use another copy")]
    Damaged,
    /// The parts of the file contradict each other.
    #[error("it is damaged: {0}")]
    Malformed(&'static str),
    /// The state in the file could not be decoded.
    #[error(transparent)]
    State(#[from] SnapshotError),
}

/// A backup that was read and verified.
#[derive(Debug)]
pub struct Backup {
    last: LogId,
    state: Bytes,
}

/// Why no cluster was formed.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log in the store is damaged.
    #[error(transparent)]
    Log(#[from] LogDamaged),
    /// The snapshot beside the store is damaged.
    #[error(transparent)]
    State(#[from] StateDamaged),
    /// The node belongs to no cluster.
    #[error("this node has never belonged to a cluster: there is nothing to recover")]
    Empty,
    /// The log contains an entry in the format of a later version.
    #[error("entry {index} of its log was written by a newer version: recover the node with that version")]
    Newer {
        /// Index of that entry.
        index: u64,
    },
    /// The node's state differs from the majority's.
    #[error(
        "the state of this node differs from the majority's since entry {index}: its counts are wrong. Recover another node, or \
         restore a backup (`quorate cluster restore`)"
    )]
    Diverged {
        /// Index of the entry at which the difference was found.
        index: u64,
    },
    /// The disk write failed.
    #[error("cannot write: {0}; make the disk writable and repeat the command before you start the node")]
    Write(io::Error),
}

/// The entry from which a cluster was formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Index of the last entry that the new cluster contains.
    pub log_index: u64,
    /// The new cluster's term.
    pub term: u64,
}

/// The content of a backup file for this state.
pub(crate) fn encode(meta: &SnapshotMeta, state: &EncodedState) -> Bytes {
    let mut file = HEAD.to_vec();
    snapshot_file::pieces(meta, state).iter().for_each(|piece| file.extend_from_slice(piece));
    let digest = Sha256::digest(&file);
    file.extend_from_slice(&digest);
    file.into()
}

impl Backup {
    /// Reads and verifies the content of a backup file.
    pub fn read(file: &[u8]) -> Result<Self, BackupError> {
        let body = file.strip_prefix(HEAD).ok_or(BackupError::Unknown)?;
        let split = file.len().checked_sub(DIGEST_BYTES).filter(|split| *split >= HEAD.len());
        let (covered, digest) = file.split_at(split.ok_or(BackupError::Damaged)?);
        if Sha256::digest(covered).as_slice() != digest {
            return Err(BackupError::Damaged);
        }
        let message = body.get(..body.len() - DIGEST_BYTES).unwrap_or_default();
        let raw = proto::Snapshot::decode(message).map_err(|_| BackupError::Malformed("encoding"))?;
        let last = raw.last.map(wire::log_id_in).ok_or(BackupError::Malformed("its last log id is missing"))?;
        // Verified here, so that an unreadable file is refused before anything is written.
        let mut state = State::decode_snapshot_up_to(Format::NEWEST, &raw.state)?;
        // A key of the registry is valid in the old cluster only: the new cluster's node has another key.
        state.forget_registry();
        Ok(Self { last, state: state.encode_snapshot().into() })
    }

    /// Index of the last entry in the backup.
    #[must_use]
    pub fn log_index(&self) -> u64 {
        self.last.index
    }

    /// Forms a cluster of one node from this state. `disk` is the node's new disk, `address` its peer address.
    pub async fn restore(self, disk: Arc<dyn Disk>, address: &str) -> Result<Begun, BeginError> {
        begin(disk, address, self.last, &self.state, None).await
    }
}

/// Forms a cluster of this node alone, from all that its disk holds. For a cluster that has lost its majority for
/// good. Entries that only the other nodes acknowledged are lost, and the other nodes must never run again with
/// their old data.
///
/// The new cluster also contains entries that no majority confirmed: they count machines that did ask.
pub async fn recover(disk: Arc<dyn Disk>, address: &str) -> Result<Begun, BeginError> {
    let held = log::Held::load(&*disk)?;
    if let Some(index) = log::diverged_at(&*disk)? {
        return Err(BeginError::Diverged { index });
    }
    let state_machine = StateMachine::load(SnapshotFile::on(Arc::clone(&disk)), Format::NEWEST)?;
    let mut last = state_machine.last();
    let mut state = state_machine.into_state();
    for (id, command) in held.entries_after(last) {
        if let Some(command) = command
            && state.apply(id.index, &command) == Applied::Newer
        {
            return Err(BeginError::Newer { index: id.index });
        }
        last = Some(id);
    }
    let last = last.ok_or(BeginError::Empty)?;
    begin(disk, address, last, &state.encode_snapshot().into(), Some(&held)).await
}

/// The new identity is written first: if this function is interrupted at any later step, the other nodes do not
/// recognise the node, and the command can be repeated. Then the snapshot is written. What the snapshot replaces is
/// removed after that.
async fn begin(
    disk: Arc<dyn Disk>,
    address: &str,
    last: LogId,
    state: &Bytes,
    replaced: Option<&log::Held>,
) -> Result<Begun, BeginError> {
    let owner = disk.identity().owner;
    let recoveries = log::recoveries(&*disk)? + 1;
    let identity = log::peer_identity(disk.identity(), recoveries);
    let member = Member { address: address.to_owned(), store: identity.store };
    let membership = Membership::new(vec![[owner].into()], BTreeMap::from([(owner, member)]));
    let membership = membership.expect("a membership whose only voter is its only member is valid");
    let meta = SnapshotMeta { last_log_id: Some(last), last_membership: StoredMembership::new(Some(last), membership) };
    let term = replaced.map_or(0, log::Held::term).max(last.leader_id.term);
    let commit = async |batch: io::Result<Batch>| {
        let batch = batch.map_err(BeginError::Write)?;
        storage::commit(&*disk, batch).await.map_err(|failure| BeginError::Write(failure.to_io()))
    };
    commit(log::renamed(term, owner, recoveries)).await?;
    let state = EncodedState::new(state.clone());
    SnapshotFile::on(Arc::clone(&disk)).write(&meta, &state).await.map_err(BeginError::Write)?;
    commit(log::emptied(replaced, last)).await?;
    // Last: until this is written, a quarantined node stays quarantined.
    commit(Ok(cleared(&*disk)?)).await?;
    Ok(Begun { log_index: last.index, term })
}

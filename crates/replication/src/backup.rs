//! The whole replicated state in one file, and a cluster of one node begun from it.
//!
//! ```text
//! quorate-backup 1\n        the form of the file
//! a Snapshot                what the state is, after which entry, of which members
//! 32 bytes                  SHA-256 of all before
//! ```
//! Nothing is taken from a file that is not what was written.

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

/// Why a file is not taken for a backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something else, or the form of a later version.
    #[error(
        "it is no backup that this version reads: `quorate cluster backup` of this or an earlier version writes one"
    )]
    Unknown,
    /// Its end is missing, or a byte is another one.
    #[error("it is torn or altered: its content does not match its digest; take another copy")]
    Damaged,
    /// The parts do not fit together.
    #[error("it is damaged: {0}")]
    Malformed(&'static str),
    /// The state.
    #[error(transparent)]
    State(#[from] SnapshotError),
}

/// A backup that was read and checked.
#[derive(Debug)]
pub struct Backup {
    last: LogId,
    state: Bytes,
}

/// Why no cluster was begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The store.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log in it.
    #[error(transparent)]
    Log(#[from] LogDamaged),
    /// The snapshot beside it.
    #[error(transparent)]
    State(#[from] StateDamaged),
    /// It belongs to no cluster.
    #[error("this node has belonged to no cluster: there is nothing to recover in it")]
    Empty,
    /// The log goes on in a later version's words.
    #[error("entry {index} of its log was written by a newer version: recover the node with that")]
    Newer {
        /// The entry.
        index: u64,
    },
    /// Its state is not the one that a majority had.
    #[error(
        "the state of this node differs from the majority's since entry {index}: its counts are wrong. Recover another node, or \
         restore a backup (`quorate cluster restore`)"
    )]
    Diverged {
        /// The entry at which it was seen to.
        index: u64,
    },
    /// The disk.
    #[error("cannot write: {0}; repeat it when the disk takes writes, and do not start the node before")]
    Write(io::Error),
}

/// What a cluster was begun from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The last entry that is in it.
    pub log_index: u64,
    /// Its term.
    pub term: u64,
}

/// The file's content for this state.
pub(crate) fn encode(meta: &SnapshotMeta, state: &EncodedState) -> Bytes {
    let mut file = HEAD.to_vec();
    snapshot_file::pieces(meta, state).iter().for_each(|piece| file.extend_from_slice(piece));
    let digest = Sha256::digest(&file);
    file.extend_from_slice(&digest);
    file.into()
}

impl Backup {
    /// Reads a file's content.
    pub fn read(file: &[u8]) -> Result<Self, BackupError> {
        let body = file.strip_prefix(HEAD).ok_or(BackupError::Unknown)?;
        let split = file.len().checked_sub(DIGEST_BYTES).filter(|split| *split >= HEAD.len());
        let (covered, digest) = file.split_at(split.ok_or(BackupError::Damaged)?);
        if Sha256::digest(covered).as_slice() != digest {
            return Err(BackupError::Damaged);
        }
        let message = body.get(..body.len() - DIGEST_BYTES).unwrap_or_default();
        let raw = proto::Snapshot::decode(message).map_err(|_| BackupError::Malformed("encoding"))?;
        let last = raw.last.map(wire::log_id_in).ok_or(BackupError::Malformed("it ends nowhere"))?;
        // Checked here, so that a file that cannot be read is refused before anything is written.
        let mut state = State::decode_snapshot_up_to(Format::NEWEST, &raw.state)?;
        // Who took part in that cluster takes part in no other: the new one's node has another key.
        state.forget_registry();
        Ok(Self { last, state: state.encode_snapshot().into() })
    }

    /// The last entry in it.
    #[must_use]
    pub fn log_index(&self) -> u64 {
        self.last.index
    }

    /// Begins a cluster of the node whose new disk this is, at `address`, from this state.
    pub async fn restore(self, disk: Arc<dyn Disk>, address: &str) -> Result<Begun, BeginError> {
        begin(disk, address, self.last, &self.state, None).await
    }
}

/// Begins a cluster of this node alone, from all that its disk holds. For a majority that is lost for good: what only the
/// others acknowledged is lost, and they must never run again with what they have.
///
/// Entries that no majority confirmed are in it, too: they count machines that asked.
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

/// The new identity first: wherever this breaks off, the node is nobody that the others know, and it can be repeated. Then the
/// snapshot, and only then what it replaces goes.
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
    let membership = membership.expect("the only voter is the only member");
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
    // Last: until here the node is quarantined still, where it was.
    commit(Ok(cleared(&*disk)?)).await?;
    Ok(Begun { log_index: last.index, term })
}

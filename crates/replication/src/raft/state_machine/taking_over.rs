//! Replaces a state that has diverged by one that a majority confirmed.
//!
//! The node's log is sound, and the node has applied entries that follow the confirmed state. Therefore it applies
//! these entries again, from its own log, to a copy of the confirmed state. The snapshot on the disk is replaced
//! first, then the state in memory. If this is interrupted at any step, the node stays marked as diverged, and the
//! command can be repeated.

use std::{io, sync::atomic::Ordering};

use activation::state::{Applied, State};

use super::{Replicated, StateMachine};
use crate::raft::{
    log::Log,
    types::{EncodedState, Entry, EntryPayload, LogId, Snapshot, SnapshotMeta, StoredMembership},
};

/// Number of rounds in which the copy catches up with entries applied in the meantime, before the last round, which
/// blocks applying.
const CATCH_UP_ROUNDS: usize = 3;

/// Why a state was not taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeOverError {
    /// The received state cannot be decoded, or has a newer format.
    #[error("the state cannot be read: {0}")]
    Malformed(String),
    /// This node's log does not record that a majority has this hash.
    #[error("no majority of the voters confirmed this state after entry {0}")]
    NotConfirmed(u64),
    /// The log begins after the confirmed state.
    #[error("entry {0}, which follows the confirmed state, is no longer in this node's log")]
    Purged(u64),
    /// The confirmed state, after this node's own log is applied to it, differs as well.
    #[error("the confirmed state and the log up to entry {0} result in another state than the majority's")]
    Differs(u64),
    /// The disk failed, or the node stops.
    #[error(transparent)]
    Stopped(#[from] io::Error),
}

/// While this value lives, the state machine keeps a copy of the state after an entry that requests a state hash.
pub(crate) struct KeepsNoted(StateMachine);

impl Drop for KeepsNoted {
    fn drop(&mut self) {
        self.0.keeps_noted.store(false, Ordering::Release);
        // If the lock is poisoned the node stops, and nothing needs to be removed.
        if let Ok(kept) = self.0.replicated.write().map(|mut replicated| replicated.kept.take()) {
            self.0.computations.start(move || drop(kept));
        }
    }
}

/// A copy of the state to which the log is applied again.
struct Replay {
    state: State,
    last: LogId,
    membership: StoredMembership,
}

impl Replay {
    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: Some(self.last), last_membership: self.membership.clone() }
    }

    /// Applies the entries of `log` up to `last`.
    fn bring_to(&mut self, machine: &StateMachine, log: &Log, last: Option<LogId>) -> Result<(), TakeOverError> {
        let end = last.map_or(0, |last| last.index);
        for index in self.last.index + 1..=end {
            let entry = log.entry(index).ok_or(TakeOverError::Purged(index))?;
            self.apply(machine, entry)?;
        }
        assert!(last.is_none_or(|last| last <= self.last), "the entries read again are those that were applied");
        Ok(())
    }

    fn apply(&mut self, machine: &StateMachine, Entry { log_id, payload }: Entry) -> Result<(), TakeOverError> {
        match payload {
            EntryPayload::Blank => {}
            EntryPayload::Normal(command) => match machine.apply_command(&mut self.state, log_id.index, &command.0) {
                Applied::HashChecked { matches: Some(false), .. } => return Err(TakeOverError::Differs(log_id.index)),
                Applied::Newer => {
                    let newer = format!("entry {} was written by a newer version", log_id.index);
                    return Err(TakeOverError::Malformed(newer));
                }
                _ => {}
            },
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(log_id), membership);
            }
        }
        self.last = log_id;
        Ok(())
    }
}

impl StateMachine {
    /// Makes the state machine keep a copy of the state after each entry that requests a state hash.
    pub(crate) fn keep_noted(&self) -> KeepsNoted {
        self.keeps_noted.store(true, Ordering::Release);
        KeepsNoted(self.clone())
    }

    /// The state after the entry at `index` and its hash, if a copy was kept.
    pub(crate) fn kept_at(&self, index: u64) -> Option<(SnapshotMeta, State, [u8; 32])> {
        let replicated = self.read();
        let (meta, state) = replicated.kept.clone()?;
        let hash = state.hash_at(index)?;
        (meta.last_log_id.map(|last| last.index) == Some(index)).then_some((meta, state, hash))
    }

    /// The hash that a majority has after the entry at `index`, if this node has applied it and still holds it.
    pub(crate) fn confirmed_at(&self, index: u64) -> Option<[u8; 32]> {
        self.read().confirmed.get(&index).copied()
    }

    /// Replaces a diverged state by one that a majority confirmed. Returns the index of the last entry in it. On
    /// return the snapshot on the disk holds that state; the divergence mark is not removed here.
    pub(crate) async fn take_over(
        &self,
        meta: SnapshotMeta,
        state: &EncodedState,
        log: &Log,
    ) -> Result<u64, TakeOverError> {
        let SnapshotMeta { last_log_id, last_membership: membership } = meta;
        let last = last_log_id.ok_or(TakeOverError::NotConfirmed(0))?;
        let (newest, encoded) = (self.newest, state.bytes().clone());
        let decode = move || State::decode_snapshot_up_to(newest, &encoded).map(|state| (state.hash(), state));
        let decoded = self.computations.run(decode).await?;
        let (hash, state) = decoded.map_err(|error| TakeOverError::Malformed(error.to_string()))?;
        if self.confirmed_at(last.index) != Some(hash) {
            return Err(TakeOverError::NotConfirmed(last.index));
        }
        // From here on no snapshot of the diverged state is written.
        let _turn = self.snapshot_turn.lock().await;
        let mut replay = Replay { state, last, membership };
        for _round in 0..CATCH_UP_ROUNDS {
            replay = self.caught_up(replay, log).await?;
        }
        let (meta, copy) = (replay.meta(), replay.state.clone());
        let encoded = self.computations.run(move || EncodedState::new(copy.encode_snapshot().into())).await?;
        self.file.write(&meta, &encoded).await?;
        let (index, replaced) = self.exchange(replay, Snapshot { meta, snapshot: encoded }, log)?;
        self.computations.start(move || drop(replaced));
        Ok(index)
    }

    /// Applies to the copy the entries that this node has applied so far.
    async fn caught_up(&self, mut replay: Replay, log: &Log) -> Result<Replay, TakeOverError> {
        let (machine, log, last) = (self.clone(), log.clone(), self.last());
        self.computations.run(move || replay.bring_to(&machine, &log, last).map(|()| replay)).await?
    }

    /// Applies to the copy the last entries, and replaces the state by it. Returns the index of the last entry, and
    /// the previous state.
    fn exchange(&self, mut replay: Replay, snapshot: Snapshot, log: &Log) -> Result<(u64, State), TakeOverError> {
        let mut guard = self.write();
        let replicated: &mut Replicated = &mut guard;
        replay.bring_to(self, log, replicated.last)?;
        let index = replay.last.index;
        let hash_due_index = replay.state.newest_hash().map_or(0, |(index, _)| index);
        replicated.last = Some(replay.last);
        replicated.membership = replay.membership;
        replicated.snapshot = Some(snapshot);
        let replaced = std::mem::replace(&mut replicated.state, replay.state);
        drop(guard);
        self.progress.send_modify(|progress| {
            // Another entry may have been applied since.
            progress.applied_index = progress.applied_index.max(index);
            progress.configuration_index = progress.configuration_index.max(index);
            progress.hash_due_index = progress.hash_due_index.max(hash_due_index);
        });
        Ok((index, replaced))
    }

    /// Records that the state up to `index`, in memory and on the disk, is the majority's. If a later difference
    /// was found, the node stays marked as diverged.
    pub(crate) fn agrees_up_to(&self, index: u64) {
        self.progress.send_modify(|progress| {
            progress.diverged_at = (progress.differed_at > index).then_some(progress.differed_at);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use activation::{
        clock::{SkewReference, Stamp},
        state::{Batch, Command as Domain, Format},
    };
    use openraft::{alias::CommittedLeaderIdOf, vote::RaftLeaderId};
    use storage::{Disk, Kind, Owner, SledDisk, Store};
    use tempfile::TempDir;
    use uuid::Uuid;

    use super::*;
    use crate::raft::{
        snapshot_file::SnapshotFile,
        types::{Command, TypeConfig},
    };

    fn at(index: u64) -> LogId {
        LogId::new(CommittedLeaderIdOf::<TypeConfig>::new(1, 1), index)
    }

    fn apply(machine: &StateMachine, index: u64, command: &Domain) {
        let applied = machine.apply_or_stop(at(index), EntryPayload::Normal(Command(command.encode())));
        assert_eq!(applied.unwrap().map(|applied| matches!(applied, Applied::Refused(_))), Some(false));
    }

    /// A state machine that noted its hash after entry 1, with that hash, and an empty log.
    fn noted() -> (TempDir, StateMachine, Log, [u8; 32]) {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner { kind: Kind::Node, number: 1, store_if_new: Uuid::from_u128(1) };
        let store = Arc::new(Store::open(&folder.path().join("store"), owner).unwrap());
        let disk: Arc<dyn Disk> = Arc::new(SledDisk::start(store, folder.path(), |_| {}).unwrap());
        let log = Log::load(Arc::clone(&disk)).unwrap();
        let machine = StateMachine::load(SnapshotFile::on(disk), Format::NEWEST).unwrap();
        apply(&machine, 0, &Domain::SetFormat { format: Format::NEWEST });
        apply(&machine, 1, &Domain::NoteHash);
        let hash = machine.view(|state| state.hash_at(1)).unwrap();
        (folder, machine, log, hash)
    }

    /// The snapshot of a state after entry 1, as a leader sends it.
    fn sent(state: &State) -> (SnapshotMeta, EncodedState) {
        let meta = SnapshotMeta { last_log_id: Some(at(1)), last_membership: StoredMembership::default() };
        (meta, EncodedState::new(state.encode_snapshot().into()))
    }

    async fn refused(machine: &StateMachine, log: &Log, state: &State) -> TakeOverError {
        let (before, (meta, encoded)) = (machine.hash(), sent(state));
        let refused = machine.take_over(meta, &encoded, log).await.unwrap_err();
        assert_eq!(machine.hash(), before, "the state stays");
        assert!(machine.file.read().unwrap().is_none(), "nothing is written");
        refused
    }

    #[tokio::test]
    async fn only_a_state_with_the_hash_in_the_log_is_taken_over() {
        let (_folder, machine, log, hash) = noted();
        let right = machine.view(State::clone);
        assert!(matches!(refused(&machine, &log, &right).await, TakeOverError::NotConfirmed(1)), "no hash is logged");
        apply(&machine, 2, &Domain::StateHash { index: 1, hash });
        let mut wrong = right.clone();
        let stamp = Stamp { time_ms: 1, skew: SkewReference::LeaveOut, expiry_ms: None };
        wrong.apply(1, &Domain::Batch(Batch { stamp, records: Vec::new() }).encode());
        assert!(matches!(refused(&machine, &log, &wrong).await, TakeOverError::NotConfirmed(1)), "another hash is");
    }

    #[tokio::test]
    async fn a_state_whose_following_entries_are_purged_is_not_taken_over() {
        let (_folder, machine, log, hash) = noted();
        let right = machine.view(State::clone);
        apply(&machine, 2, &Domain::StateHash { index: 1, hash });
        assert!(matches!(refused(&machine, &log, &right).await, TakeOverError::Purged(2)));
    }
}

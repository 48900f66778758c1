//! The state machine that openraft drives: it applies entries to [`State`] and returns their results, and it builds
//! and installs snapshots.
//!
//! Invariant: the state depends on the applied entries alone, and an entry is applied completely or the node stops.

mod taking_over;

use std::{
    any::Any,
    cmp::Ordering,
    collections::BTreeMap,
    io,
    sync::{
        Arc, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{self, AtomicBool},
    },
};

use activation::{
    limits::STATE_HASHES_KEPT,
    state::{Applied, Command as Domain, Format, State},
};
use futures::{Stream, TryStreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    storage::{EntryResponder, RaftStateMachine},
};
use storage::panics;
use tokio::sync::watch;

use crate::environment::Computations;
use crate::leader::clock::AppliedTimes;
use crate::observer::{AppliedEntry, Observer};
use crate::planted::{Bug, Planted};
use crate::raft::{
    lease::Lease,
    snapshot_file::{SnapshotDamaged, SnapshotFile},
    types::{EncodedState, LogId, Payload, Snapshot, SnapshotMeta, StoredMembership, TypeConfig},
};

pub(crate) use self::taking_over::TakeOverError;

/// openraft with this state machine.
pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// How far this node has applied the log. Other parts of the node follow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Index of the last entry applied; 0 before the first.
    pub applied_index: u64,
    /// Index of the last entry that changed anything but counts: keys, certificates, catalogs, membership.
    pub configuration_index: u64,
    /// Index of the last entry after which the leader must log the state hash.
    pub(crate) hash_due_index: u64,
    /// The log up to this index holds entries of a newer format than the cluster writes, which older versions cannot
    /// read; 0 if there are none.
    pub(crate) purge_due_index: u64,
    /// Index of the entry at which this node's state was found to differ from the majority's; `None` if it agrees.
    pub diverged_at: Option<u64>,
    /// Index of the last entry at which a difference was found; 0 if none was found since this start.
    pub(crate) differed_at: u64,
}

/// Why a state machine is not used after a panic during a change.
const HALF_CHANGED: &str = "the replicated state may hold a partially applied entry: restart the node";

struct Replicated {
    state: State,
    last: Option<LogId>,
    membership: StoredMembership,
    snapshot: Option<Snapshot>,
    /// The newest hashes that a majority has, by the index of the entry after which they were taken.
    confirmed: BTreeMap<u64, [u8; 32]>,
    /// The content of a snapshot after the last entry that requested a state hash, if a leader needs it.
    kept: Option<(SnapshotMeta, State)>,
}

/// A handle to the replicated state.
#[derive(Clone)]
pub(crate) struct StateMachine {
    /// Poisoned by a panic during a change, not by a panic in a reader.
    replicated: Arc<RwLock<Replicated>>,
    progress: Arc<watch::Sender<Progress>>,
    file: SnapshotFile,
    observer: Arc<dyn Observer>,
    computations: Computations,
    /// The newest format that this node reads.
    newest: Format,
    /// Locked from the writing of a snapshot until it is recorded: only one is written at a time, and none replaces
    /// a newer one.
    snapshot_turn: Arc<tokio::sync::Mutex<()>>,
    /// Whether the state is kept after an entry that requests a state hash.
    keeps_noted: Arc<AtomicBool>,
    /// A bug of the simulation, and the number of this node.
    planted: (Planted, u64),
    /// The lease of openraft's handle; `None` for other handles.
    #[expect(dead_code, reason = "held only until it is dropped")]
    lease: Option<Lease>,
}

/// Why a state machine did not start from the snapshot on disk.
#[derive(Debug, thiserror::Error)]
pub enum StateDamaged {
    /// The file around the state is damaged.
    #[error(transparent)]
    File(#[from] SnapshotDamaged),
    /// The state in the file could not be decoded.
    #[error("the state in {path}: {source}")]
    State {
        /// Path of the file.
        path: String,
        /// The decoding error.
        source: activation::state::SnapshotError,
    },
}

impl StateMachine {
    /// Starts from the snapshot on disk, or from an empty state.
    pub(crate) fn load(file: SnapshotFile, newest: Format) -> Result<Self, StateDamaged> {
        let mut replicated = Replicated {
            state: State::reading_up_to(newest),
            last: None,
            membership: StoredMembership::default(),
            snapshot: None,
            confirmed: BTreeMap::new(),
            kept: None,
        };
        if let Some(snapshot) = file.read()? {
            let path = file.path();
            replicated.state = State::decode_snapshot_up_to(newest, snapshot.snapshot.bytes())
                .map_err(|source| StateDamaged::State { path, source })?;
            replicated.take_meta(&snapshot.meta);
            replicated.snapshot = Some(snapshot);
        }
        let applied_index = replicated.last.map_or(0, |id| id.index);
        let progress = Progress { applied_index, configuration_index: applied_index, ..Progress::default() };
        Ok(Self {
            replicated: Arc::new(RwLock::new(replicated)),
            progress: Arc::new(watch::Sender::new(progress)),
            file,
            observer: Arc::new(()),
            computations: Computations::default(),
            newest,
            snapshot_turn: Arc::default(),
            keeps_noted: Arc::default(),
            planted: (Planted::default(), 0),
            lease: None,
        })
    }

    /// The same handle, with a bug of the simulation in node `node`.
    pub(crate) fn planted_with(self, planted: Planted, node: u64) -> Self {
        Self { planted: (planted, node), ..self }
    }

    /// The same handle with a lease, for openraft.
    pub(crate) fn leased(&self, lease: Lease) -> Self {
        Self { lease: Some(lease), ..self.clone() }
    }

    /// The same handle, with an observer that gets the state after each entry.
    pub(crate) fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// The same handle, with the computations that encode and decode the state.
    pub(crate) fn computing_with(self, computations: Computations) -> Self {
        Self { computations, ..self }
    }

    /// Records that the log, as read at start, holds entries up to `index` that are newer than the state's format.
    pub(crate) fn holds_newer_up_to(&self, index: u64) {
        self.progress.send_modify(|progress| progress.purge_due_index = index);
    }

    /// Records that, before this start, the state was found to differ from the majority's at this entry.
    pub(crate) fn has_diverged(&self, at: Option<u64>) {
        if let Some(index) = at {
            self.report_diverged(index);
        }
        self.progress.send_modify(|progress| progress.diverged_at = at);
    }

    /// Takes the state out of the state machine.
    pub(crate) fn into_state(self) -> State {
        std::mem::take(&mut self.write().state)
    }

    /// The content of a snapshot of the current state. Applying entries waits only for a copy of the state, which
    /// is cheap.
    ///
    /// Errors: the node stops.
    pub(crate) async fn snapshot(&self) -> io::Result<(SnapshotMeta, EncodedState)> {
        let (meta, state) = {
            let replicated = self.read();
            let last_membership = replicated.membership.clone();
            (SnapshotMeta { last_log_id: replicated.last, last_membership }, replicated.state.clone())
        };
        let encode = move || EncodedState::new(state.encode_snapshot().into());
        Ok((meta, self.computations.run(encode).await?))
    }

    /// Reads the state as applied now.
    pub(crate) fn view<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.read().state)
    }

    /// Reads the state together with the index of the last entry applied (0 before the first).
    pub(crate) fn view_at<T>(&self, look: impl FnOnce(u64, &State) -> T) -> T {
        let replicated = self.read();
        look(replicated.last.map_or(0, |id| id.index), &replicated.state)
    }

    /// The state's hash, and the index of the last entry applied.
    pub(crate) fn hash(&self) -> (u64, [u8; 32]) {
        let replicated = self.read();
        (replicated.last.map_or(0, |id| id.index), replicated.state.hash())
    }

    /// The membership as applied.
    pub(crate) fn membership(&self) -> StoredMembership {
        self.read().membership.clone()
    }

    /// The term of the last entry applied, and the times and the format after it.
    pub(crate) fn applied_times(&self) -> AppliedTimes {
        let replicated = self.read();
        AppliedTimes {
            term: replicated.last.map(|last| last.leader_id.term),
            times: replicated.state.times(),
            format: replicated.state.format(),
        }
    }

    pub(crate) fn last(&self) -> Option<LogId> {
        self.read().last
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    fn read(&self) -> RwLockReadGuard<'_, Replicated> {
        self.replicated.read().expect(HALF_CHANGED)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Replicated> {
        self.replicated.write().expect(HALF_CHANGED)
    }

    /// Applies one entry. A panic becomes an error, which stops openraft and therefore the node. The state may then
    /// be half changed, so every later access panics.
    fn apply_or_stop(&self, id: LogId, payload: Payload) -> io::Result<Option<Applied>> {
        panics::catch(|| self.apply_entry(id, payload)).unwrap_or_else(|panic| {
            let reason = panic_message(&*panic);
            tracing::error!(index = id.index, reason, "an entry could not be applied: this node stops");
            Err(io::Error::other(format!("applying entry {} panicked ({reason}): {HALF_CHANGED}", id.index)))
        })
    }

    fn apply_entry(&self, id: LogId, payload: Payload) -> io::Result<Option<Applied>> {
        let mut configured = true;
        let mut diverged = false;
        let mut replicated = self.write();
        let next = replicated.last.map_or(0, |last| last.index + 1);
        assert_eq!(id.index, next, "entries are applied in order, each exactly once");
        assert!(Some(id) > replicated.last, "log ids grow: {id} does not follow {:?}", replicated.last);
        let format = replicated.state.format();
        let command = match &payload {
            EntryPayload::Normal(command) => Some(command.0.clone()),
            EntryPayload::Blank | EntryPayload::Membership(_) => None,
        };
        let applied = match payload {
            EntryPayload::Blank => None,
            EntryPayload::Normal(command) => {
                let applied = self.apply_command(&mut replicated.state, id.index, &command.0);
                match &applied {
                    Applied::Newer => {
                        return Err(io::Error::new(
                            io::ErrorKind::Unsupported,
                            format!("entry {} was written by a newer version: run that version on this node", id.index),
                        ));
                    }
                    Applied::Batch { .. } => configured = false,
                    Applied::HashChecked { matches, .. } => {
                        configured = false;
                        diverged = *matches == Some(false);
                    }
                    Applied::Done | Applied::Repeated { .. } | Applied::Refused(_) => {}
                }
                Some(applied)
            }
            EntryPayload::Membership(membership) => {
                let is_member = |voter| membership.get_node(&voter).is_some();
                assert!(membership.voter_ids().all(is_member), "every voter is a member: {membership}");
                replicated.membership = StoredMembership::new(Some(id), membership);
                None
            }
        };
        replicated.last = Some(id);
        if matches!(applied, Some(Applied::HashChecked { .. })) {
            replicated.note_confirmed(command.as_deref());
        }
        let replaced = self.keep_noted_at(id.index, &mut replicated);
        let entry = AppliedEntry {
            term: id.leader_id.term,
            leader: id.leader_id.node_id,
            index: id.index,
            command: command.as_deref(),
        };
        self.observer.applied(&entry, &replicated.state);
        let hashed = replicated.state.newest_hash().map_or(0, |(index, _)| index);
        let formats = (format, replicated.state.format());
        drop(replicated);
        if let Some(replaced) = replaced {
            self.computations.start(move || drop(replaced));
        }
        if diverged {
            self.report_diverged(id.index);
        }
        self.progress.send_modify(|progress| {
            progress.applied_index = id.index;
            if configured {
                progress.configuration_index = id.index;
            }
            progress.hash_due_index = hashed;
            match formats.1.cmp(&formats.0) {
                Ordering::Less => progress.purge_due_index = id.index,
                Ordering::Greater => progress.purge_due_index = 0,
                Ordering::Equal => {}
            }
            if diverged {
                progress.diverged_at.get_or_insert(id.index);
                progress.differed_at = id.index;
            }
        });
        Ok(applied)
    }
}

impl StateMachine {
    /// Replaces the state by that of `snapshot`, from which `state` was decoded. Returns the previous state,
    /// because dropping it takes time.
    fn replace(&self, state: State, snapshot: Snapshot) -> State {
        let mut replicated = self.write();
        let (from, to) = (replicated.last, snapshot.meta.last_log_id);
        assert!(to >= from, "a snapshot that ends at {to:?} does not replace a state that is at {from:?}");
        replicated.take_meta(&snapshot.meta);
        replicated.snapshot = Some(snapshot);
        std::mem::replace(&mut replicated.state, state)
    }

    /// Keeps a copy of the state after the entry at `index`, if that entry requests a state hash and a leader needs
    /// the copy. Returns the previous copy, because dropping it takes time.
    fn keep_noted_at(&self, index: u64, replicated: &mut Replicated) -> Option<(SnapshotMeta, State)> {
        let is_wanted = self.keeps_noted.load(atomic::Ordering::Acquire);
        if !is_wanted || replicated.state.noted_hash_index() != Some(index) {
            return None;
        }
        let meta = SnapshotMeta { last_log_id: replicated.last, last_membership: replicated.membership.clone() };
        let state = replicated.state.clone();
        replicated.kept.replace((meta, state))
    }

    fn report_diverged(&self, index: u64) {
        let (_, node) = self.planted;
        tracing::error!(
            index,
            "this node's state differs from the majority's: it does not serve or lead until it has taken over the \
             majority's state (run `quorate cluster rejoin {node}` on another node)"
        );
    }

    fn apply_command(&self, state: &mut State, index: u64, command: &[u8]) -> Applied {
        let (planted, node) = self.planted;
        if planted.has(Bug::DivergentApply)
            && node % 2 == 0
            && let Ok(Domain::Batch(mut batch)) = Domain::decode(command)
        {
            batch.stamp.time_ms += 1;
            return state.apply(index, &Domain::Batch(batch).encode());
        }
        if planted.has(Bug::LostBatch)
            && index.is_multiple_of(16)
            && matches!(Domain::decode(command), Ok(Domain::Batch(_)))
        {
            return state.clone().apply(index, command);
        }
        if planted.has(Bug::DoubleApply) {
            state.apply(index, command);
        }
        state.apply(index, command)
    }
}

impl Replicated {
    fn take_meta(&mut self, meta: &SnapshotMeta) {
        self.last = meta.last_log_id;
        self.membership = meta.last_membership.clone();
    }

    /// Records a hash that a majority has.
    fn note_confirmed(&mut self, command: Option<&[u8]>) {
        if let Some(Ok(Domain::StateHash { index, hash })) = command.map(Domain::decode) {
            self.confirmed.insert(index, hash);
            while self.confirmed.len() > STATE_HASHES_KEPT {
                self.confirmed.pop_first();
            }
        }
    }
}

/// The message of a panic.
fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = EncodedState;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let replicated = self.read();
        Ok((replicated.last, replicated.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let applied = self.apply_or_stop(entry.log_id, entry.payload)?;
            if let Some(responder) = responder {
                responder.send(applied);
            }
        }
        Ok(())
    }

    /// Without the lease: a large snapshot takes seconds, and the next openraft instance need not wait for it. Only
    /// one is built at a time, and none replaces a newer one.
    async fn get_snapshot_builder(&mut self) -> Self {
        Self { lease: None, ..self.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, state: EncodedState) -> io::Result<()> {
        let (newest, encoded) = (self.newest, state.bytes().clone());
        let decoded = self.computations.run(move || State::decode_snapshot_up_to(newest, &encoded)).await?;
        let decoded = decoded.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let _turn = self.snapshot_turn.lock().await;
        self.file.write(meta, &state).await?;
        let index = meta.last_log_id.map_or(0, |id| id.index);
        let replaced = self.replace(decoded, Snapshot { meta: meta.clone(), snapshot: state });
        self.computations.start(move || drop(replaced));
        // If this node's state had diverged it still does not serve: the installed state is not confirmed to be the
        // majority's.
        self.progress.send_modify(|progress| {
            progress.applied_index = index;
            progress.configuration_index = index;
        });
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.read().snapshot.clone())
    }
}

impl RaftSnapshotBuilder<TypeConfig> for StateMachine {
    type SnapshotData = EncodedState;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        // A snapshot that is installed in the meantime waits; one that was installed before is part of the state
        // that is read here.
        let _turn = match self.planted.0.has(Bug::OldSnapshot) {
            true => None,
            false => Some(self.snapshot_turn.lock().await),
        };
        let (meta, state) = self.snapshot().await?;
        self.file.write(&meta, &state).await?;
        let snapshot = Snapshot { meta, snapshot: state };
        self.write().snapshot = Some(snapshot.clone());
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{self, AssertUnwindSafe};

    use openraft::{alias::CommittedLeaderIdOf, vote::RaftLeaderId};
    use storage::{Kind, Owner, SledDisk, Store};
    use tempfile::TempDir;
    use uuid::Uuid;

    use super::*;

    fn at(index: u64) -> LogId {
        LogId::new(CommittedLeaderIdOf::<TypeConfig>::new(1, 1), index)
    }

    fn empty() -> (TempDir, StateMachine) {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner { kind: Kind::Node, number: 1, store_if_new: Uuid::from_u128(1) };
        let store = Arc::new(Store::open(&folder.path().join("store"), owner).unwrap());
        let disk = SledDisk::start(store, folder.path(), |_| {}).unwrap();
        let state_machine = StateMachine::load(SnapshotFile::on(Arc::new(disk)), Format::NEWEST).unwrap();
        (folder, state_machine)
    }

    #[test]
    fn a_panic_while_an_entry_is_applied_is_an_error_and_the_state_is_not_used_again() {
        let (_folder, state_machine) = empty();
        state_machine.apply_or_stop(at(0), EntryPayload::Blank).unwrap();
        let error = state_machine.apply_or_stop(at(2), EntryPayload::Blank).unwrap_err().to_string();
        assert!(error.contains("entry 2") && error.contains("restart the node"), "{error}");
        let used: [fn(&StateMachine); 2] =
            [|machine| machine.view(|_| ()), |machine| drop(futures::executor::block_on(machine.snapshot()))];
        for used in used {
            let panicked = panic::catch_unwind(AssertUnwindSafe(|| used(&state_machine))).unwrap_err();
            assert!(panic_message(&*panicked).contains("partially applied entry"));
        }
        let next = state_machine.apply_or_stop(at(1), EntryPayload::Blank);
        assert!(next.is_err(), "the entry that would have been next is not applied either");
        assert_eq!(state_machine.progress().borrow().applied_index, 0);
    }

    #[test]
    fn a_panic_of_a_reader_leaves_the_state_usable() {
        let (_folder, state_machine) = empty();
        state_machine.apply_or_stop(at(0), EntryPayload::Blank).unwrap();
        let read = panic::catch_unwind(AssertUnwindSafe(|| state_machine.view(|_| panic!("a defect of a reader"))));
        assert!(read.is_err());
        state_machine.apply_or_stop(at(1), EntryPayload::Blank).unwrap();
        assert_eq!(state_machine.last(), Some(at(1)));
    }
}

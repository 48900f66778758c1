//! The state machine as openraft sees it: entries in, [`State`] forward, results out; snapshots to and fro.
//!
//! Invariant: what is applied depends on the entries alone, and an entry is applied whole or the node stops.

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

/// What the rest of a node may know as soon as it is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last entry applied; 0 before the first.
    pub applied_index: u64,
    /// The last entry that changed anything but counts: keys, certificates, catalogs, membership.
    pub configuration_index: u64,
    /// The last entry after which the leader is to log its hash.
    pub(crate) hash_due_index: u64,
    /// The log up to here holds what versions cannot read that read what the cluster writes; 0 where it holds nothing such.
    pub(crate) purge_due_index: u64,
    /// The entry at which this node's state was seen to differ from the majority's.
    pub diverged_at: Option<u64>,
    /// The last entry at which it was seen to; 0 where it was at none since this start.
    pub(crate) differed_at: u64,
}

/// Why a state machine is not used any more after a panic while it was changed.
const HALF_CHANGED: &str = "the replicated state may hold half of an entry: restart the node";

struct Replicated {
    state: State,
    last: Option<LogId>,
    membership: StoredMembership,
    snapshot: Option<Snapshot>,
    /// The newest hashes that a majority has, by the entry after which it has them.
    confirmed: BTreeMap<u64, [u8; 32]>,
    /// All that a snapshot would hold after the last entry that asked for the state's hash, where that is wanted.
    kept: Option<(SnapshotMeta, State)>,
}

/// A handle to the replicated state.
#[derive(Clone)]
pub(crate) struct StateMachine {
    /// Poisoned by a panic while it was changed, not by one in a reader.
    replicated: Arc<RwLock<Replicated>>,
    progress: Arc<watch::Sender<Progress>>,
    file: SnapshotFile,
    observer: Arc<dyn Observer>,
    computations: Computations,
    /// The newest format that this node reads.
    newest: Format,
    /// Held while a snapshot is written and until it is known: one at a time, and none over a newer one.
    snapshot_turn: Arc<tokio::sync::Mutex<()>>,
    /// Whether the state is kept as it is after an entry that asks for its hash.
    keeps_noted: Arc<AtomicBool>,
    /// A bug of the simulation, and which node this is.
    planted: (Planted, u64),
    /// Of openraft's handle.
    #[expect(dead_code, reason = "it is there to be dropped")]
    lease: Option<Lease>,
}

/// Why a state machine did not start from what is on disk.
#[derive(Debug, thiserror::Error)]
pub enum StateDamaged {
    /// The file around the state.
    #[error(transparent)]
    File(#[from] SnapshotDamaged),
    /// The state in it.
    #[error("the state in {path}: {source}")]
    State {
        /// The file.
        path: String,
        /// What is wrong.
        source: activation::state::SnapshotError,
    },
}

impl StateMachine {
    /// Starts from the snapshot on disk, or from nothing.
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

    /// The same, with a bug of the simulation in node `node`.
    pub(crate) fn planted_with(self, planted: Planted, node: u64) -> Self {
        Self { planted: (planted, node), ..self }
    }

    /// The same, for openraft.
    pub(crate) fn leased(&self, lease: Lease) -> Self {
        Self { lease: Some(lease), ..self.clone() }
    }

    /// The same, with an observer that is shown the state after each entry.
    pub(crate) fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// The same, with what encodes and decodes the state.
    pub(crate) fn computing_with(self, computations: Computations) -> Self {
        Self { computations, ..self }
    }

    /// What was found in the log when it was read: up to there it holds what is newer than the state's format.
    pub(crate) fn holds_newer_up_to(&self, index: u64) {
        self.progress.send_modify(|progress| progress.purge_due_index = index);
    }

    /// The state was seen to differ from the majority's at this entry, before this start.
    pub(crate) fn has_diverged(&self, at: Option<u64>) {
        if let Some(index) = at {
            self.report_diverged(index);
        }
        self.progress.send_modify(|progress| progress.diverged_at = at);
    }

    /// The state alone.
    pub(crate) fn into_state(self) -> State {
        std::mem::take(&mut self.write().state)
    }

    /// All that a snapshot of now would hold. Only a copy of the state, which is cheap, holds up what is applied.
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

    /// Looks at the state as it is applied now.
    pub(crate) fn view<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.read().state)
    }

    /// Looks at the state together with the entry after which it is so; 0 before the first.
    pub(crate) fn view_at<T>(&self, look: impl FnOnce(u64, &State) -> T) -> T {
        let replicated = self.read();
        look(replicated.last.map_or(0, |id| id.index), &replicated.state)
    }

    /// The state's hash, and the entry after which it was taken.
    pub(crate) fn hash(&self) -> (u64, [u8; 32]) {
        let replicated = self.read();
        (replicated.last.map_or(0, |id| id.index), replicated.state.hash())
    }

    /// The membership as it is applied.
    pub(crate) fn membership(&self) -> StoredMembership {
        self.read().membership.clone()
    }

    /// The last entry's term, and the times and the format after it.
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

    /// Applies one entry. A panic on the way is an error, which stops openraft and so the node; the state may be half
    /// changed then, and every later look at it panics.
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
        assert_eq!(id.index, next, "entries are applied one after the other, none left out and none twice");
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
                            format!("entry {} was written by a newer version: run that on this node", id.index),
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
    /// Goes on from `snapshot`, which `state` was decoded from. Returns the state that it was before: to forget it takes time.
    fn replace(&self, state: State, snapshot: Snapshot) -> State {
        let mut replicated = self.write();
        let (from, to) = (replicated.last, snapshot.meta.last_log_id);
        assert!(to >= from, "a snapshot that ends at {to:?} does not replace a state that is at {from:?}");
        replicated.take_meta(&snapshot.meta);
        replicated.snapshot = Some(snapshot);
        std::mem::replace(&mut replicated.state, state)
    }

    /// Keeps the state as it is after the entry at `index`, where that asks for its hash and a leader wants it. Returns what
    /// was kept before, which takes time to forget.
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
            "this node's state differs from the majority's: it answers no more and does not lead until it has taken over \
             theirs (`quorate cluster rejoin {node}`, asked of another node)"
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

    /// Takes note of a hash that a majority has.
    fn note_confirmed(&mut self, command: Option<&[u8]>) {
        if let Some(Ok(Domain::StateHash { index, hash })) = command.map(Domain::decode) {
            self.confirmed.insert(index, hash);
            while self.confirmed.len() > STATE_HASHES_KEPT {
                self.confirmed.pop_first();
            }
        }
    }
}

/// What a panic said.
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

    /// Without the lease: a large snapshot takes seconds, and the next openraft need not wait for it. There is one at a time,
    /// and none over a newer one.
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
        // Where this node's state differed it goes on not to serve: that this one is the majority's is not confirmed.
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
        // What is installed meanwhile waits; what was installed before is in the state that is taken here.
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
            assert!(panic_message(&*panicked).contains("half of an entry"));
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

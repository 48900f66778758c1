//! The replicated log on a [`Disk`].
//!
//! ```text
//! e<index, 8 bytes big-endian>   an entry
//! v   the vote   p   id of the last purged entry   c   id of the last entry known to be committed
//! r   how many times a cluster of this node alone was formed from its data (recovery)
//! d   the entry at which the state was found to have diverged; absent if it was not
//! ```
//! All records are in one database, so that one batch changes entries, vote and marks together. Entries that are
//! not purged are also kept in memory: openraft reads them from there, and the disk is read once, at start.
//!
//! Invariant: never calls back before the barrier that covers the entries.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    io,
    ops::RangeBounds,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use activation::state::{Command as Domain, Format, MalformedCommand};
use api::log::v1 as proto;
use bytes::Bytes;
use openraft::{
    LogState, OptionalSend, RaftLogReader,
    storage::{IOFlushed, RaftLogStorage},
};
use prost::Message;
use sha2::{Digest, Sha256};
use storage::{Batch, Disk, Identity, ReadError, ValueTooLarge};
use uuid::Uuid;

use crate::planted::{Bug, Planted};
use crate::raft::{
    lease::Lease,
    types::{Entry, EntryPayload, LogId, Membership, TypeConfig, Vote},
    wire::{self, Malformed},
};

const VOTE: &[u8] = b"v";
const PURGED: &[u8] = b"p";
const COMMITTED: &[u8] = b"c";
const RECOVERIES: &[u8] = b"r";
const DIVERGED: &[u8] = b"d";
const ENTRY: u8 = b'e';

fn entry_key(index: u64) -> [u8; 9] {
    let mut key = [ENTRY; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

/// Why the log on disk was refused.
#[derive(Debug, thiserror::Error)]
pub enum LogDamaged {
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record has content that this version does not write.
    #[error("the log is damaged at {place}: {what}; restore the store from a backup, or let the node join again")]
    Content {
        /// Which record.
        place: String,
        /// Description of the damage.
        what: String,
    },
}

/// The records on the disk, read into memory.
#[derive(Default)]
pub(crate) struct Held {
    entries: BTreeMap<u64, Entry>,
    vote: Option<Vote>,
    purged: Option<LogId>,
    committed: Option<LogId>,
}

/// A handle to the log; openraft's writer and its readers share one log.
#[derive(Clone)]
pub(crate) struct Log {
    held: Arc<Mutex<Held>>,
    disk: Arc<dyn Disk>,
    /// Whether the disk keeps entries that are purged.
    #[cfg(feature = "fault-injection")]
    keeps_purged: bool,
    planted: Planted,
    /// Number of writes that were durable when the last entry or vote became durable. Everything promised to other
    /// nodes is among them.
    promised: Arc<AtomicU64>,
    /// The lease of openraft's handles; `None` for other handles.
    lease: Option<Lease>,
}

/// The commands in the log on `disk` and among the purged entries that it kept, by index. The last ones may not be
/// committed.
#[cfg(feature = "fault-injection")]
pub fn read_commands(disk: &dyn Disk) -> Result<BTreeMap<u64, Bytes>, LogDamaged> {
    let damaged = |error: io::Error| LogDamaged::Content { place: "purged entries".into(), what: error.to_string() };
    let purged = disk.kept().map_err(damaged)?;
    let purged = purged.iter().map(|record| read_entry(b"purged", record)).collect::<Result<Vec<_>, _>>()?;
    let entries = purged.into_iter().chain(Held::load(disk)?.entries.into_values());
    let command = |entry: Entry| match entry.payload {
        EntryPayload::Normal(command) => Some((entry.log_id.index, command.0)),
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    };
    Ok(entries.filter_map(command).collect())
}

/// How many times a cluster was formed from this disk's data (recovery).
pub(crate) fn recoveries(disk: &dyn Disk) -> Result<u64, LogDamaged> {
    let Some(value) = disk.get(RECOVERIES)? else { return Ok(0) };
    let damaged = || LogDamaged::Content { place: "mark r".into(), what: "it is not 8 bytes".into() };
    Ok(u64::from_be_bytes(value.try_into().map_err(|_| damaged())?))
}

/// Index of the entry at which the state was found to differ from the majority's; `None` if it was not.
pub(crate) fn diverged_at(disk: &dyn Disk) -> Result<Option<u64>, LogDamaged> {
    let Some(value) = disk.get(DIVERGED)? else { return Ok(None) };
    let damaged = || LogDamaged::Content { place: "mark d".into(), what: "it is not 8 bytes".into() };
    Ok(Some(u64::from_be_bytes(value.try_into().map_err(|_| damaged())?)))
}

/// Sets the divergence mark, or removes it if `diverged_at` is `None`.
pub(crate) fn diverged_mark(diverged_at: Option<u64>) -> io::Result<Batch> {
    let mut batch = Batch::default();
    match diverged_at {
        Some(index) => batch.put(DIVERGED, index.to_be_bytes()).map_err(too_large)?,
        None => batch.remove(DIVERGED),
    }
    Ok(batch)
}

/// The identity that the node presents to other nodes. After a recovery it is a new one: if a lost node returns, it
/// must not recognise this node as the member that it knew.
pub(crate) fn peer_identity(own: Identity, recoveries: u64) -> Identity {
    if recoveries == 0 {
        return own;
    }
    let mut digest = Sha256::new();
    digest.update(b"quorate/recovered/1");
    digest.update(own.store.as_bytes());
    digest.update(recoveries.to_be_bytes());
    let mut store = [0; 16];
    store.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
    Identity { store: Uuid::from_bytes(store), ..own }
}

/// Gives the node a new identity towards other nodes, and a vote with a term that no earlier vote exceeds.
pub(crate) fn renamed(term: u64, owner: u64, recoveries: u64) -> io::Result<Batch> {
    let mut batch = Batch::default();
    batch.put(VOTE, wire::vote_out(&Vote::new(term, owner)).encode_to_vec()).map_err(too_large)?;
    batch.put(RECOVERIES, recoveries.to_be_bytes()).map_err(too_large)?;
    Ok(batch)
}

/// Removes all entries of a log whose state is in a snapshot up to `last`.
pub(crate) fn emptied(held: Option<&Held>, last: LogId) -> io::Result<Batch> {
    let mut batch = Batch::default();
    for index in held.iter().flat_map(|held| held.entries.keys()) {
        batch.remove(entry_key(*index));
    }
    batch.remove(COMMITTED);
    batch.put(PURGED, wire::log_id_out(&last).encode_to_vec()).map_err(too_large)?;
    Ok(batch)
}

impl Held {
    /// The term of the last vote; 0 before the first.
    pub(crate) fn term(&self) -> u64 {
        self.vote.map_or(0, |vote| vote.leader_id.term)
    }

    /// The entries after `last`, with their commands.
    pub(crate) fn entries_after(&self, last: Option<LogId>) -> impl Iterator<Item = (LogId, Option<Bytes>)> {
        let first = last.map_or(0, |id| id.index + 1);
        self.entries.range(first..).map(|(_, entry)| {
            let command = match &entry.payload {
                EntryPayload::Normal(command) => Some(command.0.clone()),
                EntryPayload::Blank | EntryPayload::Membership(_) => None,
            };
            (entry.log_id, command)
        })
    }

    fn last(&self) -> Option<LogId> {
        self.entries.last_key_value().map(|(_, entry)| entry.log_id).or(self.purged)
    }

    /// Appends entries after the last one.
    fn append(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            let (id, last) = (entry.log_id, self.last());
            // The very first entry may have any index: openraft chooses it.
            assert!(
                last.is_none_or(|last| id.index == last.index + 1 && id > last),
                "the log must have no gaps: entry {id} does not follow {last:?}"
            );
            self.entries.insert(id.index, entry);
        }
    }

    /// Removes the entries after `last`, and returns their indexes.
    fn truncate_after(&mut self, last: Option<LogId>) -> impl Iterator<Item = u64> + use<> {
        let purged = self.purged;
        assert!(
            last >= purged,
            "the log cannot be truncated at {last:?}: up to {purged:?} it is committed and in a snapshot"
        );
        self.entries.split_off(&last.map_or(0, |id| id.index + 1)).into_keys()
    }

    /// Removes the entries up to `upto`, and returns them.
    fn purge(&mut self, upto: LogId) -> BTreeMap<u64, Entry> {
        let purged = self.purged;
        assert!(Some(upto) >= purged, "the log can be purged forward only: up to {upto} after {purged:?}");
        self.purged = Some(upto);
        let kept = self.entries.split_off(&(upto.index + 1));
        std::mem::replace(&mut self.entries, kept)
    }

    pub(crate) fn load(disk: &dyn Disk) -> Result<Self, LogDamaged> {
        let mut held = Self {
            vote: mark(disk, VOTE, |vote: proto::Vote| wire::vote_in(Some(vote)))?,
            purged: mark(disk, PURGED, |id| Ok(wire::log_id_in(id)))?,
            committed: mark(disk, COMMITTED, |id| Ok(wire::log_id_in(id)))?,
            ..Self::default()
        };
        let mut next = held.purged.map_or(0, |id| id.index + 1);
        for item in disk.scan(&[ENTRY]) {
            let (key, value) = item?;
            let entry = read_entry(&key, &value)?;
            let index = entry.log_id.index;
            if key != entry_key(index) || next != index {
                let what = format!("found entry {index} in the place of entry {next}");
                return Err(LogDamaged::Content { place: record(&key), what });
            }
            next = index + 1;
            held.entries.insert(index, entry);
        }
        Ok(held)
    }
}

impl Log {
    /// Reads the log on `disk` into memory.
    pub(crate) fn load(disk: Arc<dyn Disk>) -> Result<Self, LogDamaged> {
        Ok(Self {
            held: Arc::new(Mutex::new(Held::load(&*disk)?)),
            disk,
            #[cfg(feature = "fault-injection")]
            keeps_purged: false,
            planted: Planted::default(),
            promised: Arc::default(),
            lease: None,
        })
    }

    /// The same handle, with a bug of the simulation.
    pub(crate) fn planted_with(self, planted: Planted) -> Self {
        Self { planted, ..self }
    }

    /// The same handle with a lease, for openraft.
    pub(crate) fn leased(&self, lease: Lease) -> Self {
        Self { lease: Some(lease), ..self.clone() }
    }

    /// The same handle; the disk keeps every entry that is purged from now on.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn keeping_purged(self) -> Self {
        Self { keeps_purged: true, ..self }
    }

    /// The entry at `index`; `None` if it is purged or does not exist.
    pub(crate) fn entry(&self, index: u64) -> Option<Entry> {
        self.held().entries.get(&index).cloned()
    }

    /// Number of the disk's writes that covers everything promised to other nodes. Only grows.
    pub(crate) fn promised(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.promised)
    }

    /// The newest membership in the log; `None` if the log holds none.
    pub(crate) fn membership(&self) -> Option<Membership> {
        let held = self.held();
        held.entries.values().rev().find_map(|entry| match &entry.payload {
            EntryPayload::Membership(membership) => Some(membership.clone()),
            EntryPayload::Blank | EntryPayload::Normal(_) => None,
        })
    }

    /// Whether this node follows the leader of `vote` and its log lacks the entry `id`, which that leader wrote. A
    /// later leader may have removed the entry; then this node follows that leader, and the result is `false`.
    pub(crate) fn lacks(&self, vote: &Vote, id: &LogId) -> bool {
        let held = self.held();
        let follows = held.vote.is_some_and(|own| own.leader_id == vote.leader_id);
        let is_purged = held.purged.is_some_and(|purged| id.index <= purged.index);
        follows && !is_purged && held.entries.get(&id.index).is_none_or(|entry| entry.log_id != *id)
    }

    /// Id of the last purged entry: the entries in memory begin after it.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.held().purged
    }

    /// Index of the last entry that is of a newer format than `format`.
    pub(crate) fn last_newer_than(&self, format: Format) -> Option<u64> {
        let held = self.held();
        let is_newer = |entry: &Entry| matches!(decoded(entry), Some(Ok(command)) if command.format() > format);
        held.entries.values().rev().find(|entry| is_newer(entry)).map(|entry| entry.log_id.index)
    }

    /// Index of the first entry after `last` that a version whose newest format is `newest` cannot apply.
    pub(crate) fn first_unknown_after(&self, last: Option<LogId>, newest: Format) -> Option<u64> {
        let held = self.held();
        let is_unknown = |entry: &Entry| decoded_up_to(newest, entry) == Some(Err(MalformedCommand::NEWER));
        let mut behind = held.entries.range(last.map_or(0, |id| id.index + 1)..);
        behind.find(|(_, entry)| is_unknown(entry)).map(|(index, _)| *index)
    }

    /// Waits until all earlier writes are durable.
    ///
    /// Errors: this write or an earlier one failed.
    pub(crate) async fn settle(&self) -> io::Result<()> {
        let mut batch = Batch::default();
        let vote = self.held().vote;
        if let Some(vote) = vote {
            batch.put(VOTE, wire::vote_out(&vote).encode_to_vec()).map_err(too_large)?;
        }
        self.commit(batch).await
    }

    /// Waits until the purge is durable: purged entries then do not return after a crash.
    pub(crate) async fn settle_purge(&self) -> io::Result<()> {
        let purged = self.purged();
        let mut batch = Batch::default();
        if let Some(purged) = purged {
            batch.put(PURGED, wire::log_id_out(&purged).encode_to_vec()).map_err(too_large)?;
        }
        self.commit(batch).await
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("the log in memory may be partially changed after a panic: restart the node")
    }

    async fn commit(&self, batch: Batch) -> io::Result<()> {
        storage::commit(&*self.disk, batch).await.map_err(|failure| failure.to_io())?;
        raise_promised(&self.promised, &*self.disk);
        Ok(())
    }
}

/// Everything written so far may be promised to other nodes from now on.
fn raise_promised(promised: &AtomicU64, disk: &dyn Disk) {
    promised.fetch_max(disk.writes().durable, Ordering::AcqRel);
}

fn read_entry(key: &[u8], value: &[u8]) -> Result<Entry, LogDamaged> {
    let damaged = |what: String| LogDamaged::Content { place: record(key), what };
    let entry = proto::Entry::decode(value).map_err(|error| damaged(error.to_string()))?;
    wire::entry_in(entry).map_err(|Malformed(what)| damaged(what.into()))
}

fn record(key: &[u8]) -> String {
    format!("record {key:02x?}")
}

fn decoded(entry: &Entry) -> Option<Result<Domain, MalformedCommand>> {
    decoded_up_to(Format::NEWEST, entry)
}

fn decoded_up_to(newest: Format, entry: &Entry) -> Option<Result<Domain, MalformedCommand>> {
    match &entry.payload {
        EntryPayload::Normal(command) => Some(Domain::decode_up_to(newest, &command.0)),
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    }
}

fn mark<M: Message + Default, T>(
    disk: &dyn Disk,
    key: &[u8],
    read: impl FnOnce(M) -> Result<T, Malformed>,
) -> Result<Option<T>, LogDamaged> {
    let Some(value) = disk.get(key)? else { return Ok(None) };
    let damaged = |what: String| LogDamaged::Content { place: format!("mark {}", key.escape_ascii()), what };
    let message = M::decode(value.as_slice()).map_err(|error| damaged(error.to_string()))?;
    read(message).map(Some).map_err(|Malformed(what)| damaged(what.into()))
}

fn too_large(error: ValueTooLarge) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        Ok(self.held().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.held().vote)
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let held = self.held();
        Ok(LogState { last_purged_log_id: held.purged, last_log_id: held.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let mut batch = Batch::default();
        batch.put(VOTE, wire::vote_out(vote).encode_to_vec()).map_err(too_large)?;
        self.held().vote = Some(*vote);
        if self.planted.has(Bug::VoteNotDurable) {
            self.disk.submit(batch, None).await;
            return Ok(());
        }
        self.commit(batch).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let mut batch = Batch::default();
        match &committed {
            Some(id) => batch.put(COMMITTED, wire::log_id_out(id).encode_to_vec()).map_err(too_large)?,
            None => batch.remove(COMMITTED),
        }
        self.held().committed = committed;
        // Only a hint how far a restarted node may apply at once: if it is lost, the node learns it again from the
        // leader.
        self.disk.submit(batch, None).await;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.held().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().collect();
        let mut batch = Batch::default();
        for entry in &entries {
            batch.put(entry_key(entry.log_id.index), wire::entry_out(entry).encode_to_vec()).map_err(too_large)?;
        }
        self.held().append(entries);
        let (promised, disk, lease) = (Arc::clone(&self.promised), Arc::clone(&self.disk), self.lease.clone());
        let done = move |result: Result<(), storage::WriteFailed>| {
            if result.is_ok() {
                raise_promised(&promised, &*disk);
            }
            callback.io_completed(result.map_err(|failure| failure.to_io()));
            drop(lease);
        };
        self.disk.submit(batch, Some(Box::new(done))).await;
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let mut batch = Batch::default();
        {
            let mut held = self.held();
            for index in held.truncate_after(last) {
                batch.remove(entry_key(index));
            }
        }
        self.commit(batch).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let mut batch = Batch::default();
        batch.put(PURGED, wire::log_id_out(&upto).encode_to_vec()).map_err(too_large)?;
        {
            let mut held = self.held();
            let purged = held.purge(upto);
            #[cfg(feature = "fault-injection")]
            if self.keeps_purged {
                let records = purged.values().map(|entry| wire::entry_out(entry).encode_to_vec().into());
                self.disk.keep(&records.collect::<Vec<_>>())?;
            }
            for index in purged.into_keys() {
                batch.remove(entry_key(index));
            }
        }
        // The snapshot that replaces these entries is durable. After a crash the entries may return, together with
        // the old mark.
        self.disk.submit(batch, None).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{self, AssertUnwindSafe};

    use openraft::{alias::CommittedLeaderIdOf, vote::RaftLeaderId};

    use super::*;

    fn at(term: u64, index: u64) -> LogId {
        LogId::new(CommittedLeaderIdOf::<TypeConfig>::new(term, 1), index)
    }

    fn entry(term: u64, index: u64) -> Entry {
        Entry { log_id: at(term, index), payload: EntryPayload::Blank }
    }

    /// Entries 3 to 5; the entries before are purged.
    fn held() -> Held {
        let entries = (3..=5).map(|index| (index, entry(1, index))).collect();
        Held { entries, purged: Some(at(1, 2)), ..Held::default() }
    }

    #[test]
    fn a_log_with_a_gap_a_repetition_or_a_step_back_is_refused() {
        type Change = fn(&mut Held);
        let changes: [(&str, Change); 6] = [
            ("a gap", |held| held.append(vec![entry(1, 7)])),
            ("a gap in what is appended", |held| held.append(vec![entry(1, 6), entry(1, 8)])),
            ("an entry for the second time", |held| held.append(vec![entry(1, 5)])),
            ("an entry of an earlier term", |held| held.append(vec![entry(0, 6)])),
            ("a cut before what is purged", |held| drop(held.truncate_after(Some(at(1, 1))))),
            ("a purge that goes back", |held| drop(held.purge(at(1, 1)))),
        ];
        for (change, make) in changes {
            assert!(panic::catch_unwind(AssertUnwindSafe(|| make(&mut held()))).is_err(), "{change}");
        }
    }

    #[test]
    fn a_log_continues_after_its_last_entry_a_truncation_or_a_purge_beyond_its_end() {
        let mut held = held();
        held.append(vec![entry(1, 6), entry(2, 7)]);
        assert_eq!(held.truncate_after(Some(at(1, 4))).collect::<Vec<_>>(), [5, 6, 7]);
        held.append(vec![entry(3, 5)]);
        assert_eq!(held.purge(at(3, 9)).into_keys().collect::<Vec<_>>(), [3, 4, 5]);
        held.append(vec![entry(3, 10)]);
        assert_eq!(held.last(), Some(at(3, 10)));
    }
}

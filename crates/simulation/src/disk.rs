//! A simulated disk, which distinguishes durable batches from batches that a power cut would lose.
//!
//! Batches are written in order. A barrier makes all batches durable that were written before it began, after a time
//! that comes from the seed. A crash keeps a prefix of the batches that no barrier covers: the operating system may
//! have written some of them by itself, but never a later batch without all earlier ones.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::log::v1 as log;
use bytes::Bytes;
use futures::future::BoxFuture;
use prost::Message;
use storage::{Batch, Disk, Done, Identity, Kind, ReadError, Record, SnapshotIoError, WriteFailed, Writes};
use tokio::{sync::mpsc, time::Instant};
use uuid::Uuid;

use crate::chance::Chance;

/// How many batches may wait for the disk, as in production.
const QUEUED_BATCHES_MAX: usize = 1024;

/// Keys of log entries begin with this byte. [`PURGED`] is the key of the mark that shows which entries are purged.
/// The oracle needs both to recognise a truncation of the log.
const ENTRY: u8 = b'e';
const PURGED: &[u8] = b"p";
const VOTE: &[u8] = b"v";

type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The durable content of a disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) records: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) snapshot: Option<Bytes>,
    /// How many batches were written to reach this content.
    writes: u64,
}

impl Image {
    fn apply(&mut self, changes: Changes) {
        self.writes += 1;
        for (key, value) in changes {
            match value {
                Some(value) => drop(self.records.insert(key, value)),
                None => drop(self.records.remove(&key)),
            }
        }
    }

    /// The vote on the disk, and the index of the last entry in its log or snapshot.
    pub(crate) fn promised(&self) -> (Option<(u64, u64)>, u64) {
        let vote = self.records.get(VOTE).and_then(|vote| log::Vote::decode(vote.as_slice()).ok());
        let snapshot = self.snapshot.clone().and_then(|snapshot| log::Snapshot::decode(snapshot).ok());
        let snapshot = snapshot.and_then(|snapshot| snapshot.last).map_or(0, |last| last.index);
        (vote.map(|vote| (vote.term, vote.node)), self.last_entry().max(snapshot))
    }

    /// The index of the last entry in the log; 0 where there is none.
    fn last_entry(&self) -> u64 {
        let key = self.records.range(vec![ENTRY]..vec![ENTRY + 1]).next_back().map(|(key, _)| key);
        let index = key.and_then(|key| key.get(1..)).and_then(|index| index.try_into().ok());
        index.map_or(0, u64::from_be_bytes)
    }
}

/// How the next write to a disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failing {
    /// The write fails with EIO.
    Broken,
    /// The write fails with ENOSPC.
    Full,
}

/// The state of one node's disk. It outlives the node's process.
#[derive(Debug)]
struct Platter {
    identity: Identity,
    durable: Image,
    pending: VecDeque<Changes>,
    /// Name and received bytes of a snapshot that another node is sending.
    partial: Option<(String, Vec<u8>)>,
    chance: Chance,
    /// Percentage of barriers that are slow; these take up to 200 ms.
    slow_percent: u64,
    /// By how much longer the next barrier takes.
    hang: Duration,
    /// When the current barrier began.
    under_way: Option<Instant>,
    failing: Option<Failing>,
    /// Planted bug: barriers report success and make nothing durable.
    skips_sync: bool,
    /// Whether the snapshot file differs from what was written.
    damaged: bool,
}

/// Shared access to a node's disk, for the node and for the simulation.
#[derive(Clone)]
pub(crate) struct DiskBay(Arc<Mutex<Platter>>);

/// What a crash did to the batches that were not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crashed {
    /// How many batches no barrier covered.
    pub(crate) pending: usize,
    /// How many of these batches are on the disk nevertheless.
    pub(crate) kept: usize,
}

impl DiskBay {
    /// An empty disk of node `node`.
    pub(crate) fn new(node: u64, seed: u64) -> Self {
        let mut chance = Chance::new(seed, &format!("disk of node {node}"));
        let identity = identity(node, &mut chance);
        Self(Arc::new(Mutex::new(Platter {
            identity,
            durable: Image::default(),
            pending: VecDeque::new(),
            partial: None,
            chance,
            slow_percent: 2,
            hang: Duration::ZERO,
            under_way: None,
            failing: None,
            skips_sync: false,
            damaged: false,
        })))
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process is killed, or the power fails.
    pub(crate) fn crash(&self) -> Crashed {
        let mut platter = self.platter();
        let pending = platter.pending.len();
        let kept = match platter.chance.within(0..3) {
            0 => 0,
            1 => pending,
            _ => usize::try_from(platter.chance.within(0..pending as u64 + 1)).unwrap_or(0),
        };
        platter.settle(kept);
        platter.pending.clear();
        (platter.hang, platter.under_way) = (Duration::ZERO, None);
        platter.tear_partial();
        Crashed { pending, kept }
    }

    /// Whether a batch was written that is not durable yet.
    pub(crate) fn is_behind(&self) -> bool {
        !self.platter().pending.is_empty()
    }

    /// Erases the disk and gives it a new identity, so that the next node on it has another store.
    pub(crate) fn wipe(&self) {
        let mut platter = self.platter();
        let node = platter.identity.owner;
        platter.identity = identity(node, &mut platter.chance);
        platter.durable = Image::default();
        platter.pending.clear();
        platter.partial = None;
        (platter.failing, platter.damaged) = (None, false);
    }

    /// Id of the store on the disk.
    pub(crate) fn store(&self) -> Uuid {
        self.platter().identity.store
    }

    /// The durable content of the disk.
    pub(crate) fn image(&self) -> Image {
        self.platter().durable.clone()
    }

    /// Replaces the content of the disk by the older `image`.
    pub(crate) fn roll_back(&self, image: Image) {
        let mut platter = self.platter();
        platter.durable = image;
        platter.pending.clear();
        platter.partial = None;
    }

    /// Makes this disk a copy of `other`, with the same identity.
    pub(crate) fn copy_from(&self, other: &Self) {
        let (identity, image) = {
            let other = other.platter();
            (other.identity, other.durable.clone())
        };
        let mut platter = self.platter();
        platter.identity = identity;
        platter.durable = image;
        platter.pending.clear();
        platter.partial = None;
    }

    /// Changes the snapshot file, as a damaged disk would.
    pub(crate) fn damage_snapshot(&self, change: impl FnOnce(Bytes) -> Bytes) {
        let mut platter = self.platter();
        platter.durable.snapshot = platter.durable.snapshot.take().map(change);
        platter.damaged = true;
    }

    /// Changes the snapshot file and leaves it valid.
    pub(crate) fn alter_snapshot(&self, change: impl FnOnce(Bytes) -> Bytes) {
        let mut platter = self.platter();
        platter.durable.snapshot = platter.durable.snapshot.take().map(change);
    }

    /// Whether the snapshot file was damaged. A node that starts from a damaged file has accepted it as its own.
    pub(crate) fn is_damaged(&self) -> bool {
        self.platter().damaged
    }

    pub(crate) fn has_snapshot(&self) -> bool {
        self.platter().durable.snapshot.is_some()
    }

    pub(crate) fn set_slow(&self, percent: u64) {
        self.platter().slow_percent = percent;
    }

    /// Makes the next barrier take this much longer.
    pub(crate) fn hang(&self, hang: Duration) {
        self.platter().hang = hang;
    }

    pub(crate) fn fail(&self, failing: Option<Failing>) {
        self.platter().failing = failing;
    }

    /// How long the current barrier has taken so far.
    pub(crate) fn hanging_for(&self) -> Duration {
        self.platter().under_way.map_or(Duration::ZERO, |began| began.elapsed())
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.platter().failing.is_some()
    }

    pub(crate) fn skip_sync(&self) {
        self.platter().skips_sync = true;
    }

    /// A random number for this start of the node, so that a restart after a crash differs from the start before.
    pub(crate) fn boot(&self) -> u64 {
        self.platter().chance.number()
    }
}

fn identity(owner: u64, chance: &mut Chance) -> Identity {
    let store = Uuid::from_u64_pair(chance.number(), chance.number());
    Identity { kind: Kind::Node, owner, store, format: 1 }
}

impl Platter {
    fn settle(&mut self, batches: usize) {
        for changes in self.pending.drain(..batches).collect::<Vec<_>>() {
            self.durable.apply(changes);
        }
    }

    /// No barrier covers the received part of a snapshot: a crash loses some of it, or fills its end with zeros.
    fn tear_partial(&mut self) {
        if let Some((_, bytes)) = &mut self.partial {
            let kept = usize::try_from(self.chance.within(0..bytes.len() as u64 + 1)).unwrap_or(0);
            match self.chance.percent(50) {
                true => bytes.truncate(kept),
                false => bytes.iter_mut().skip(kept).for_each(|byte| *byte = 0),
            }
        }
    }

    /// How long a barrier takes: usually short, on a slow disk up to 200 ms.
    fn barrier_time(&mut self) -> Duration {
        let slow = self.chance.percent(self.slow_percent);
        let micros = self.chance.within(if slow { 20_000..200_000 } else { 300..5_000 });
        std::mem::take(&mut self.hang) + Duration::from_micros(micros)
    }

    fn error(&self) -> Option<io::Error> {
        self.failing.map(|failing| match failing {
            Failing::Broken => io::Error::from_raw_os_error(libc::EIO),
            Failing::Full => io::Error::from_raw_os_error(libc::ENOSPC),
        })
    }
}

/// Receives what the simulation has to know of a node's writes.
pub(crate) trait WriteObserver: Send + Sync {
    /// Log entries from `index` on were removed from the end of the log.
    fn truncated(&self, index: u64);

    /// A snapshot file replaced an earlier one.
    fn snapshot_replaced(&self, before: &Bytes, after: &Bytes);
}

/// A disk as an open replica uses it. Its writing task belongs to the node and ends with it.
pub(crate) struct SimulatedDisk {
    bay: DiskBay,
    queue: mpsc::Sender<Option<Done>>,
    observer: Arc<dyn WriteObserver>,
    writes_at_opening: u64,
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedDisk")
    }
}

impl SimulatedDisk {
    /// Opens the disk in `bay`; call it in the node's runtime.
    pub(crate) fn open(bay: DiskBay, observer: Arc<dyn WriteObserver>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUED_BATCHES_MAX);
        bay.platter().under_way = None;
        tokio::spawn(write_all(bay.clone(), waiting));
        let writes_at_opening = bay.platter().durable.writes;
        Self { bay, queue, observer, writes_at_opening }
    }
}

async fn write_all(bay: DiskBay, mut waiting: mpsc::Receiver<Option<Done>>) {
    let mut callbacks = Vec::new();
    let mut failed: Option<WriteFailed> = None;
    while waiting.recv_many(&mut callbacks, QUEUED_BATCHES_MAX).await > 0 {
        if callbacks.iter().all(Option::is_none) {
            callbacks.clear();
            continue;
        }
        let (covered, time) = {
            let mut platter = bay.platter();
            platter.under_way = Some(Instant::now());
            (platter.pending.len(), platter.barrier_time())
        };
        tokio::time::sleep(time).await;
        let mut platter = bay.platter();
        platter.under_way = None;
        let error = platter.error();
        if failed.is_none() {
            failed = error.map(WriteFailed::new);
        }
        // After a failed sync it is unknown which batches are durable: they stay pending, and a crash decides.
        if failed.is_none() && !platter.skips_sync {
            platter.settle(covered);
        }
        drop(platter);
        for done in callbacks.drain(..).flatten() {
            done(failed.clone().map_or(Ok(()), Err));
        }
    }
}

impl Disk for SimulatedDisk {
    fn identity(&self) -> Identity {
        self.bay.platter().identity
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let platter = self.bay.platter();
        let pending = platter.pending.iter().rev().flat_map(|changes| changes.iter().rev());
        let written = pending.into_iter().find(|(written, _)| written == key).map(|(_, value)| value.clone());
        Ok(written.unwrap_or_else(|| platter.durable.records.get(key).cloned()))
    }

    fn scan<'a>(&'a self, prefix: &[u8]) -> Box<dyn Iterator<Item = Result<Record, ReadError>> + Send + 'a> {
        let platter = self.bay.platter();
        let mut image = platter.durable.clone();
        platter.pending.iter().for_each(|changes| image.apply(changes.clone()));
        let prefix = prefix.to_vec();
        Box::new(image.records.into_iter().filter(move |(key, _)| key.starts_with(&prefix)).map(Ok))
    }

    fn submit(&self, batch: Batch, done: Option<Done>) -> BoxFuture<'_, ()> {
        let changes = batch.into_changes();
        let is_purge = changes.iter().any(|(key, _)| key == PURGED);
        let removed = changes.iter().filter(|(key, value)| value.is_none() && key.first() == Some(&ENTRY));
        let first = removed.filter_map(|(key, _)| Some(u64::from_be_bytes(key.get(1..)?.try_into().ok()?))).min();
        if let Some(first) = first.filter(|_| !is_purge) {
            self.observer.truncated(first);
        }
        self.bay.platter().pending.push_back(changes);
        Box::pin(async move {
            // The queue is closed when the node has ended; then its callers have ended too.
            let _closed = self.queue.send(done).await;
        })
    }

    fn writes(&self) -> Writes {
        Writes { at_opening: self.writes_at_opening, durable: self.bay.platter().durable.writes }
    }

    fn read_snapshot(&self) -> Result<Option<Bytes>, SnapshotIoError> {
        Ok(self.bay.platter().durable.snapshot.clone())
    }

    fn write_snapshot(&self, pieces: Vec<Bytes>) -> BoxFuture<'_, Result<(), SnapshotIoError>> {
        let file = Bytes::from(pieces.concat());
        Box::pin(async move {
            let time = {
                let mut platter = self.bay.platter();
                let times = u32::try_from(platter.chance.within(4..40)).unwrap_or(4);
                platter.barrier_time() * times
            };
            tokio::time::sleep(time).await;
            let mut platter = self.bay.platter();
            if let Some(source) = platter.error() {
                return Err(snapshot_error("write", source));
            }
            let before = platter.durable.snapshot.replace(file.clone());
            drop(platter);
            if let Some(before) = before {
                self.observer.snapshot_replaced(&before, &file);
            }
            Ok(())
        })
    }

    fn hanging_for(&self) -> Duration {
        self.bay.hanging_for()
    }

    fn keep_partial(&self, name: Option<&str>) -> BoxFuture<'_, Result<u64, SnapshotIoError>> {
        let mut platter = self.bay.platter();
        platter.partial.take_if(|(held, _)| Some(held.as_str()) != name);
        let length = platter.partial.as_ref().map_or(0, |(_, bytes)| bytes.len() as u64);
        Box::pin(async move { Ok(length) })
    }

    fn add_to_partial(&self, name: &str, offset: u64, piece: Bytes) -> BoxFuture<'_, Result<(), SnapshotIoError>> {
        let mut platter = self.bay.platter();
        let error = platter.error();
        let (held, bytes) = platter.partial.get_or_insert_with(|| (name.to_owned(), Vec::new()));
        let added = match error {
            Some(error) => Err(error),
            None if held == name && bytes.len() as u64 == offset => {
                bytes.extend_from_slice(&piece);
                Ok(())
            }
            None => Err(io::Error::other("the piece does not follow what is held")),
        };
        Box::pin(async move { added.map_err(|source| snapshot_error("write", source)) })
    }

    fn read_partial(&self, name: &str) -> Result<Bytes, SnapshotIoError> {
        let platter = self.bay.platter();
        let held = platter.partial.as_ref().filter(|(held, _)| held == name);
        let held = held.map(|(_, bytes)| Bytes::copy_from_slice(bytes));
        held.ok_or_else(|| snapshot_error("read", io::ErrorKind::NotFound.into()))
    }

    fn snapshot_path(&self) -> String {
        "snapshot".into()
    }
}

fn snapshot_error(action: &'static str, source: io::Error) -> SnapshotIoError {
    SnapshotIoError { action, path: PathBuf::from("snapshot"), source }
}

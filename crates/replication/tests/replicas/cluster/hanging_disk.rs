//! A disk that hangs, or refuses snapshots, when a test requests it.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use storage::{Batch, Disk, Done, Identity, ReadError, Record, SledDisk, SnapshotIoError, Writes};
use tokio::time::Instant;

/// Controls whether a disk hangs; the test holds a clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hang(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    hangs: bool,
    /// When the first write came that hangs.
    since: Option<Instant>,
    /// All writes that hang.
    held: Vec<(Batch, Option<Done>)>,
    refuses: Option<Refused>,
}

/// What a disk refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A snapshot.
    Snapshots,
    /// Parts of a snapshot that another node sends.
    Parts,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("hangs", &self.hangs).finish_non_exhaustive()
    }
}

impl Hang {
    /// From now on every write hangs.
    pub(crate) fn begin(&self) {
        self.state().hangs = true;
    }

    /// Submits the writes that hang to `disk`, and ends the hanging.
    pub(crate) async fn end(&self, disk: &dyn Disk) {
        loop {
            let held = {
                let mut state = self.state();
                if state.held.is_empty() {
                    *state = State::default();
                    return;
                }
                std::mem::take(&mut state.held)
            };
            for (batch, done) in held {
                // Writes become durable in the order in which they were submitted.
                disk.submit(batch, done).await;
            }
        }
    }

    /// What the disk refuses from now on; `None`: nothing.
    pub(crate) fn refuse(&self, what: Option<Refused>) {
        self.state().refuses = what;
    }

    fn refusal(&self, of: Refused) -> Option<SnapshotIoError> {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let refusal = || SnapshotIoError { action: "write", path: "snapshot".into(), source: full() };
        (self.state().refuses == Some(of)).then(refusal)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

/// A production disk that can hang. Writes that hang are held, and cannot be read.
#[derive(Debug)]
pub(crate) struct HangingDisk {
    pub(crate) inner: SledDisk,
    pub(crate) hang: Hang,
}

impl Disk for HangingDisk {
    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.inner.get(key)
    }

    fn scan<'a>(&'a self, prefix: &[u8]) -> Box<dyn Iterator<Item = Result<Record, ReadError>> + Send + 'a> {
        self.inner.scan(prefix)
    }

    fn submit(&self, batch: Batch, done: Option<Done>) -> BoxFuture<'_, ()> {
        {
            let mut state = self.hang.state();
            if state.hangs {
                state.since.get_or_insert_with(Instant::now);
                state.held.push((batch, done));
                return Box::pin(async {});
            }
        }
        self.inner.submit(batch, done)
    }

    fn writes(&self) -> Writes {
        self.inner.writes()
    }

    fn read_snapshot(&self) -> Result<Option<Bytes>, SnapshotIoError> {
        self.inner.read_snapshot()
    }

    fn write_snapshot(&self, pieces: Vec<Bytes>) -> BoxFuture<'_, Result<(), SnapshotIoError>> {
        if let Some(refused) = self.hang.refusal(Refused::Snapshots) {
            return Box::pin(async { Err(refused) });
        }
        self.inner.write_snapshot(pieces)
    }

    fn keep_partial(&self, name: Option<&str>) -> BoxFuture<'_, Result<u64, SnapshotIoError>> {
        self.inner.keep_partial(name)
    }

    fn add_to_partial(&self, name: &str, offset: u64, piece: Bytes) -> BoxFuture<'_, Result<(), SnapshotIoError>> {
        if let Some(refused) = self.hang.refusal(Refused::Parts) {
            return Box::pin(async { Err(refused) });
        }
        self.inner.add_to_partial(name, offset, piece)
    }

    fn read_partial(&self, name: &str) -> Result<Bytes, SnapshotIoError> {
        self.inner.read_partial(name)
    }

    fn snapshot_path(&self) -> String {
        self.inner.snapshot_path()
    }

    fn hanging_for(&self) -> Duration {
        self.hang.state().since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    #[cfg(feature = "fault-injection")]
    fn keep(&self, records: &[Bytes]) -> io::Result<()> {
        self.inner.keep(records)
    }

    #[cfg(feature = "fault-injection")]
    fn kept(&self) -> io::Result<Vec<Bytes>> {
        self.inner.kept()
    }
}

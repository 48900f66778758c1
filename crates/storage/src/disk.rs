//! The seam below which everything physical lies: records, snapshots, and when they are durable.
//!
//! A replica uses nothing else of a disk. [`SledDisk`](crate::SledDisk) is what production runs; a simulation puts a disk
//! of its own in its place, whose power fails where the simulation wants it.

use std::{fmt, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::{
    batch::{Batch, Done, Record},
    error::{ReadError, SnapshotIoError, WriteFailed},
    identity::Identity,
};

/// How many writes a disk has taken. The number only grows; what is counted as one write is the disk's own affair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// Writes that the disk held when it was opened.
    pub at_opening: u64,
    /// Writes that the last barrier since then covered; 0 before the first. After any crash the disk holds at least as many.
    pub durable: u64,
}

/// What a replica keeps on stable storage.
///
/// Batches become durable in the order in which they were submitted. A callback may come late, and together with others,
/// but never before its batch and every batch submitted earlier are durable. After a crash the disk holds a prefix of the
/// submitted batches, at least up to the last one that was called back. After the first failure every later write fails.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Whose store this is.
    fn identity(&self) -> Identity;

    /// The value of `key`, as it was last submitted before the disk was opened. `None` if there is none.
    ///
    /// Errors: the record cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError>;

    /// Keys and values under `prefix`, in the order of their keys.
    ///
    /// Errors: a record cannot be read.
    fn scan<'a>(&'a self, prefix: &[u8]) -> Box<dyn Iterator<Item = Result<Record, ReadError>> + Send + 'a>;

    /// Submits `batch`, which becomes visible and durable as one; waits only while too many batches are queued. `done` is
    /// called once; without it the batch becomes durable with the next one that has a callback.
    fn submit(&self, batch: Batch, done: Option<Done>) -> BoxFuture<'_, ()>;

    /// How many writes this disk has taken. A disk that held more before has gone back in time.
    fn writes(&self) -> Writes;

    /// The snapshot file; `None` before the first.
    ///
    /// Errors: the file cannot be read.
    fn read_snapshot(&self) -> Result<Option<Bytes>, SnapshotIoError>;

    /// Replaces the snapshot file with `pieces`, which follow each other: after a crash it is the old one or the new one, whole.
    /// Durable on return.
    ///
    /// Errors: the file could not be written, or not be made durable; the old one stays.
    fn write_snapshot(&self, pieces: Vec<Bytes>) -> BoxFuture<'_, Result<(), SnapshotIoError>>;

    /// How many bytes are held of the snapshot `name`, which another node sends; 0 where there are none. What is held of any
    /// other is removed, so there is at most one; with `None` all is removed.
    ///
    /// Errors: the folder cannot be read, or a file in it not be removed.
    fn keep_partial(&self, name: Option<&str>) -> BoxFuture<'_, Result<u64, SnapshotIoError>>;

    /// Adds `piece` to the `offset` bytes that are held of the snapshot `name`. It is not durable, and after a crash what is held
    /// may be anything: what is complete is to be compared with a digest.
    ///
    /// Errors: another number of bytes is held, or the piece cannot be written.
    fn add_to_partial(&self, name: &str, offset: u64, piece: Bytes) -> BoxFuture<'_, Result<(), SnapshotIoError>>;

    /// All that is held of the snapshot `name`.
    ///
    /// Errors: nothing is held, or it cannot be read.
    fn read_partial(&self, name: &str) -> Result<Bytes, SnapshotIoError>;

    /// Where the snapshot is, for messages: a path.
    fn snapshot_path(&self) -> String;

    /// For how long the write that is under way has been so; zero where none is. A disk that hangs answers neither with
    /// success nor with an error.
    fn hanging_for(&self) -> Duration {
        Duration::ZERO
    }

    /// Pages that were written without ever being synced. Above zero the node is to be replaced.
    fn unsynced_pages(&self) -> usize {
        0
    }

    /// Size of the records on the disk, in bytes.
    ///
    /// Errors: the size cannot be read.
    fn bytes_on_disk(&self) -> Result<u64, ReadError> {
        Ok(0)
    }

    /// Keeps records that are about to be removed, for tests that look up every acknowledged request.
    ///
    /// Errors: the file for them cannot be written.
    #[cfg(feature = "fault-injection")]
    fn keep(&self, _records: &[Bytes]) -> std::io::Result<()> {
        Ok(())
    }

    /// The records that were kept, in the order in which they were removed.
    ///
    /// Errors: the file for them cannot be read.
    #[cfg(feature = "fault-injection")]
    fn kept(&self) -> std::io::Result<Vec<Bytes>> {
        Ok(Vec::new())
    }
}

/// Submits `batch` and waits until it is durable.
///
/// Errors: the disk refused it; every later write is refused too.
pub async fn commit(disk: &dyn Disk, batch: Batch) -> Result<(), WriteFailed> {
    let (done, outcome) = oneshot::channel();
    disk.submit(batch, Some(Box::new(move |result| drop(done.send(result))))).await;
    outcome.await.unwrap_or_else(|_| Err(WriteFailed::stopped()))
}

//! The interface to stable storage: records, snapshots, and when they are durable.
//!
//! A replica accesses a disk only through it. [`SledDisk`](crate::SledDisk) is the implementation for production; a
//! simulation replaces it by one whose power fails at chosen moments.

use std::{fmt, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::{
    batch::{Batch, Done, Record},
    error::{ReadError, SnapshotIoError, WriteFailed},
    identity::Identity,
};

/// How many writes a disk has executed. The numbers only grow; what counts as one write is up to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// Number of writes that the disk held when it was opened.
    pub at_opening: u64,
    /// Number of writes that the last barrier since then covered; 0 before the first barrier. After any crash the
    /// disk holds at least this many.
    pub durable: u64,
}

/// The stable storage of a replica.
///
/// Batches become durable in the order in which they were submitted. A callback may come late, and together with
/// others, but never before its batch and every batch submitted earlier are durable. After a crash the disk holds a
/// prefix of the submitted batches, at least up to the last one whose callback was called. After the first failure
/// every later write fails.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// The identity of the store.
    fn identity(&self) -> Identity;

    /// The value of `key`, as last submitted before the disk was opened; `None` if there is none.
    ///
    /// Errors: the record cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError>;

    /// Keys and values under `prefix`, in the order of their keys.
    ///
    /// Errors: a record cannot be read.
    fn scan<'a>(&'a self, prefix: &[u8]) -> Box<dyn Iterator<Item = Result<Record, ReadError>> + Send + 'a>;

    /// Submits `batch`, which becomes visible and durable atomically. Waits only while too many batches are queued.
    /// `done` is called once; without it the batch becomes durable with the next batch that has a callback.
    fn submit(&self, batch: Batch, done: Option<Done>) -> BoxFuture<'_, ()>;

    /// How many writes this disk has executed. A disk that reports fewer than before has gone back in time.
    fn writes(&self) -> Writes;

    /// The snapshot file; `None` before the first.
    ///
    /// Errors: the file cannot be read.
    fn read_snapshot(&self) -> Result<Option<Bytes>, SnapshotIoError>;

    /// Replaces the snapshot file by the concatenation of `pieces`. After a crash the file is completely the old
    /// one or completely the new one. Durable on return.
    ///
    /// Errors: the file could not be written, or not be made durable; the old file stays.
    fn write_snapshot(&self, pieces: Vec<Bytes>) -> BoxFuture<'_, Result<(), SnapshotIoError>>;

    /// The number of bytes held of the snapshot `name`, which another node sends; 0 if there are none. Data held of
    /// any other snapshot is removed, so there is at most one; with `None` all is removed.
    ///
    /// Errors: the folder cannot be read, or a file in it cannot be removed.
    fn keep_partial(&self, name: Option<&str>) -> BoxFuture<'_, Result<u64, SnapshotIoError>>;

    /// Appends `piece` to the `offset` bytes held of the snapshot `name`. This is not durable, and after a crash
    /// the data held may be arbitrary: the caller must compare the complete data with a digest.
    ///
    /// Errors: another number of bytes is held, or the piece cannot be written.
    fn add_to_partial(&self, name: &str, offset: u64, piece: Bytes) -> BoxFuture<'_, Result<(), SnapshotIoError>>;

    /// All data held of the snapshot `name`.
    ///
    /// Errors: nothing is held, or it cannot be read.
    fn read_partial(&self, name: &str) -> Result<Bytes, SnapshotIoError>;

    /// The path of the snapshot, for messages.
    fn snapshot_path(&self) -> String;

    /// How long the current write has been in progress; zero if there is none. A disk that hangs returns neither
    /// success nor an error.
    fn hanging_for(&self) -> Duration {
        Duration::ZERO
    }

    /// Number of pages that were written but never synced. If it is not 0, the node must be replaced.
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

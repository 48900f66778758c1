//! The disk of a node in production: a [`Store`] with its [`Writer`], and a folder with the snapshot.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::{
    batch::{Batch, Done, Record},
    disk::{Disk, Writes},
    durable::{create_folder, replace_file_with_pieces},
    error::{ReadError, SnapshotIoError},
    identity::Identity,
    partial,
    store::Store,
    writer::Writer,
};

/// File name of the newest snapshot, in the folder for snapshots.
pub const SNAPSHOT_FILE: &str = "snapshot";

/// A store that is open for writing, and a folder for snapshots.
pub struct SledDisk {
    store: Arc<Store>,
    writer: Writer,
    snapshots: PathBuf,
    #[cfg(feature = "fault-injection")]
    kept: Option<crate::kept::Kept>,
}

/// Why a [`SledDisk`] was not started.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The writing thread of the store could not be started.
    #[error("cannot start the thread that writes the store: {0}")]
    Writer(io::Error),
    /// The folder for snapshots cannot be created or used.
    #[error("the folder for snapshots {} cannot be used: {source}", path.display())]
    Folder {
        /// Path of the folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl SledDisk {
    /// Starts the writer of `store`. Snapshots are in the folder `snapshots`, which is created if it is missing.
    /// `synced` is called on the writing thread with the duration of each barrier.
    pub fn start(
        store: Arc<Store>,
        snapshots: &Path,
        synced: impl Fn(Duration) + Send + 'static,
    ) -> Result<Self, DiskError> {
        let writer = Writer::start_timed(Arc::clone(&store), synced).map_err(DiskError::Writer)?;
        create_folder(snapshots).map_err(|source| DiskError::Folder { path: snapshots.to_owned(), source })?;
        Ok(Self {
            store,
            writer,
            snapshots: snapshots.to_owned(),
            #[cfg(feature = "fault-injection")]
            kept: None,
        })
    }

    /// The same disk; from now on purged records are kept in a file beside the snapshot.
    #[cfg(feature = "fault-injection")]
    pub fn keeping_purged(self) -> Result<Self, DiskError> {
        let kept = crate::kept::Kept::open(&self.snapshots);
        let kept = kept.map_err(|source| DiskError::Folder { path: self.snapshots.clone(), source })?;
        Ok(Self { kept: Some(kept), ..self })
    }

    fn snapshot_file(&self) -> PathBuf {
        self.snapshots.join(SNAPSHOT_FILE)
    }
}

impl fmt::Debug for SledDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledDisk").field("store", &self.store.folder()).finish_non_exhaustive()
    }
}

/// Runs `work` on a thread that may block on the disk.
fn on_files<T: Send + 'static>(
    action: &'static str,
    path: PathBuf,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> BoxFuture<'static, Result<T, SnapshotIoError>> {
    Box::pin(async move {
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
        done.map_err(|source| SnapshotIoError { action, path, source })
    })
}

impl Disk for SledDisk {
    fn identity(&self) -> Identity {
        self.store.identity()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.store.get(key)
    }

    fn scan<'a>(&'a self, prefix: &[u8]) -> Box<dyn Iterator<Item = Result<Record, ReadError>> + Send + 'a> {
        Box::new(self.store.scan(prefix))
    }

    fn submit(&self, batch: Batch, done: Option<Done>) -> BoxFuture<'_, ()> {
        Box::pin(self.writer.submit(batch, done))
    }

    fn writes(&self) -> Writes {
        self.store.writes()
    }

    fn read_snapshot(&self) -> Result<Option<Bytes>, SnapshotIoError> {
        let path = self.snapshot_file();
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SnapshotIoError { action: "read", path, source }),
        }
    }

    fn write_snapshot(&self, pieces: Vec<Bytes>) -> BoxFuture<'_, Result<(), SnapshotIoError>> {
        let path = self.snapshot_file();
        on_files("write", path.clone(), move || replace_file_with_pieces(&path, &pieces))
    }

    fn keep_partial(&self, name: Option<&str>) -> BoxFuture<'_, Result<u64, SnapshotIoError>> {
        let (folder, name) = (self.snapshots.clone(), name.map(ToOwned::to_owned));
        on_files("look for partially received snapshots in", folder.clone(), move || {
            partial::keep(&folder, name.as_deref())
        })
    }

    fn add_to_partial(&self, name: &str, offset: u64, piece: Bytes) -> BoxFuture<'_, Result<(), SnapshotIoError>> {
        let path = partial::path(&self.snapshots, name);
        on_files("write", path.clone(), move || partial::add(&path, offset, &piece))
    }

    fn read_partial(&self, name: &str) -> Result<Bytes, SnapshotIoError> {
        let path = partial::path(&self.snapshots, name);
        let bytes = fs::read(&path).map_err(|source| SnapshotIoError { action: "read", path, source })?;
        Ok(bytes.into())
    }

    fn snapshot_path(&self) -> String {
        self.snapshot_file().display().to_string()
    }

    fn hanging_for(&self) -> Duration {
        self.writer.hanging_for()
    }

    fn unsynced_pages(&self) -> usize {
        self.store.blobs()
    }

    fn bytes_on_disk(&self) -> Result<u64, ReadError> {
        self.store.bytes_on_disk()
    }

    #[cfg(feature = "fault-injection")]
    fn keep(&self, records: &[Bytes]) -> io::Result<()> {
        self.kept.as_ref().map_or(Ok(()), |kept| kept.add(records))
    }

    #[cfg(feature = "fault-injection")]
    fn kept(&self) -> io::Result<Vec<Bytes>> {
        crate::kept::read(&self.snapshots)
    }
}

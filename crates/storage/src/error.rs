//! Errors of opening, reading and writing a store.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    identity::{Identity, Kind},
    limits::FORMAT,
};

/// Why a store was not opened. Nothing in the folder has been changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another part of this one, has the store open.
    #[error("the store {} is in use: another process has it open; stop that one first", folder.display())]
    InUse {
        /// The store's folder.
        folder: PathBuf,
    },
    /// The store belongs to another owner: another node, or a publisher.
    #[error(
        "the store {} belongs to {} {}, not to {expected_kind} {expected}: give each its own data folder",
        folder.display(), found.kind, found.owner
    )]
    OtherOwner {
        /// The store's folder.
        folder: PathBuf,
        /// The identity in the folder.
        found: Identity,
        /// The kind of store that the caller expected.
        expected_kind: Kind,
        /// The number of the caller's node; 0 for a publisher.
        expected: u64,
    },
    /// A newer version wrote the store.
    #[error(
        "the store {} has format {found}, this version reads formats up to {FORMAT}: run the newer version that wrote \
         it",
        folder.display()
    )]
    NewerFormat {
        /// The store's folder.
        folder: PathBuf,
        /// The store's format.
        found: u32,
    },
    /// The store's content is damaged.
    #[error(
        "the store {} is damaged: {what}; the files are left as they are: restore them from a backup, \
         or move the folder away and let the node join again under a new number",
        folder.display()
    )]
    Damaged {
        /// The store's folder.
        folder: PathBuf,
        /// Description of the damage.
        what: String,
    },
    /// There is not enough space for the copy that is checked.
    #[error(
        "the store {} cannot be opened: the copy that is checked first needs {} MiB in that folder, and {} MiB are \
         free; free space there and start again",
        folder.display(), needed_bytes.div_ceil(1 << 20), free_bytes >> 20
    )]
    NoRoom {
        /// The store's folder.
        folder: PathBuf,
        /// Free space needed in the folder, in bytes.
        needed_bytes: u64,
        /// Free space available in the folder, in bytes.
        free_bytes: u64,
    },
    /// The operating system returned an error.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation that was attempted.
        action: &'static str,
        /// The path of the operation.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// A read from the store failed.
#[derive(Debug, thiserror::Error)]
#[error("reading the store {} failed: {source}", folder.display())]
pub struct ReadError {
    /// The store's folder.
    pub folder: PathBuf,
    /// The error of the database or of the operating system.
    pub source: io::Error,
}

/// The snapshot file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct SnapshotIoError {
    /// The operation that was attempted.
    pub action: &'static str,
    /// Path of the file.
    pub path: PathBuf,
    /// The error of the operating system.
    pub source: io::Error,
}

impl From<SnapshotIoError> for io::Error {
    fn from(error: SnapshotIoError) -> Self {
        Self::new(error.source.kind(), error.to_string())
    }
}

/// A write that did not become durable, and never will.
#[derive(Clone, Debug, thiserror::Error)]
#[error("writing the store failed: {cause}")]
pub struct WriteFailed {
    cause: Arc<io::Error>,
}

impl WriteFailed {
    /// A write that failed because of `cause`.
    pub fn new(cause: io::Error) -> Self {
        Self { cause: Arc::new(cause) }
    }

    /// The writer ended before it executed the write.
    pub(crate) fn stopped() -> Self {
        Self::new(io::Error::other("the writer has stopped"))
    }

    /// The same error as an [`io::Error`], with its kind.
    pub fn to_io(&self) -> io::Error {
        io::Error::new(self.cause.kind(), self.to_string())
    }
}

/// An error of opening, with the operation and its path.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { action, path, source }
}

pub(crate) fn damaged(folder: &Path, what: impl ToString) -> OpenError {
    OpenError::Damaged { folder: folder.to_owned(), what: what.to_string() }
}

//! Why a store was not opened or read.

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
    /// Another process, or another part of this one, has it open.
    #[error("the store {} is in use: another process has it open; stop that one first", folder.display())]
    InUse {
        /// The store's folder.
        folder: PathBuf,
    },
    /// It belongs to somebody else.
    #[error(
        "the store {} belongs to {} {}, not to {expected_kind} {expected}: give each its own data folder",
        folder.display(), found.kind, found.owner
    )]
    OtherOwner {
        /// The store's folder.
        folder: PathBuf,
        /// What the folder says it is.
        found: Identity,
        /// What was asked for.
        expected_kind: Kind,
        /// The number of the node that asked.
        expected: u64,
    },
    /// A newer binary wrote it.
    #[error(
        "the store {} has format {found}, this binary reads up to {FORMAT}: run the newer version that wrote it",
        folder.display()
    )]
    NewerFormat {
        /// The store's folder.
        folder: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Its content is not what was written.
    #[error(
        "the store {} is damaged: {what}; the files are left as they are: restore them from a backup, \
         or move the folder away and let the node join again under a new number",
        folder.display()
    )]
    Damaged {
        /// The store's folder.
        folder: PathBuf,
        /// What was found.
        what: String,
    },
    /// There is no room for the copy that is checked.
    #[error(
        "the store {} cannot be opened: the copy of it that is checked first needs {} MiB in that folder, and {} MiB are \
         free; make room there and start again",
        folder.display(), needed_bytes.div_ceil(1 << 20), free_bytes >> 20
    )]
    NoRoom {
        /// The store's folder.
        folder: PathBuf,
        /// Free space that is needed, in bytes.
        needed_bytes: u64,
        /// Free space that there is, in bytes.
        free_bytes: u64,
    },
    /// The operating system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

/// A read that failed.
#[derive(Debug, thiserror::Error)]
#[error("reading the store {} failed: {source}", folder.display())]
pub struct ReadError {
    /// The store's folder.
    pub folder: PathBuf,
    /// The answer of the database or the operating system.
    pub source: io::Error,
}

/// The snapshot file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct SnapshotIoError {
    /// What was tried.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The answer of the operating system.
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
    /// A write that `cause` made impossible.
    pub fn new(cause: io::Error) -> Self {
        Self { cause: Arc::new(cause) }
    }

    /// The writer ended before it came to the write.
    pub(crate) fn stopped() -> Self {
        Self::new(io::Error::other("the writer has stopped"))
    }

    /// The same as an [`io::Error`], with its kind.
    pub fn to_io(&self) -> io::Error {
        io::Error::new(self.cause.kind(), self.to_string())
    }
}

/// Says on what an operation failed.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { action, path, source }
}

pub(crate) fn damaged(folder: &Path, what: impl ToString) -> OpenError {
    OpenError::Damaged { folder: folder.to_owned(), what: what.to_string() }
}

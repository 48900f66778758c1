//! A folder with one database in it.
//!
//! ```text
//! FOLDER/lock           held while the store is open
//! FOLDER/identity       whose it is (text)
//! FOLDER/acknowledged   how many writes were acknowledged
//! FOLDER/sled/          sled's own files: db, conf, blobs/ (which must stay empty)
//! FOLDER/check/         a copy of these, while the store is being opened
//! ```
//! Identity, format and content are checked before sled is opened, because sled writes to what it opens.

use std::{
    fs::{self, File, OpenOptions},
    io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use crate::{
    batch::Changes,
    check, durable,
    identity::{Identity, Kind},
    limits::{CACHE_BYTES, FORMAT, SEGMENT_BYTES},
    mark::Mark,
    tally::{self, Tally},
};

/// The key under which the database repeats its store's UUID: an emptied database is noticed.
pub(crate) const IDENTITY_KEY: &[u8] = b"\0identity";

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
    folder: PathBuf,
    source: sled::Error,
}

/// Who opens a store.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// What it is to hold.
    pub kind: Kind,
    /// The node's number; 0 for a publisher.
    pub number: u64,
    /// The UUID that the store gets if it is created now.
    pub store_if_new: Uuid,
}

/// An open store: reads here, writes through a [`Writer`](crate::Writer).
pub struct Store {
    folder: PathBuf,
    identity: Identity,
    db: sled::Db,
    /// sled's file through a descriptor of our own: `fdatasync` on it is the barrier that sled does not give.
    log_file: File,
    tally: Mutex<Tally>,
    mark: Mark,
    _lock: File,
}

impl Store {
    /// Opens the store in `folder`, or creates it where the folder is empty or missing.
    pub fn open(folder: &Path, owner: Owner) -> Result<Self, OpenError> {
        durable::create_folder(folder).map_err(io_error("create", folder))?;
        let lock = lock(folder)?;
        let identity_path = folder.join("identity");
        match fs::read_to_string(&identity_path) {
            Ok(text) => Self::open_existing(folder, check_identity(folder, &text, owner)?, lock),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(folder, owner, lock),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(damaged(folder, "its identity file is no text".into()))
            }
            Err(error) => Err(io_error("read", &identity_path)(error)),
        }
    }

    fn open_existing(folder: &Path, identity: Identity, lock: File) -> Result<Self, OpenError> {
        let sled_folder = folder.join("sled");
        check::check(folder, &sled_folder, &identity)?;
        let db = open_sled(folder, &sled_folder)?;
        let tally = db.get(tally::KEY).map_err(|error| damaged(folder, error.to_string()))?;
        let tally = tally.and_then(|tally| Tally::from_bytes(&tally));
        let tally = tally.ok_or_else(|| damaged(folder, "the database lost its tally".into()))?;
        let mark = Mark::open(folder).map_err(io_error("open the mark in", folder))?;
        Self::finish(folder, identity, db, tally, mark, lock)
    }

    /// The identity is written last: a crash on the way leaves a store from which nothing was ever acknowledged.
    fn create(folder: &Path, owner: Owner, lock: File) -> Result<Self, OpenError> {
        let identity_path = folder.join("identity");
        let sled_folder = folder.join("sled");
        if sled_folder.exists() && !check::is_unused(folder, &sled_folder)? {
            let what = format!("{} is missing beside a database with content", identity_path.display());
            return Err(damaged(folder, what));
        }
        let db = open_sled(folder, &sled_folder)?;
        let identity = Identity { kind: owner.kind, owner: owner.number, store: owner.store_if_new, format: FORMAT };
        let insert = |key, value: &[u8]| db.insert(key, value).map_err(|error| damaged(folder, error.to_string()));
        insert(IDENTITY_KEY, identity.store.as_bytes())?;
        insert(tally::KEY, &Tally::default().to_bytes())?;
        db.flush().map_err(|error| io_error("write", &sled_folder)(into_io(error)))?;
        File::open(sled_folder.join("db")).and_then(|file| file.sync_all()).map_err(io_error("sync", &sled_folder))?;
        durable::create_folder(&sled_folder).map_err(io_error("sync", &sled_folder))?;
        let mark = Mark::create(folder).map_err(io_error("write the mark in", folder))?;
        durable::replace_file(&identity_path, identity.to_text().as_bytes())
            .map_err(io_error("write", &identity_path))?;
        Self::finish(folder, identity, db, Tally::default(), mark, lock)
    }

    fn finish(
        folder: &Path,
        identity: Identity,
        db: sled::Db,
        tally: Tally,
        mark: Mark,
        lock: File,
    ) -> Result<Self, OpenError> {
        let path = folder.join("sled").join("db");
        let log_file = OpenOptions::new().read(true).write(true).open(&path).map_err(io_error("open", &path))?;
        Ok(Self { folder: folder.to_owned(), identity, db, log_file, tally: Mutex::new(tally), mark, _lock: lock })
    }

    /// Whose it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let value = self.db.get(key).map_err(|source| self.read_error(source))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Keys and values under `prefix`, in the order of their keys.
    pub fn scan(&self, prefix: &[u8]) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), ReadError>> {
        self.db.scan_prefix(prefix).map(|item| {
            item.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(|source| self.read_error(source))
        })
    }

    /// Bytes on disk.
    pub fn bytes_on_disk(&self) -> Result<u64, ReadError> {
        self.db.size_on_disk().map_err(|source| self.read_error(source))
    }

    /// Files in `blobs/`: pages that sled wrote without any sync. Above zero is an alarm.
    pub fn blobs(&self) -> usize {
        fs::read_dir(self.folder.join("sled").join("blobs")).map_or(0, Iterator::count)
    }

    /// Applies `changes` as one; with `barrier`, they and everything before them are durable on return.
    pub(crate) fn write(&self, changes: Changes, barrier: bool) -> io::Result<()> {
        // Written by one thread alone, and a failed write is the last one: a panic leaves nothing half done to go on with.
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.write(&changes, |key| self.db.get(key)).map_err(into_io)?;
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch.insert(tally::KEY, &tally.to_bytes());
        self.db.apply_batch(batch).map_err(into_io)?;
        if barrier {
            self.barrier()?;
            self.mark.raise(tally.writes)?;
        }
        Ok(())
    }

    /// Makes everything written so far durable: sled's buffers to its file, the file to the disk.
    fn barrier(&self) -> io::Result<()> {
        self.db.flush().map_err(into_io)?;
        #[cfg(feature = "fault-injection")]
        if std::env::var_os("QUORATE_FAULT_SKIP_SYNC").is_some() {
            return Ok(());
        }
        self.log_file.sync_data()
    }

    fn read_error(&self, source: sled::Error) -> ReadError {
        ReadError { folder: self.folder.clone(), source }
    }
}

/// Says on what an operation failed.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { action, path, source }
}

/// Keeps the cause where sled has one, and its words where not.
fn into_io(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io_error("open", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { folder: folder.to_owned() }),
        Err(errno) => Err(OpenError::Io { action: "lock", path, source: errno.into() }),
    }
}

fn check_identity(folder: &Path, text: &str, owner: Owner) -> Result<Identity, OpenError> {
    // The format first: a newer one may say more about itself than this binary understands.
    let format = toml::from_str::<toml::Table>(text)
        .ok()
        .and_then(|table| table.get("format").and_then(toml::Value::as_integer))
        .and_then(|format| u32::try_from(format).ok());
    match format {
        Some(found) if found > FORMAT => return Err(OpenError::NewerFormat { folder: folder.to_owned(), found }),
        _ => {}
    }
    let found = Identity::from_text(text)
        .map_err(|error| damaged(folder, format!("its identity file: {}", error.message())))?;
    if found.kind != owner.kind || found.owner != owner.number {
        let (expected_kind, expected) = (owner.kind, owner.number);
        return Err(OpenError::OtherOwner { folder: folder.to_owned(), found, expected_kind, expected });
    }
    Ok(found)
}

pub(crate) fn damaged(folder: &Path, what: String) -> OpenError {
    OpenError::Damaged { folder: folder.to_owned(), what }
}

pub(crate) fn open_sled(folder: &Path, sled_folder: &Path) -> Result<sled::Db, OpenError> {
    let config = sled::Config::new()
        .path(sled_folder)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None)
        .print_profile_on_drop(false);
    // sled answers some damage with a panic instead of an error.
    match panic::catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(source))) => {
            Err(OpenError::Io { action: "open the database in", path: sled_folder.to_owned(), source })
        }
        Ok(Err(error)) => Err(damaged(folder, error.to_string())),
        Err(_) => Err(damaged(folder, "the database cannot be read".into())),
    }
}

//! A store: a folder with one database in it.
//!
//! ```text
//! FOLDER/lock            locked while the store is open
//! FOLDER/identity        the store's owner and format (text)
//! FOLDER/acknowledged    how many writes were acknowledged
//! FOLDER/sled/           sled's own files: db, conf, blobs/ (which must stay empty)
//! FOLDER/check/          a copy of these, while the store is being opened
//! FOLDER/replaced/       the files that the copy replaced, until they are removed
//! ```
//! Identity, format and content are checked before sled opens the database, because sled writes to it then.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use crate::{
    batch::{Changes, Record},
    check,
    copy::Copies,
    database::{IDENTITY_KEY, into_io, open_sled},
    disk::Writes,
    durable,
    error::{OpenError, ReadError, damaged, io_error},
    identity::{Identity, Kind},
    limits::FORMAT,
    mark::Mark,
    opening::{Opening, OpeningStep, Reporter},
    tally::{self, Tally},
};

/// The owner that opens a store.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// What the store must hold.
    pub kind: Kind,
    /// The node's number; 0 for a publisher.
    pub number: u64,
    /// The UUID that the store gets if it is created now.
    pub store_if_new: Uuid,
}

/// An open store. It reads; a [`Writer`](crate::Writer) writes.
pub struct Store {
    folder: PathBuf,
    identity: Identity,
    db: sled::Db,
    /// sled's file, opened a second time: `fdatasync` on this descriptor is the barrier that sled does not provide.
    log_file: File,
    tally: Mutex<Tally>,
    /// Number of writes when the store was opened.
    writes_at_opening: u64,
    /// Number of writes that the last barrier covered.
    durable_writes: AtomicU64,
    mark: Mark,
    _lock: File,
}

impl Store {
    /// Opens the store in `folder`, or creates it if the folder is empty or missing.
    pub fn open(folder: &Path, owner: Owner) -> Result<Self, OpenError> {
        Self::open_reporting(folder, owner, &|_| {})
    }

    /// Opens the store like [`Self::open`], and calls `report` with the progress, on this thread.
    pub fn open_reporting(folder: &Path, owner: Owner, report: &dyn Fn(Opening)) -> Result<Self, OpenError> {
        let reporter = Reporter::new(folder, report);
        durable::create_folder(folder).map_err(io_error("create", folder))?;
        let lock = lock(folder)?;
        Copies::of(folder).settle()?;
        let identity_path = folder.join("identity");
        match fs::read_to_string(&identity_path) {
            Ok(text) => Self::open_existing(folder, check_identity(folder, &text, owner)?, lock, &reporter),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(folder, owner, lock, &reporter),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(damaged(folder, "its identity file is not text"))
            }
            Err(error) => Err(io_error("read", &identity_path)(error)),
        }
    }

    fn open_existing(
        folder: &Path,
        identity: Identity,
        lock: File,
        reporter: &Reporter<'_>,
    ) -> Result<Self, OpenError> {
        check::renew(folder, &identity, reporter)?;
        reporter.step(OpeningStep::Recover);
        let db = open_sled(folder, &folder.join("sled"))?;
        let tally = db.get(tally::KEY).map_err(|error| damaged(folder, error))?;
        let tally = tally.and_then(|tally| Tally::from_bytes(&tally));
        let tally = tally.ok_or_else(|| damaged(folder, "the database's checksum record is missing"))?;
        let mark = Mark::open(folder).map_err(io_error("open the mark in", folder))?;
        reporter.ends(tally.records);
        Self::finish(folder, identity, db, tally, mark, lock)
    }

    /// The identity is written last: a crash before that leaves a store from which nothing was ever acknowledged.
    fn create(folder: &Path, owner: Owner, lock: File, reporter: &Reporter<'_>) -> Result<Self, OpenError> {
        let identity_path = folder.join("identity");
        let sled_folder = folder.join("sled");
        if sled_folder.exists() && !check::is_unused(folder, reporter)? {
            let what = format!("{} is missing beside a database with content", identity_path.display());
            return Err(damaged(folder, what));
        }
        let db = open_sled(folder, &sled_folder)?;
        let identity = Identity { kind: owner.kind, owner: owner.number, store: owner.store_if_new, format: FORMAT };
        let insert = |key, value: &[u8]| db.insert(key, value).map_err(|error| damaged(folder, error));
        insert(IDENTITY_KEY, identity.store.as_bytes())?;
        insert(tally::KEY, &Tally::default().to_bytes())?;
        db.flush().map_err(|error| io_error("write", &sled_folder)(into_io(error)))?;
        // sled syncs neither of them. With a damaged settings file the store could not be opened again.
        for name in ["db", "conf"] {
            let file = sled_folder.join(name);
            File::open(&file).and_then(|opened| opened.sync_all()).map_err(io_error("sync", &file))?;
        }
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
        Ok(Self {
            folder: folder.to_owned(),
            identity,
            db,
            log_file,
            tally: Mutex::new(tally),
            writes_at_opening: tally.writes,
            durable_writes: AtomicU64::new(0),
            mark,
            _lock: lock,
        })
    }

    /// The identity of the store.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The folder of the store.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let value = self.db.get(key).map_err(|source| self.read_error(source))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Keys and values under `prefix`, in the order of their keys.
    pub fn scan<'a>(&'a self, prefix: &[u8]) -> impl Iterator<Item = Result<Record, ReadError>> + Send + use<'a> {
        self.db.scan_prefix(prefix).map(|item| {
            item.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(|source| self.read_error(source))
        })
    }

    /// Size of the database on disk, in bytes.
    pub fn bytes_on_disk(&self) -> Result<u64, ReadError> {
        self.db.size_on_disk().map_err(|source| self.read_error(source))
    }

    /// How many writes the store has executed; `durable` is 0 until the first barrier since it was opened.
    pub fn writes(&self) -> Writes {
        Writes { at_opening: self.writes_at_opening, durable: self.durable_writes.load(Ordering::Acquire) }
    }

    /// Number of files in `blobs/`: pages that sled wrote without any sync. If it is not 0, an alarm is raised.
    pub fn blobs(&self) -> usize {
        fs::read_dir(self.folder.join("sled").join("blobs")).map_or(0, Iterator::count)
    }

    /// Applies `changes` atomically; with `barrier`, they and all earlier changes are durable on return.
    pub(crate) fn write(&self, changes: Changes, barrier: bool) -> io::Result<()> {
        // After a panic in this function the tally may be ahead of the database, and it is unknown what reached the
        // disk.
        let mut tally = self.tally.lock().expect("no write follows one that panicked: the store must be opened again");
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
            self.durable_writes.store(tally.writes, Ordering::Release);
        }
        Ok(())
    }

    /// Makes everything written so far durable: flushes sled's buffers to its file, and the file to the disk.
    fn barrier(&self) -> io::Result<()> {
        self.db.flush().map_err(into_io)?;
        #[cfg(feature = "fault-injection")]
        if std::env::var_os("QUORATE_FAULT_SKIP_SYNC").is_some() {
            return Ok(());
        }
        #[cfg(feature = "fault-injection")]
        while std::env::var_os("QUORATE_TEST_HANG_DISK").is_some_and(|file| Path::new(&file).exists()) {
            std::thread::park_timeout(std::time::Duration::from_millis(10));
        }
        self.log_file.sync_data()
    }

    fn read_error(&self, source: sled::Error) -> ReadError {
        ReadError { folder: self.folder.clone(), source: into_io(source) }
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
    // The format is checked first: a newer format may have fields that this version does not know.
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

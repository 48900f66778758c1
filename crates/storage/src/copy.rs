//! The copy of a database that is checked, and then replaces the database.
//!
//! When a sync fails, Linux marks the pages as clean: a reader of the file gets the written data, no later sync
//! writes it again, and a crash loses it. Therefore an existing database is not used as it is: every byte of it is
//! rewritten and synced before it is used.
//!
//! ```text
//! FOLDER/check       the copy, until it is complete and synced
//! FOLDER/replaced    the original database, from its replacement by the copy until it is removed
//! ```
//! A crash at any step leaves either `sled`, or `replaced`, which is then renamed back.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use rustix::fs::statvfs;

use crate::{
    durable,
    error::{OpenError, io_error},
    limits::{COPY_CHUNK_BYTES, OPENING_ROOM_BYTES},
    opening::{OpeningStep, Reporter},
};

/// The database folder, and the folders of its copy and of the replaced original.
pub(crate) struct Copies {
    folder: PathBuf,
    database: PathBuf,
    pub(crate) copy: PathBuf,
    replaced: PathBuf,
}

impl Copies {
    pub(crate) fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            database: folder.join("sled"),
            copy: folder.join("check"),
            replaced: folder.join("replaced"),
        }
    }

    /// Completes an opening that a crash interrupted: afterwards only the database is left.
    pub(crate) fn settle(&self) -> Result<(), OpenError> {
        if !self.database.exists() && self.replaced.exists() {
            fs::rename(&self.replaced, &self.database)
                .map_err(io_error("restore the previous files of", &self.database))?;
            durable::sync_folder(&self.folder).map_err(io_error("sync", &self.folder))?;
        }
        self.discard()
    }

    /// Removes everything but the database.
    pub(crate) fn discard(&self) -> Result<(), OpenError> {
        for gone in [&self.copy, &self.replaced] {
            match fs::remove_dir_all(gone) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error("remove", gone)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Copies the database, if there is enough free space.
    pub(crate) fn make(&self, reporter: &Reporter<'_>) -> Result<(), OpenError> {
        let total = size(&self.database).map_err(io_error("read", &self.database))?;
        reporter.begins(total);
        self.check_room(total + OPENING_ROOM_BYTES)?;
        let mut copying = Copying { reporter, done: 0, total, buffer: vec![0; COPY_CHUNK_BYTES] };
        copying.folder(&self.database, &self.copy).map_err(io_error("make a copy for checking in", &self.copy))
    }

    fn check_room(&self, needed_bytes: u64) -> Result<(), OpenError> {
        let room =
            statvfs(&self.folder).map_err(|errno| io_error("read the free space of", &self.folder)(errno.into()))?;
        let free_bytes = room.f_bavail.saturating_mul(room.f_frsize);
        if free_bytes < needed_bytes {
            return Err(OpenError::NoRoom { folder: self.folder.clone(), needed_bytes, free_bytes });
        }
        Ok(())
    }

    /// Replaces the database by the closed copy, durably.
    pub(crate) fn replace(&self, reporter: &Reporter<'_>) -> Result<(), OpenError> {
        reporter.step(OpeningStep::Sync);
        sync_all(&self.copy).map_err(io_error("sync", &self.copy))?;
        let swapped = fs::rename(&self.database, &self.replaced).and_then(|()| fs::rename(&self.copy, &self.database));
        swapped.map_err(io_error("replace", &self.database))?;
        durable::sync_folder(&self.folder).map_err(io_error("sync", &self.folder))?;
        self.discard()
    }
}

/// Total length of all files in a folder, in bytes.
fn size(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for item in fs::read_dir(folder)? {
        let item = item?;
        bytes += if item.file_type()?.is_dir() { size(&item.path())? } else { item.metadata()?.len() };
    }
    Ok(bytes)
}

fn sync_all(folder: &Path) -> io::Result<()> {
    for item in fs::read_dir(folder)? {
        let item = item?;
        if item.file_type()?.is_dir() {
            sync_all(&item.path())?;
        } else {
            File::open(item.path())?.sync_all()?;
        }
    }
    durable::sync_folder(folder)
}

/// A copy in progress.
struct Copying<'a> {
    reporter: &'a Reporter<'a>,
    done: u64,
    total: u64,
    buffer: Vec<u8>,
}

impl Copying<'_> {
    fn folder(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::create_dir(to)?;
        for item in fs::read_dir(from)? {
            let item = item?;
            let to = to.join(item.file_name());
            if item.file_type()?.is_dir() {
                self.folder(&item.path(), &to)?;
            } else {
                self.file(&item.path(), &to)?;
            }
        }
        Ok(())
    }

    /// Copied byte by byte: a file system that shares blocks between copies would not write them again.
    fn file(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut from, mut to) = (File::open(from)?, OpenOptions::new().write(true).create_new(true).open(to)?);
        to.set_permissions(from.metadata()?.permissions())?;
        loop {
            let read = from.read(&mut self.buffer)?;
            to.write_all(self.buffer.get(..read).unwrap_or_default())?;
            self.done += read as u64;
            self.reporter.at(OpeningStep::Copy, self.done, self.total);
            #[cfg(feature = "fault-injection")]
            while std::env::var_os("QUORATE_TEST_HANG_OPENING").is_some_and(|file| Path::new(&file).exists()) {
                std::thread::park_timeout(std::time::Duration::from_millis(10));
                self.reporter.at(OpeningStep::Copy, self.done, self.total);
            }
            if read == 0 {
                return Ok(());
            }
        }
    }
}

//! The sled database inside a store: its configuration, and the records that the store reserves for itself.

use std::{io, path::Path, thread, time::Duration};

use tokio::time::Instant;

use crate::{
    error::{OpenError, damaged},
    limits::{CACHE_BYTES, CLOSE_TIMEOUT, SEGMENT_BYTES},
    panics::catch_with_sled,
};

/// The key under which the database repeats its store's UUID, so that an emptied database is detected.
pub(crate) const IDENTITY_KEY: &[u8] = b"\0identity";

/// The I/O error inside a sled error, or one with sled's message.
pub(crate) fn into_io(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// Opens the database. sled writes to a database when it opens it: check the content on a copy first.
pub(crate) fn open_sled(folder: &Path, sled_folder: &Path) -> Result<sled::Db, OpenError> {
    let config = sled::Config::new()
        .path(sled_folder)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None)
        .print_profile_on_drop(false);
    // For some kinds of damage sled panics instead of returning an error.
    match catch_with_sled(|| open_when_closed(&config)) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(source))) => {
            Err(OpenError::Io { action: "open the database in", path: sled_folder.to_owned(), source })
        }
        Ok(Err(error)) => Err(damaged(folder, error)),
        Err(_) => Err(damaged(folder, "the database cannot be read")),
    }
}

/// Opens the database, after sled's threads have released it: the threads of a database that was just closed hold
/// its lock for a moment longer. This does not wait for other processes, because the store has a lock of its own.
fn open_when_closed(config: &sled::Config) -> sled::Result<sled::Db> {
    let began = Instant::now();
    loop {
        match config.open() {
            Err(sled::Error::Io(error)) if is_locked(&error) && began.elapsed() < CLOSE_TIMEOUT => {
                thread::park_timeout(Duration::from_millis(1));
            }
            opened => return opened,
        }
    }
}

/// sled has no separate kind of error for this.
fn is_locked(error: &io::Error) -> bool {
    error.to_string().starts_with("could not acquire lock")
}

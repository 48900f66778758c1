//! The sled database inside a store: how it is configured, and what of it belongs to the store itself.

use std::{io, path::Path};

use crate::{
    error::{OpenError, damaged},
    limits::{CACHE_BYTES, SEGMENT_BYTES},
    panics::catch_with_sled,
};

/// The key under which the database repeats its store's UUID: an emptied database is noticed.
pub(crate) const IDENTITY_KEY: &[u8] = b"\0identity";

/// Keeps the cause where sled has one, and its words where not.
pub(crate) fn into_io(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// Opens the database. sled writes to what it opens: check the content on a copy first.
pub(crate) fn open_sled(folder: &Path, sled_folder: &Path) -> Result<sled::Db, OpenError> {
    let config = sled::Config::new()
        .path(sled_folder)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None)
        .print_profile_on_drop(false);
    // sled answers some damage with a panic instead of an error.
    match catch_with_sled(|| config.open()) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(source))) => {
            Err(OpenError::Io { action: "open the database in", path: sled_folder.to_owned(), source })
        }
        Ok(Err(error)) => Err(damaged(folder, error)),
        Err(_) => Err(damaged(folder, "the database cannot be read")),
    }
}

//! Whether a store is whole, found out on a copy of it.
//!
//! sled repairs what it opens: it cuts the log at the first record it cannot read and writes zeros over the rest. A
//! damaged store must stay as it was found, for whoever comes to rescue it. So sled is first let loose on a copy, every
//! record is read and added up, and only a store that adds up is opened.

use std::{fs, io, path::Path};

use crate::{
    database::{IDENTITY_KEY, open_sled},
    error::{OpenError, damaged, io_error},
    identity::Identity,
    mark,
    panics::catch_with_sled,
    tally::{self, Tally},
};

/// What is wrong with the content of a database.
#[derive(Debug, thiserror::Error)]
enum Damage {
    #[error("the database is that of another store")]
    OtherStore,
    #[error("the database is empty or lost its beginning")]
    NoIdentity,
    #[error("the database lost its tally")]
    NoTally,
    #[error("the database's tally is not what was written")]
    Tally,
    #[error("records are missing or are not the ones that were written last")]
    Records,
    #[error("it ends after write {writes}, but write {acknowledged} was acknowledged")]
    Shortened { writes: u64, acknowledged: u64 },
    #[error("a record cannot be read")]
    Unreadable,
    #[error(transparent)]
    Read(#[from] sled::Error),
}

/// Refuses a store that is not whole, before anything in it is changed.
pub(crate) fn check(folder: &Path, sled_folder: &Path, identity: &Identity) -> Result<(), OpenError> {
    let db_file = sled_folder.join("db");
    if !db_file.is_file() {
        return Err(damaged(folder, format!("{} is missing", db_file.display())));
    }
    let mark = mark::path(folder);
    let acknowledged = match mark::read(folder) {
        Ok(Some(writes)) => writes,
        Ok(None) => return Err(damaged(folder, format!("{} is not what was written", mark.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(folder, format!("{} is missing", mark.display())));
        }
        Err(source) => return Err(OpenError::Io { action: "read", path: mark, source }),
    };
    on_copy(folder, sled_folder, |db| check_content(db, identity, acknowledged))
}

/// Whether the database of a store without an identity was left by a creation that a crash cut short: nothing was ever
/// acknowledged from such a one.
pub(crate) fn is_unused(folder: &Path, sled_folder: &Path) -> Result<bool, OpenError> {
    if matches!(mark::read(folder), Ok(None | Some(1..))) {
        return Ok(false);
    }
    on_copy(folder, sled_folder, |db| {
        let mut keys = db.iter().map(|record| record.is_ok_and(|(key, _)| key == tally::KEY || key == IDENTITY_KEY));
        Ok(keys.all(|own| own))
    })
}

/// Looks at a copy of the database.
fn on_copy<T>(
    folder: &Path,
    sled_folder: &Path,
    look: impl FnOnce(&sled::Db) -> Result<T, Damage>,
) -> Result<T, OpenError> {
    let copy = folder.join("check");
    let looked = copy_folder(sled_folder, &copy)
        .map_err(io_error("make a copy for checking in", &copy))
        .and_then(|()| open_sled(folder, &copy))
        .and_then(|db| {
            // sled answers some damage with a panic instead of an error.
            let looked = catch_with_sled(|| look(&db));
            looked.unwrap_or(Err(Damage::Unreadable)).map_err(|what| damaged(folder, what))
        });
    remove(&copy).map_err(io_error("remove", &copy))?;
    looked
}

/// Removes what a check that was interrupted left behind.
fn remove(copy: &Path) -> io::Result<()> {
    match fs::remove_dir_all(copy) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    remove(to)?;
    fs::create_dir(to)?;
    for item in fs::read_dir(from)? {
        let item = item?;
        let to = to.join(item.file_name());
        if item.file_type()?.is_dir() {
            copy_folder(&item.path(), &to)?;
        } else {
            fs::copy(item.path(), to)?;
        }
    }
    Ok(())
}

fn check_content(db: &sled::Db, identity: &Identity, acknowledged: u64) -> Result<(), Damage> {
    match db.get(IDENTITY_KEY)? {
        Some(store) if store.as_ref() == identity.store.as_bytes() => {}
        Some(_) => return Err(Damage::OtherStore),
        None => return Err(Damage::NoIdentity),
    }
    let tally = db.get(tally::KEY)?.ok_or(Damage::NoTally)?;
    let tally = Tally::from_bytes(&tally).ok_or(Damage::Tally)?;
    let mut found = Tally::of_nothing(tally.writes);
    for record in db.iter() {
        let (key, value) = record?;
        if key != tally::KEY && key != IDENTITY_KEY {
            found.add(&key, &value);
        }
    }
    if found != tally {
        return Err(Damage::Records);
    }
    if tally.writes < acknowledged {
        return Err(Damage::Shortened { writes: tally.writes, acknowledged });
    }
    Ok(())
}

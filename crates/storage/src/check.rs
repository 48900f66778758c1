//! Checks on a copy whether a store is undamaged.
//!
//! sled repairs a database when it opens it: it cuts the log at the first record that it cannot read, and
//! overwrites the rest with zeros. A damaged store must stay unchanged, so that an administrator can still recover
//! data from it. Therefore sled first opens a copy, every record is read and summed, and only a store that matches
//! its tally is opened. The copy then replaces the database ([`crate::copy`]).

use std::{io, path::Path};

use crate::{
    copy::Copies,
    database::{IDENTITY_KEY, open_sled},
    error::{OpenError, damaged},
    identity::Identity,
    limits::RECORDS_PER_REPORT,
    mark,
    opening::{OpeningStep, Reporter},
    panics::catch_with_sled,
    tally::{self, Tally},
};

/// What is wrong with the content of a database.
#[derive(Debug, thiserror::Error)]
enum Damage {
    #[error("the database belongs to another store")]
    OtherStore,
    #[error("the database is empty or its first records are missing")]
    NoIdentity,
    #[error("the database's checksum record is missing")]
    NoTally,
    #[error("the database's checksum record is not what was written")]
    Tally,
    #[error("records are missing, or older than the last ones written")]
    Records,
    #[error("it ends after write {writes}, but write {acknowledged} was acknowledged")]
    Shortened { writes: u64, acknowledged: u64 },
    #[error("a record cannot be read")]
    Unreadable,
    #[error(transparent)]
    Read(#[from] sled::Error),
}

/// Checks a store on a copy. A damaged store is refused before anything in it is changed; an undamaged one is
/// replaced by the checked copy.
pub(crate) fn renew(folder: &Path, identity: &Identity, reporter: &Reporter<'_>) -> Result<(), OpenError> {
    let copies = Copies::of(folder);
    let db_file = folder.join("sled").join("db");
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
    on_copy(folder, &copies, reporter, |db| check_content(db, identity, acknowledged, reporter))?;
    #[cfg(feature = "fault-injection")]
    if std::env::var_os("QUORATE_FAULT_USE_AS_FOUND").is_some() {
        return copies.discard();
    }
    copies.replace(reporter)
}

/// Whether a database without an identity file is the remainder of a creation that a crash interrupted: no write to
/// it was ever acknowledged. In this case the copy has replaced it.
pub(crate) fn is_unused(folder: &Path, reporter: &Reporter<'_>) -> Result<bool, OpenError> {
    if matches!(mark::read(folder), Ok(None | Some(1..))) {
        return Ok(false);
    }
    let copies = Copies::of(folder);
    let is_unused = on_copy(folder, &copies, reporter, |db| {
        let mut keys = db.iter().map(|record| record.is_ok_and(|(key, _)| key == tally::KEY || key == IDENTITY_KEY));
        Ok(keys.all(|own| own))
    })?;
    if is_unused {
        copies.replace(reporter)?;
    } else {
        copies.discard()?;
    }
    Ok(is_unused)
}

/// Makes a copy of the database and runs `look` on it. The copy is closed afterwards, and removed if the check
/// failed.
fn on_copy<T>(
    folder: &Path,
    copies: &Copies,
    reporter: &Reporter<'_>,
    look: impl FnOnce(&sled::Db) -> Result<T, Damage>,
) -> Result<T, OpenError> {
    let looked = copies.make(reporter).and_then(|()| {
        reporter.step(OpeningStep::Recover);
        let db = open_sled(folder, &copies.copy)?;
        // For some kinds of damage sled panics instead of returning an error; the same if the disk fails while sled
        // closes the database.
        let looked = catch_with_sled(move || look(&db));
        looked.unwrap_or(Err(Damage::Unreadable)).map_err(|what| damaged(folder, what))
    });
    if looked.is_err() {
        // An error here would hide the cause; left-over files are removed at the next opening.
        let _left_over = copies.discard();
    }
    looked
}

fn check_content(db: &sled::Db, identity: &Identity, acknowledged: u64, reporter: &Reporter<'_>) -> Result<(), Damage> {
    match db.get(IDENTITY_KEY)? {
        Some(store) if store.as_ref() == identity.store.as_bytes() => {}
        Some(_) => return Err(Damage::OtherStore),
        None => return Err(Damage::NoIdentity),
    }
    let tally = db.get(tally::KEY)?.ok_or(Damage::NoTally)?;
    let tally = Tally::from_bytes(&tally).ok_or(Damage::Tally)?;
    let mut found = Tally::of_nothing(tally.writes);
    reporter.at(OpeningStep::Check, 0, tally.records);
    for record in db.iter() {
        let (key, value) = record?;
        if key != tally::KEY && key != IDENTITY_KEY {
            found.add(&key, &value);
            if found.records.is_multiple_of(RECORDS_PER_REPORT) {
                reporter.at(OpeningStep::Check, found.records, tally.records);
            }
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

//! Backup of the records to one file, and restore.
//!
//! A backup holds the records of one moment. After an older backup is restored, keys that were issued and slots that
//! were used later are no longer on record, and the publisher would grant those slots again. So an administrator
//! makes a backup after every change that matters, keeps it apart from the private keys, and restores it only where
//! no newer records exist.
//!
//! Restoring writes new records beside the existing folder and then moves them into place as a whole: after a
//! refused file or a crash everything is as before.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use activation::id::PublisherId;
use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use storage::durable::sync_folder;

use crate::{
    clock,
    folder::{self, OpenError, RECORDS},
    proto,
    publisher::Publisher,
    records::{Change, Records, RecordsError},
};

/// The format that this version writes, and the newest that it reads.
pub const BACKUP_FORMAT: u32 = 1;

/// The first line of every backup, for readers and for `file`.
const TITLE: &[u8] = b"quorate publisher backup\n";
const CHECKSUM_BYTES: usize = 32;
/// The number of records in one write.
const RECORDS_PER_WRITE: usize = 256;
/// Folders beside the records: the records that are being restored, and the empty records that they replace.
const RESTORING: &str = "records.restoring";
const REPLACED: &str = "records.replaced";

/// A consistent copy of all records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The content of the backup file.
    pub bytes: Vec<u8>,
    /// The number of records in the file.
    pub records: usize,
    /// When it was made, in milliseconds since the Unix epoch.
    pub made_ms: u64,
}

/// The result of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The number of records in the file.
    pub records: usize,
    /// When the backup was made, in milliseconds since the Unix epoch.
    pub made_ms: u64,
}

/// Why nothing was restored. The folder is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file is not a backup.
    #[error("the file is not a backup of a publisher's records")]
    NotABackup,
    /// The checksum does not match: the file is truncated or was changed.
    #[error("the backup is truncated or damaged, its checksum does not match: use another backup")]
    Altered,
    /// A newer version made the backup.
    #[error("the backup has format {found}; this version reads up to {BACKUP_FORMAT}: run a newer version")]
    Newer {
        /// The format of the backup.
        found: u32,
    },
    /// The backup is of another publisher.
    #[error("the backup belongs to publisher {found}, but the folder to publisher {expected}")]
    OtherPublisher {
        /// The publisher of the folder.
        expected: PublisherId,
        /// The publisher of the backup.
        found: PublisherId,
    },
    /// The folder has records already, which a restore would replace.
    #[error(
        "cannot restore into {}: it has records already; use a publisher's folder without records",
        folder.display()
    )]
    NotEmpty {
        /// The folder of the existing records.
        folder: PathBuf,
    },
    /// The folder is not a publisher's folder.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The existing records are in use or damaged, or the new ones could not be written.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The operating system refused to move or remove a file.
    #[error("cannot move {}: {source}", path.display())]
    Io {
        /// The path that was to be moved or removed.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl Publisher {
    /// Returns all records at one time, between two changes.
    pub async fn backup(&self) -> Result<Backup, RecordsError> {
        let turn = self.records.turn().await?;
        let all = self.records.all()?;
        drop(turn);
        let made_ms = clock::now_ms();
        let records: Vec<_> = all
            .into_iter()
            .map(|(path, value)| proto::BackupRecord { path: path.into(), value: value.into() })
            .collect();
        let count = records.len();
        let publisher = Bytes::copy_from_slice(&self.trust().publisher.0);
        let content = proto::Backup { format: BACKUP_FORMAT, publisher, made_ms, records };
        let mut bytes = TITLE.to_vec();
        content.encode_raw(&mut bytes);
        let checksum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&checksum);
        Ok(Backup { bytes, records: count, made_ms })
    }

    /// Restores the records of a backup into the publisher's `folder`, which must have no records or empty ones.
    pub async fn restore(folder: &Path, backup: &[u8]) -> Result<Restored, RestoreError> {
        let expected = folder::read_trust(folder)?.publisher;
        let content = open(backup, expected)?;
        let [records, restoring, replaced] = [RECORDS, RESTORING, REPLACED].map(|name| folder.join(name));
        if !records.exists() && replaced.exists() {
            // A crash occurred between the two moves below.
            rename(&replaced, &records)?;
        }
        if records.exists() {
            check_empty(&records).await?;
            remove(&replaced)?;
        }
        remove(&restoring)?;
        let restored = Restored { records: content.records.len(), made_ms: content.made_ms };
        if let Err(error) = write(&restoring, content.records).await {
            remove(&restoring)?;
            return Err(error.into());
        }
        if records.exists() {
            rename(&records, &replaced)?;
            // Another process may have issued a key in the meantime.
            if let Err(error) = check_empty(&replaced).await {
                rename(&replaced, &records)?;
                remove(&restoring)?;
                return Err(error);
            }
        }
        rename(&restoring, &records)?;
        sync_folder(folder).map_err(|source| RestoreError::Io { path: folder.to_owned(), source })?;
        remove(&replaced)?;
        Ok(restored)
    }
}

/// Validates the file before anything is changed.
fn open(backup: &[u8], expected: PublisherId) -> Result<proto::Backup, RestoreError> {
    let content = backup.strip_prefix(TITLE).ok_or(RestoreError::NotABackup)?;
    let split = backup.len().checked_sub(CHECKSUM_BYTES).filter(|_| content.len() >= CHECKSUM_BYTES);
    let (covered, checksum) = split.and_then(|at| backup.split_at_checked(at)).ok_or(RestoreError::Altered)?;
    if Sha256::digest(covered).as_slice() != checksum {
        return Err(RestoreError::Altered);
    }
    let content = covered.get(TITLE.len()..).unwrap_or_default();
    let content = proto::Backup::decode(content).map_err(|_| RestoreError::Altered)?;
    if content.format > BACKUP_FORMAT {
        return Err(RestoreError::Newer { found: content.format });
    }
    let found = PublisherId::try_from(content.publisher.as_ref()).map_err(|_| RestoreError::Altered)?;
    if found != expected {
        return Err(RestoreError::OtherPublisher { expected, found });
    }
    let mut all = Change::default();
    for record in &content.records {
        all.raw(record.path.to_vec(), record.value.to_vec())?;
    }
    Ok(content)
}

async fn check_empty(records: &Path) -> Result<(), RestoreError> {
    let open = Records::open(records)?;
    let is_empty = open.is_empty();
    open.close().await;
    if is_empty? { Ok(()) } else { Err(RestoreError::NotEmpty { folder: records.to_owned() }) }
}

async fn write(folder: &Path, mut records: Vec<proto::BackupRecord>) -> Result<(), RecordsError> {
    let store = Records::create(folder)?;
    while !records.is_empty() {
        let mut change = Change::default();
        for record in records.drain(..records.len().min(RECORDS_PER_WRITE)) {
            change.raw(record.path.into(), record.value.into())?;
        }
        let turn = store.turn().await?;
        store.commit(turn, change).await?;
    }
    store.close().await;
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<(), RestoreError> {
    fs::rename(from, to).map_err(|source| RestoreError::Io { path: from.to_owned(), source })
}

fn remove(folder: &Path) -> Result<(), RestoreError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(RestoreError::Io { path: folder.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

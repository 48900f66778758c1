//! The records as one file, and back.
//!
//! A backup is a moment: what was given after it is not in it. Restored, an older backup has forgotten those keys and
//! places, and the publisher would give them again. So backups are made after every change that matters, kept apart from
//! the private keys, and restored only where no newer records are.
//!
//! Restoring makes new records beside the place and moves them there whole: a file that is refused, or a crash, leaves
//! everything as it was.

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

/// First in every backup, for people and for `file`.
const TITLE: &[u8] = b"quorate publisher backup\n";
const CHECKSUM_BYTES: usize = 32;
/// Records that are written at once.
const RECORDS_PER_WRITE: usize = 256;
/// Beside the records: those that are being restored, and the empty ones that they replace.
const RESTORING: &str = "records.restoring";
const REPLACED: &str = "records.replaced";

/// A consistent copy of all records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The file.
    pub bytes: Vec<u8>,
    /// Records in it.
    pub records: usize,
    /// When it was made, in milliseconds since the Unix epoch.
    pub made_ms: u64,
}

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Records in the file.
    pub records: usize,
    /// When the backup was made, in milliseconds since the Unix epoch.
    pub made_ms: u64,
}

/// Why nothing was restored. The folder is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Another file.
    #[error("the file is no backup of a publisher's records")]
    NotABackup,
    /// Cut off, or changed.
    #[error("the backup is torn or was altered: its checksum does not fit; use another one")]
    Altered,
    /// Of a newer version.
    #[error("the backup has format {found}; this version reads up to {BACKUP_FORMAT}: run a newer version")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// Of somebody else.
    #[error("the backup is of publisher {found}, and the folder is of publisher {expected}")]
    OtherPublisher {
        /// Whose folder it is.
        expected: PublisherId,
        /// Whose backup it is.
        found: PublisherId,
    },
    /// There is something to lose.
    #[error("{} has records already: restore into a publisher's folder without any", folder.display())]
    NotEmpty {
        /// The records.
        folder: PathBuf,
    },
    /// The folder is not a publisher's.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The records that are there are in use or damaged, or the new ones could not be written.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The operating system said no.
    #[error("cannot move {}: {source}", path.display())]
    Io {
        /// What was to be moved or removed.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

impl Publisher {
    /// All records at one moment, between two changes.
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

    /// Puts the records of a backup into the publisher's `folder`, whose own records are empty or missing.
    pub async fn restore(folder: &Path, backup: &[u8]) -> Result<Restored, RestoreError> {
        let expected = folder::read_trust(folder)?.publisher;
        let content = open(backup, expected)?;
        let [records, restoring, replaced] = [RECORDS, RESTORING, REPLACED].map(|name| folder.join(name));
        if !records.exists() && replaced.exists() {
            // A crash came between the two moves below.
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
            // Somebody may have issued a key meanwhile.
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

/// Everything about the file is checked before anything is touched.
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

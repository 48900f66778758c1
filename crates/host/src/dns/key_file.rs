//! The file with the node's TSIG key. It is read again when it changes, so that a key is replaced without a restart.

use std::{
    fs::File,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use discovery::{KeyFileError, TsigKey};

use crate::limits::KEY_FILE_BYTES_MAX;

/// Why a TSIG key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnusableKey {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Malformed { path: PathBuf, source: KeyFileError },
}

/// A TSIG key file. While the file cannot be used, the key that was read last stays in use.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    key: TsigKey,
    /// The fingerprint of the file's content when it was last read, usable or not.
    fingerprint: u64,
}

impl KeyFile {
    pub(super) fn open(path: &Path) -> Result<Self, UnusableKey> {
        let text = read(path);
        let fingerprint = fingerprint(&text);
        let key = parse(path, text)?;
        Ok(Self { path: path.to_owned(), current: Mutex::new(Current { key, fingerprint }) })
    }

    /// The key as it is in the file now. A file that became unusable is reported once, and the previous key is kept.
    pub(super) fn key(&self) -> TsigKey {
        let text = read(&self.path);
        let seen = fingerprint(&text);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if seen != current.fingerprint {
            current.fingerprint = seen;
            match parse(&self.path, text) {
                Ok(key) => {
                    tracing::info!(file = %self.path.display(), key = %key.name(), "reloaded the TSIG key");
                    current.key = key;
                }
                Err(error) => {
                    tracing::warn!(
                        %error,
                        "the TSIG key file (dns.key_file) changed and cannot be used; updates are signed with the \
                         previous key"
                    );
                }
            }
        }
        current.key.clone()
    }

    /// A number that changes when the content of the file changes.
    pub(super) fn fingerprint(&self) -> u64 {
        fingerprint(&read(&self.path))
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn fingerprint(text: &io::Result<String>) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.as_ref().map_err(io::Error::kind).hash(&mut hasher);
    hasher.finish()
}

fn parse(path: &Path, text: io::Result<String>) -> Result<TsigKey, UnusableKey> {
    let text = text.map_err(|source| UnusableKey::Unreadable { path: path.to_owned(), source })?;
    TsigKey::from_bind(&text).map_err(|source| UnusableKey::Malformed { path: path.to_owned(), source })
}

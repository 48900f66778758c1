//! A service account: the keytab with its keys, its name in the keytab, and the cache of its tickets.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::error::KerberosError;

/// The first byte of a keytab in MIT's file format, version 1 or 2.
const FIRST_BYTE: u8 = 5;

/// An account whose keys are in a keytab. Clones share its tickets.
#[derive(Clone)]
pub struct Account {
    keytab: PathBuf,
    principal: Option<String>,
    cache: Arc<Mutex<Cache>>,
}

/// The cache in memory that holds the tickets, and the state of the keytab for which they were requested.
struct Cache {
    number: u64,
    keytab: Option<Stamp>,
}

/// Modification time and length of a file, by which a replaced keytab is recognised.
type Stamp = (Option<SystemTime>, u64);

impl Account {
    /// The account `principal` (`NAME@REALM`; without a realm the system's configuration applies), or the first
    /// account in the keytab.
    ///
    /// # Errors
    /// [`KerberosError::Keytab`] where the file cannot be read or is not a keytab, or where the library cannot take
    /// one of the names.
    pub fn new(keytab: PathBuf, principal: Option<String>) -> Result<Self, KerberosError> {
        let wrong = |cause: &str| KerberosError::Keytab { path: keytab.clone(), cause: cause.to_owned() };
        if keytab.to_str().is_none_or(|path| path.is_empty() || path.contains('\0')) {
            return Err(wrong("its path is not UTF-8, or empty"));
        }
        if principal.as_deref().is_some_and(|name| name.is_empty() || name.contains('\0')) {
            return Err(wrong("the principal's name is empty, or contains a zero byte"));
        }
        look_into(&keytab).map_err(|error| wrong(&error.to_string()))?;
        let cache = Arc::new(Mutex::new(Cache { number: next_number(), keytab: None }));
        Ok(Self { keytab, principal, cache })
    }

    /// The keytab's path.
    pub fn keytab(&self) -> &Path {
        &self.keytab
    }

    /// The account's name, where the caller gave one.
    pub fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
    }

    /// Discards the tickets, so that the next context begins with new ones: a service that refuses a ticket may have
    /// another key now.
    pub fn forget(&self) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).number = next_number();
    }

    /// The name of the cache for tickets of the present keytab, in the library's notation.
    pub(crate) fn cache(&self) -> Result<String, KerberosError> {
        let read = look_into(&self.keytab).and_then(|()| fs::metadata(&self.keytab));
        let found =
            read.map_err(|error| KerberosError::Keytab { path: self.keytab.clone(), cause: error.to_string() })?;
        let stamp = Some((found.modified().ok(), found.len()));
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.keytab.is_some() && cache.keytab != stamp {
            cache.number = next_number();
        }
        cache.keytab = stamp;
        Ok(format!("MEMORY:quorate-{}", cache.number))
    }

    /// The account's name for error texts.
    pub(crate) fn described(&self) -> String {
        self.principal.clone().unwrap_or_else(|| "its first account".to_owned())
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Account({}, {})", self.described(), self.keytab.display())
    }
}

fn next_number() -> u64 {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

fn look_into(keytab: &Path) -> io::Result<()> {
    let mut first = [0];
    File::open(keytab)?.read_exact(&mut first)?;
    match first {
        [FIRST_BYTE] => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a keytab")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_file_that_is_not_a_keytab_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text");
        fs::write(&text, "key {").unwrap();
        for (path, cause) in [(text, "not a keytab"), (folder.path().join("none"), "No such file")] {
            let error = Account::new(path.clone(), None).unwrap_err().to_string();
            assert!(error.contains(cause) && error.contains(path.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_replaced_keytab_starts_without_tickets_and_clones_share_their_tickets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keytab");
        fs::write(&path, [5, 2]).unwrap();
        let account = Account::new(path.clone(), Some("a@B".to_owned())).unwrap();
        let other = Account::new(path.clone(), None).unwrap();
        let cache = account.cache().unwrap();
        assert_eq!(account.clone().cache().unwrap(), cache);
        assert_ne!(other.cache().unwrap(), cache);
        fs::write(&path, [5, 2, 0]).unwrap();
        let renewed = account.cache().unwrap();
        assert_ne!(renewed, cache);
        account.forget();
        assert_ne!(account.cache().unwrap(), renewed);
    }
}

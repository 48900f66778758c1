//! The list of records that this node published, kept across restarts. A record that is no longer wanted is
//! withdrawn even if the configuration changed while the node was down, and a record that was made by hand never is
//! (R29).
//!
//! Invariant: a record is listed on the disk before the update that creates it is sent.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use discovery::DnsName;
use serde::{Deserialize, Serialize};

/// A record of this node: an SRV record at the service's name in the domain that points at the target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishedRecord {
    pub(super) service: String,
    pub(super) domain: DnsName,
    pub(super) target: DnsName,
}

/// The SRV records that this node published, stored on disk.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    records: Mutex<BTreeSet<PublishedRecord>>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    record: BTreeSet<PublishedRecord>,
}

impl Ledger {
    /// Loads the list from a data folder; empty where the folder has none yet.
    pub(crate) fn load(data: &Path) -> io::Result<Self> {
        let path = data.join("dns-records.toml");
        let stored = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Stored::default(),
            text => toml::from_str(&text?).map_err(io::Error::other)?,
        };
        Ok(Self { path, records: Mutex::new(stored.record) })
    }

    /// All records that this node may have published.
    pub(super) fn records(&self) -> BTreeSet<PublishedRecord> {
        self.lock().clone()
    }

    /// Adds a record that may exist in DNS from now on. Returns whether it is new in the list.
    pub(super) fn add(&self, record: &PublishedRecord) -> io::Result<bool> {
        self.change(|records| records.insert(record.clone()))
    }

    /// Removes a record that does not exist in DNS any more. Returns whether it was in the list.
    pub(super) fn remove(&self, record: &PublishedRecord) -> io::Result<bool> {
        self.change(|records| records.remove(record))
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<PublishedRecord>) -> bool) -> io::Result<bool> {
        let mut records = self.lock();
        let mut changed = records.clone();
        if !change(&mut changed) {
            return Ok(false);
        }
        let text = toml::to_string(&Stored { record: changed.clone() }).map_err(io::Error::other)?;
        storage::durable::replace_file(&self.path, text.as_bytes())?;
        *records = changed;
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<PublishedRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn published_records_are_known_after_a_restart_and_removed_once_withdrawn() {
        let folder = tempfile::tempdir().unwrap();
        let name = |text: &str| text.parse::<DnsName>().unwrap();
        let record = |domain: &str| PublishedRecord {
            service: "_vlmcs._tcp".into(),
            domain: name(domain),
            target: name("node1.example.test"),
        };
        let ledger = Ledger::load(folder.path()).unwrap();
        assert_eq!(ledger.records(), BTreeSet::new());
        assert!(ledger.add(&record("example.test")).unwrap());
        assert!(!ledger.add(&record("example.test")).unwrap());
        assert!(ledger.add(&record("branch.example.test")).unwrap());
        let again = Ledger::load(folder.path()).unwrap();
        assert_eq!(again.records(), [record("branch.example.test"), record("example.test")].into());
        assert!(again.remove(&record("example.test")).unwrap());
        assert_eq!(Ledger::load(folder.path()).unwrap().records(), [record("branch.example.test")].into());
        std::fs::write(folder.path().join("dns-records.toml"), "record = 7").unwrap();
        assert!(Ledger::load(folder.path()).is_err(), "a damaged file is not taken for an empty one");
    }
}

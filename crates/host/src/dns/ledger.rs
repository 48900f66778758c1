//! Where this node's records stand because it published them: kept across restarts, so that what is no longer wanted is
//! withdrawn also when the wish changed while the node was down, and what somebody made by hand never is (R29).
//!
//! Invariant: a place is on the disk before the update that makes the record is sent.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use discovery::DnsName;
use serde::{Deserialize, Serialize};

/// A record of this node: an SRV record at the service's name in the domain, which names the target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    pub(super) service: String,
    pub(super) domain: DnsName,
    pub(super) target: DnsName,
}

/// All places.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    places: Mutex<BTreeSet<Place>>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    record: BTreeSet<Place>,
}

impl Ledger {
    /// Of a data folder; empty where none was kept yet.
    pub(crate) fn load(data: &Path) -> io::Result<Self> {
        let path = data.join("dns-records.toml");
        let stored = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Stored::default(),
            text => toml::from_str(&text?).map_err(io::Error::other)?,
        };
        Ok(Self { path, places: Mutex::new(stored.record) })
    }

    /// All places where a record may stand.
    pub(super) fn places(&self) -> BTreeSet<Place> {
        self.lock().clone()
    }

    /// Notes that a record may stand there from now on. Gives whether that is new.
    pub(super) fn add(&self, place: &Place) -> io::Result<bool> {
        self.change(|places| places.insert(place.clone()))
    }

    /// Notes that no record of this node's making stands there.
    pub(super) fn remove(&self, place: &Place) -> io::Result<bool> {
        self.change(|places| places.remove(place))
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<Place>) -> bool) -> io::Result<bool> {
        let mut places = self.lock();
        let mut changed = places.clone();
        if !change(&mut changed) {
            return Ok(false);
        }
        let text = toml::to_string(&Stored { record: changed.clone() }).map_err(io::Error::other)?;
        storage::durable::replace_file(&self.path, text.as_bytes())?;
        *places = changed;
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_was_published_is_known_after_a_restart_and_forgotten_once_withdrawn() {
        let folder = tempfile::tempdir().unwrap();
        let name = |text: &str| text.parse::<DnsName>().unwrap();
        let place = |domain: &str| Place {
            service: "_vlmcs._tcp".into(),
            domain: name(domain),
            target: name("node1.example.test"),
        };
        let ledger = Ledger::load(folder.path()).unwrap();
        assert_eq!(ledger.places(), BTreeSet::new());
        assert!(ledger.add(&place("example.test")).unwrap());
        assert!(!ledger.add(&place("example.test")).unwrap());
        assert!(ledger.add(&place("branch.example.test")).unwrap());
        let again = Ledger::load(folder.path()).unwrap();
        assert_eq!(again.places(), [place("branch.example.test"), place("example.test")].into());
        assert!(again.remove(&place("example.test")).unwrap());
        assert_eq!(Ledger::load(folder.path()).unwrap().places(), [place("branch.example.test")].into());
        std::fs::write(folder.path().join("dns-records.toml"), "record = 7").unwrap();
        assert!(Ledger::load(folder.path()).is_err(), "a damaged file is not taken for an empty one");
    }
}

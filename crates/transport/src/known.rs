//! Keys by which holders are recognised independent of the authority that certified them: an authority may be
//! replaced, while members and persons keep their keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

/// SHA-256 of public keys, as SubjectPublicKeyInfo in DER. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct KnownKeys(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    nodes: BTreeSet<[u8; 32]>,
    /// Each key with the end of the last certificate issued for it, in milliseconds since 1970.
    persons: BTreeMap<[u8; 32], u64>,
}

impl KnownKeys {
    /// Replaces all known keys. Each key of a person comes with the end of the last certificate issued for it, in
    /// milliseconds since 1970.
    pub fn replace(
        &self,
        nodes: impl IntoIterator<Item = [u8; 32]>,
        persons: impl IntoIterator<Item = ([u8; 32], u64)>,
    ) {
        let known = Known { nodes: nodes.into_iter().collect(), persons: persons.into_iter().collect() };
        // The only change is this assignment, so the value is consistent even if the lock is poisoned.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    pub(crate) fn is_node(&self, key: &[u8; 32]) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).nodes.contains(key)
    }

    /// Whether `key` is a known person's, in a certificate that ends at `ends_ms`. A certificate that ends later
    /// than the last one that the cluster issued for the key was not issued by the cluster: its holder made it.
    pub(crate) fn is_person(&self, key: &[u8; 32], ends_ms: u64) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.persons.get(key).is_some_and(|last_ms| ends_ms <= *last_ms)
    }
}

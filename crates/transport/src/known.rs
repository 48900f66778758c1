//! Keys by which holders are recognised whatever authority certified them: an authority may be replaced, and members and persons
//! keep their keys.

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
    /// With the end of the last certificate, in milliseconds since 1970.
    persons: BTreeMap<[u8; 32], u64>,
}

impl KnownKeys {
    /// These keys and no others from now on; those of persons with the end of the last certificate, in milliseconds since 1970.
    pub fn replace(
        &self,
        nodes: impl IntoIterator<Item = [u8; 32]>,
        persons: impl IntoIterator<Item = ([u8; 32], u64)>,
    ) {
        let known = Known { nodes: nodes.into_iter().collect(), persons: persons.into_iter().collect() };
        // The only change is this assignment: the lock never guards a half-made one.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    pub(crate) fn is_node(&self, key: &[u8; 32]) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).nodes.contains(key)
    }

    /// Of a certificate that ends at `ends_ms`. One that ends later than the last that was issued for the key is none of the cluster's:
    /// its holder made it.
    pub(crate) fn is_person(&self, key: &[u8; 32], ends_ms: u64) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.persons.get(key).is_some_and(|last_ms| ends_ms <= *last_ms)
    }
}

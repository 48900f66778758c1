//! The node keys that were ever certified: an index in memory over the records of activations.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use ::activation::id::KeyId;

use super::{activation::Activation, error::RecordsError};

/// A host key, and the public key of a node that received a certificate for it.
type CertifiedKey = (KeyId, [u8; 32]);

/// Every node key that was certified. It is read from the records when it is first needed, once in the lifetime of a
/// service.
#[derive(Debug, Default)]
pub(super) struct CertifiedKeys(Mutex<Option<BTreeSet<CertifiedKey>>>);

impl CertifiedKeys {
    /// Whether this node key was certified. `activations` returns all recorded activations.
    pub(super) fn contains<T>(
        &self,
        wanted: CertifiedKey,
        activations: impl FnOnce() -> T,
    ) -> Result<bool, RecordsError>
    where
        T: Iterator<Item = Result<Activation, RecordsError>>,
    {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref() {
            return Ok(known.contains(&wanted));
        }
        let read: BTreeSet<_> = activations()
            .map(|activation| {
                let certificate = activation?.certificate;
                Ok((certificate.key, certificate.node_key))
            })
            .collect::<Result<_, RecordsError>>()?;
        Ok(known.insert(read).contains(&wanted))
    }

    /// Adds the node keys that a change certifies.
    pub(super) fn note(&self, certified: &[CertifiedKey]) {
        // If the index was not read yet, the later read finds the keys in the records.
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            known.extend(certified);
        }
    }
}

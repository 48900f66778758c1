//! The node keys that were ever certified, each with the validity of its latest certificate: an index in memory over
//! the records of activations.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use ::activation::{
    certificate::{NodeCertificate, Validity},
    id::KeyId,
};

use super::{activation::Activation, error::RecordsError};

/// A host key, and the public key of a node that received a certificate for it.
type CertifiedKey = (KeyId, [u8; 32]);

/// By node key that was certified, the validity of its latest certificate.
type Latest = BTreeMap<CertifiedKey, Validity>;

/// Every node key that was certified. It is read from the records when it is first needed, once in the lifetime of a
/// service.
#[derive(Debug, Default)]
pub(super) struct CertifiedKeys(Mutex<Option<Latest>>);

/// One certificate for [`CertifiedKeys::note`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Certified {
    key: CertifiedKey,
    validity: Validity,
}

impl Certified {
    pub(super) fn by(certificate: &NodeCertificate) -> Self {
        Self { key: (certificate.key, certificate.node_key), validity: certificate.validity() }
    }

    fn enter(self, latest: &mut Latest) {
        let known = latest.entry(self.key).or_insert(self.validity);
        if known.issued_minutes <= self.validity.issued_minutes {
            *known = self.validity;
        }
    }
}

impl CertifiedKeys {
    /// The validity of the latest certificate of this node key; `None` where it was never certified. `activations`
    /// returns all recorded activations.
    pub(super) fn latest<T>(
        &self,
        wanted: CertifiedKey,
        activations: impl FnOnce() -> T,
    ) -> Result<Option<Validity>, RecordsError>
    where
        T: Iterator<Item = Result<Activation, RecordsError>>,
    {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref() {
            return Ok(known.get(&wanted).copied());
        }
        let mut read = Latest::new();
        for activation in activations() {
            Certified::by(&activation?.certificate).enter(&mut read);
        }
        Ok(known.insert(read).get(&wanted).copied())
    }

    /// Adds the certificates that a change issues.
    pub(super) fn note(&self, certified: &[Certified]) {
        // If the index was not read yet, the later read finds the certificates in the records.
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            certified.iter().for_each(|certified| certified.enter(known));
        }
    }
}

//! Certificates whose node key no longer holds an activation slot (R31): every signed catalog blocks them.

use std::collections::{BTreeMap, BTreeSet};

use activation::{
    certificate::{NodeCertificate, RENEWAL_AFTER_END_MS},
    id::{CertificateId, KeyId},
    limits::CLOCK_SKEW_MS_MAX,
};

use crate::{
    issued::IssuedKey,
    publisher::Publisher,
    records::{Activation, RecordsError},
};

impl Publisher {
    /// Certificates without an activation slot: their node key was released, freed, or replaced by another key of
    /// the same host. Certificates of `blocked_keys` are left out, and so are those that expired so long ago that no
    /// client accepts them.
    pub(crate) fn spent_certificates(
        &self,
        blocked_keys: &BTreeSet<KeyId>,
        now_ms: u64,
    ) -> Result<BTreeSet<CertificateId>, RecordsError> {
        // Activations are read first, so the keys read after them contain the hosts of each.
        let activations: Vec<Activation> = self.records.activations().collect::<Result<_, _>>()?;
        let keys: BTreeMap<KeyId, IssuedKey> = self.keys()?.into_iter().map(|key| (key.key.key_id(), key)).collect();
        let is_over = |certificate: &NodeCertificate| {
            let ends_ms = certificate.validity().ends_ms();
            ends_ms.is_some_and(|ends_ms| now_ms >= ends_ms + RENEWAL_AFTER_END_MS + CLOCK_SKEW_MS_MAX)
        };
        let is_spent = |activation: &&Activation| {
            let certificate = &activation.certificate;
            let key = keys.get(&certificate.key);
            let held = key.is_some_and(|key| key.holder(certificate.node_key).is_some());
            !held && !blocked_keys.contains(&certificate.key) && !is_over(certificate)
        };
        Ok(activations.iter().filter(is_spent).map(|activation| activation.certificate.id()).collect())
    }
}

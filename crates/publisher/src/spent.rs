//! Certificates whose node key holds no activation slot any more (R31): every catalog that is signed blocks them.

use std::collections::{BTreeMap, BTreeSet};

use activation::id::{CertificateId, KeyId};

use crate::{
    issued::IssuedKey,
    publisher::Publisher,
    records::{Activation, RecordsError},
};

impl Publisher {
    /// The certificates that no slot stands behind: of node keys that were released, freed, or replaced by another one of
    /// the same host. Those of `blocked_keys` are left out.
    pub(crate) fn spent_certificates(
        &self,
        blocked_keys: &BTreeSet<KeyId>,
    ) -> Result<BTreeSet<CertificateId>, RecordsError> {
        // The activations first: the keys that are read after them know the hosts of each.
        let activations: Vec<Activation> = self.records.activations().collect::<Result<_, _>>()?;
        let keys: BTreeMap<KeyId, IssuedKey> = self.keys()?.into_iter().map(|key| (key.key.key_id(), key)).collect();
        let is_spent = |activation: &&Activation| {
            let certificate = &activation.certificate;
            let key = keys.get(&certificate.key);
            let held = key.is_some_and(|key| key.holder(certificate.node_key).is_some());
            !held && !blocked_keys.contains(&certificate.key)
        };
        Ok(activations.iter().filter(is_spent).map(|activation| activation.certificate.id()).collect())
    }
}

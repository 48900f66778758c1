//! Catalogs signed with the root key; the one signed last stands in the trust file.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use activation::{
    catalog::{Catalog, CatalogError, SignedCatalog},
    trust::{Trust, TrustError},
};
use storage::durable::replace_file;

use crate::{
    credential::{CredentialError, Passphrase},
    publisher::Publisher,
    records::RecordsError,
};

/// Why a catalog was not signed. The trust file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// It is not sound, or may not replace the one that was signed last.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// It is somebody else's.
    #[error("the catalog says publisher = {found:?}, but this is {expected:?}")]
    OtherPublisher {
        /// The name that this publisher was made with.
        expected: String,
        /// The name in the catalog.
        found: String,
    },
    /// Which keys are blocked could not be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// No root key to sign with.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The trust file could not be made.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The operating system said no.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The trust file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

impl Publisher {
    /// Signs a catalog's source text and puts it into the trust file. Keys that are blocked on record are blocked by it
    /// as well, and certificates whose node key has no activation slot any more (R31). It must be a successor of the one signed last; that one itself, unchanged, gives the same bytes again, so
    /// an interrupted caller may repeat. An encrypted root key is opened with `passphrase`, or else with the one that was
    /// set.
    pub fn sign_catalog(&self, source: &str, passphrase: Option<&Passphrase>) -> Result<SignedCatalog, SignError> {
        let catalog = Catalog::from_toml(source)?;
        if let Some(expected) = self.name.as_ref().filter(|name| *name != catalog.publisher_name()) {
            let found = catalog.publisher_name().to_owned();
            return Err(SignError::OtherPublisher { expected: expected.clone(), found });
        }
        let host_keys = self.keys()?.into_iter().filter(|key| key.blocked).map(|key| key.key.key_id());
        let direct_keys = self.direct_keys()?.into_iter().filter(|key| key.blocked).map(|key| key.key.key_id());
        let catalog = catalog.with_blocked(host_keys.chain(direct_keys), [])?;
        // What a blocked key certified is blocked with it.
        let spent = self.spent_certificates(catalog.blocked_keys())?;
        let catalog = catalog.with_blocked([], spent)?;
        let _one_after_the_other = self.signing.lock().unwrap_or_else(PoisonError::into_inner);
        let trust = self.trust();
        let root = self.credentials.root(&trust, passphrase)?;
        let signed = SignedCatalog::sign(&catalog, trust.activation_keys, &root);
        if let Some(last) = &trust.catalog {
            if last.bytes == *signed.bytes() {
                return Ok(signed);
            }
            catalog.check_successor(&last.catalog)?;
        }
        let trust = Trust::issue(&root, trust.activation_keys, Some(&signed))?;
        let path = self.folder.join(Self::TRUST_FILE);
        replace_file(&path, trust.to_toml().as_bytes()).map_err(|source| SignError::Io { path, source })?;
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trust);
        Ok(signed)
    }
}

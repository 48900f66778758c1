//! Signs catalogs with the root key; the trust file holds the last signed catalog.

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
    clock,
    credential::{CredentialError, Passphrase},
    publisher::Publisher,
    records::RecordsError,
};

/// Why a catalog was not signed. The trust file is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The catalog is not sound, or may not replace the last signed one.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The catalog names another publisher.
    #[error(
        "the catalog names the publisher {found:?}, but this folder belongs to {expected:?}: correct `publisher` in \
         the catalog"
    )]
    OtherPublisher {
        /// The name with which this publisher was created.
        expected: String,
        /// The name in the catalog.
        found: String,
    },
    /// The records of blocked keys could not be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The root key is not available.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The trust file could not be built.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The operating system refused to write the trust file.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The path of the trust file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl Publisher {
    /// Signs a catalog's source text and writes it into the trust file. The signed catalog also blocks keys that are
    /// blocked on record, and certificates whose node key no longer has an activation slot (R31). The catalog must
    /// be a successor of the last signed one. The same catalog, unchanged, yields the same bytes again, so an
    /// interrupted caller may repeat the call. An encrypted root key is decrypted with `passphrase`, or else with
    /// the passphrase that was set.
    pub fn sign_catalog(&self, source: &str, passphrase: Option<&Passphrase>) -> Result<SignedCatalog, SignError> {
        let catalog = Catalog::from_toml(source)?;
        if let Some(expected) = self.name.as_ref().filter(|name| *name != catalog.publisher_name()) {
            let found = catalog.publisher_name().to_owned();
            return Err(SignError::OtherPublisher { expected: expected.clone(), found });
        }
        let host_keys = self.keys()?.into_iter().filter(|key| key.blocked).map(|key| key.key.key_id());
        let direct_keys = self.direct_keys()?.into_iter().filter(|key| key.blocked).map(|key| key.key.key_id());
        let catalog = catalog.with_blocked(host_keys.chain(direct_keys), [])?;
        // Certificates of a blocked key are blocked with the key, so they need no entry.
        let spent = self.spent_certificates(catalog.blocked_keys(), clock::now_ms())?;
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

//! The trust file, which a client embeds or reads: a publisher's public keys, and the catalog that states which
//! group covers which product.

use std::fmt::Write;

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::Deserialize;
use thiserror::Error;

use crate::catalog::{CatalogError, OpenedCatalog, SignedCatalog};
use crate::id::{Fingerprint, PublisherId};
use crate::limits::TRUST_TEXT_BYTES_MAX;
use crate::signature::{public_key, sign, verifies};

const PURPOSE: &str = "quorate/trust/1";

/// A publisher's public keys, the root's signature over them, and optionally its catalog.
#[derive(Clone, Debug)]
pub struct Trust {
    pub publisher: PublisherId,
    pub root: VerifyingKey,
    /// The two activation keys; either may sign node certificates.
    pub activation_keys: [VerifyingKey; 2],
    pub catalog: Option<OpenedCatalog>,
    signature: [u8; 64],
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TrustError {
    #[error("the trust file is longer than {TRUST_TEXT_BYTES_MAX} bytes")]
    TooLong,
    #[error("the trust file is not as `publisher init` writes it: {0}")]
    Syntax(String),
    #[error("`{0}` in the trust file is not a key or signature as `publisher init` writes it")]
    Field(&'static str),
    #[error("the activation keys in the trust file are not signed by its root key")]
    Signature,
    #[error("the catalog in the trust file: {0}")]
    Catalog(#[from] CatalogError),
    #[error("the catalog in the trust file belongs to another publisher or to other activation keys")]
    ForeignCatalog,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    root: String,
    activation_keys: [String; 2],
    signature: String,
    catalog: Option<String>,
}

impl Trust {
    /// Signs the activation keys with the root. A catalog must be signed by the same root, with the same keys.
    pub fn issue(
        root: &SigningKey,
        activation_keys: [VerifyingKey; 2],
        catalog: Option<&SignedCatalog>,
    ) -> Result<Self, TrustError> {
        let [first, second] = &activation_keys;
        let signature = sign(root, PURPOSE, &[first.as_bytes(), second.as_bytes()]);
        let catalog = catalog.map(|signed| SignedCatalog::open(signed.bytes())).transpose()?;
        Self::new(root.verifying_key(), activation_keys, catalog, signature)
    }

    fn new(
        root: VerifyingKey,
        activation_keys: [VerifyingKey; 2],
        catalog: Option<OpenedCatalog>,
        signature: [u8; 64],
    ) -> Result<Self, TrustError> {
        if catalog.as_ref().is_some_and(|catalog| catalog.root != root || catalog.activation_keys != activation_keys) {
            return Err(TrustError::ForeignCatalog);
        }
        Ok(Self { publisher: PublisherId::derive(&root), root, activation_keys, catalog, signature })
    }

    /// The publisher id in groups, which the publisher reads out and an administrator compares.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(self.publisher)
    }

    #[must_use]
    pub fn to_toml(&self) -> String {
        let [first, second] = self.activation_keys.map(|key| HEXLOWER.encode(key.as_bytes()));
        let root = HEXLOWER.encode(self.root.as_bytes());
        let signature = HEXLOWER.encode(&self.signature);
        let mut text = format!(
            "# Public keys of publisher {}. Not secret.\n\
             root = \"{root}\"\nactivation_keys = [\"{first}\", \"{second}\"]\nsignature = \"{signature}\"\n",
            self.fingerprint(),
        );
        if let Some(catalog) = &self.catalog {
            let _ = writeln!(text, "catalog = \"{}\"", BASE64.encode(&catalog.bytes));
        }
        text
    }

    /// Parses a trust file and verifies every signature in it. Whether its root key is the right one must be checked
    /// by a person, by comparing the fingerprint.
    pub fn from_toml(text: &str) -> Result<Self, TrustError> {
        if text.len() > TRUST_TEXT_BYTES_MAX {
            return Err(TrustError::TooLong);
        }
        let source: Source = toml::from_str(text).map_err(|error| TrustError::Syntax(error.message().to_owned()))?;
        let hex = |text: &str| HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        let key = |text: &str| hex(text).and_then(|bytes| public_key(&bytes));
        let root = key(&source.root).ok_or(TrustError::Field("root"))?;
        let [first, second] = source.activation_keys.map(|text| key(&text).ok_or(TrustError::Field("activation_keys")));
        let (first, second) = (first?, second?);
        let signature = hex(&source.signature).and_then(|bytes| bytes.try_into().ok());
        let signature = signature.ok_or(TrustError::Field("signature"))?;
        if !verifies(&root, PURPOSE, &[first.as_bytes(), second.as_bytes()], &signature) {
            return Err(TrustError::Signature);
        }
        let decode = |text: String| BASE64.decode(text.as_bytes()).map_err(|_| TrustError::Field("catalog"));
        let catalog = match source.catalog.map(decode).transpose()? {
            Some(bytes) => Some(SignedCatalog::open(&bytes)?),
            None => None,
        };
        Self::new(root, [first, second], catalog, signature)
    }
}

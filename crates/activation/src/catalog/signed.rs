//! A catalog in the signed form in which it is distributed: signed by the publisher's root key, with the two
//! activation keys that may sign node certificates.

use std::collections::BTreeMap;

use bytes::Bytes;
use ed25519_dalek::{SigningKey, VerifyingKey};
use prost::Message;

use super::check::check;
use super::error::CatalogError;
use super::model::{Catalog, Edition, Name, Product};
use crate::id::{ProductId, PublisherId};
use crate::signature::{public_key, sign, verifies};
use crate::{limits, proto};

const PURPOSE: &str = "quorate/catalog/1";

/// The bytes of a signed catalog, as [`SignedCatalog::sign`] returned them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCatalog {
    bytes: Bytes,
}

/// A signed catalog whose signature was verified and whose content is sound.
#[derive(Clone, Debug)]
pub struct OpenedCatalog {
    pub publisher: PublisherId,
    pub root: VerifyingKey,
    /// The two activation keys; either may sign node certificates.
    pub activation_keys: [VerifyingKey; 2],
    pub catalog: Catalog,
    /// The signed bytes.
    pub bytes: Bytes,
    products: BTreeMap<ProductId, Product>,
}

impl SignedCatalog {
    /// Signs a catalog. The result fits [`limits::CATALOG_BYTES_MAX`], because a [`Catalog`] is never larger.
    #[must_use]
    pub fn sign(catalog: &Catalog, activation_keys: [VerifyingKey; 2], root: &SigningKey) -> Self {
        let [first, second] = activation_keys;
        let body = body(catalog, first.as_bytes(), second.as_bytes());
        let signature = sign(root, PURPOSE, &[&body]);
        Self { bytes: wrap(body, root.verifying_key().as_bytes(), &signature).into() }
    }

    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Verifies the signature by the root key that the bytes name, then validates the catalog. The caller decides
    /// whether to trust that root key: compare [`OpenedCatalog::publisher`].
    pub fn open(bytes: &[u8]) -> Result<OpenedCatalog, CatalogError> {
        if bytes.len() > limits::CATALOG_BYTES_MAX {
            return Err(CatalogError::Malformed("too long"));
        }
        let bytes = Bytes::copy_from_slice(bytes);
        let signed = proto::SignedCatalog::decode(bytes.clone()).map_err(|_| CatalogError::Malformed("encoding"))?;
        let root = public_key(&signed.root).ok_or(CatalogError::Malformed("root key"))?;
        let signature = signed.signature.as_ref().try_into().map_err(|_| CatalogError::Malformed("signature"))?;
        if !verifies(&root, PURPOSE, &[&signed.body], signature) {
            return Err(CatalogError::Signature);
        }
        let draft = proto::Catalog::decode(signed.body).map_err(|_| CatalogError::Malformed("body"))?;
        let keys = [public_key(&draft.activation_key_1), public_key(&draft.activation_key_2)];
        let [Some(first), Some(second)] = keys else { return Err(CatalogError::Malformed("activation key")) };
        let catalog = check(&draft).map_err(|defect| CatalogError::Unsound(defect.flaw))?;
        let publisher = PublisherId::derive(&root);
        let by_id = |product: &Product| (ProductId::derive(publisher, product.name.as_str()), product.clone());
        let products = catalog.products().map(by_id).collect();
        Ok(OpenedCatalog { publisher, root, activation_keys: [first, second], catalog, bytes, products })
    }
}

impl OpenedCatalog {
    #[must_use]
    pub fn product(&self, id: ProductId) -> Option<&Product> {
        self.products.get(&id)
    }

    /// The products with their ids, by id.
    pub fn product_ids(&self) -> impl Iterator<Item = (ProductId, &Product)> {
        self.products.iter().map(|(id, product)| (*id, product))
    }
}

/// Length of a catalog once it is signed, in bytes.
pub(super) fn encoded_bytes(catalog: &Catalog) -> usize {
    wrap(body(catalog, &[0; 32], &[0; 32]), &[0; 32], &[0; 64]).len()
}

fn wrap(body: Vec<u8>, root: &[u8; 32], signature: &[u8; 64]) -> Vec<u8> {
    let (root, signature) = (Bytes::copy_from_slice(root), Bytes::copy_from_slice(signature));
    proto::SignedCatalog { body: body.into(), root, signature }.encode_to_vec()
}

fn edition(edition: &Edition) -> proto::Edition {
    proto::Edition { name: edition.name.clone(), setup_key: edition.setup_key.to_string() }
}

fn body(catalog: &Catalog, first: &[u8; 32], second: &[u8; 32]) -> Vec<u8> {
    let names = |names: &std::collections::BTreeSet<Name>| names.iter().map(ToString::to_string).collect();
    let groups = catalog.groups.values().map(|group| proto::Group {
        code: group.code.into(),
        name: group.name.to_string(),
        generation: group.generation.into(),
        above: names(&group.above),
    });
    let platforms = catalog.platforms.values().map(|platform| proto::Platform {
        code: platform.code.into(),
        name: platform.name.to_string(),
        may_hold: names(&platform.may_hold),
    });
    let products = catalog.products.values().map(|product| proto::Product {
        name: product.name.to_string(),
        title: product.title.clone(),
        application: product.application.to_string(),
        group: catalog.group(product.group).map(|group| group.name.to_string()).unwrap_or_default(),
        generation: product.generation.into(),
        threshold: product.threshold,
        editions: product.editions.iter().map(edition).collect(),
    });
    proto::Catalog {
        publisher_name: catalog.publisher_name.clone(),
        serial: catalog.serial,
        activation_key_1: Bytes::copy_from_slice(first),
        activation_key_2: Bytes::copy_from_slice(second),
        applications: names(&catalog.applications),
        groups: groups.collect(),
        platforms: platforms.collect(),
        products: products.collect(),
        blocked_keys: catalog.blocked_keys.iter().map(|id| Bytes::copy_from_slice(&id.0)).collect(),
        blocked_certificates: catalog.blocked_certificates.iter().map(|id| Bytes::copy_from_slice(&id.0)).collect(),
        certificate_days: catalog.certificate_days.map_or(0, |days| days.get().into()),
    }
    .encode_to_vec()
}

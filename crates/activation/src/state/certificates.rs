//! Which node may answer for what: installed keys, certificates, and the rights that follow from them.

use std::collections::BTreeMap;

use super::{PublisherState, Refusal, State};
use crate::catalog::{OpenedCatalog, Product};
use crate::certificate::NodeCertificate;
use crate::id::{KeyId, NodeId, ProductId, PublisherId};
use crate::key::TypedKey;

/// An installed key and the nodes that are activated with it.
#[derive(Clone, Debug)]
pub struct InstalledKey<'a> {
    pub id: KeyId,
    pub key: &'a TypedKey,
    /// By publisher and node; none before the first activation.
    pub certificates: Vec<(PublisherId, NodeId, &'a NodeCertificate)>,
}

/// What one node may answer for, for one publisher. It exists as soon as the node holds a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rights {
    /// Key and group of each certificate that is not blocked, smallest key first.
    held: Vec<(KeyId, u8)>,
}

impl Rights {
    pub(super) fn derive(
        opened: &OpenedCatalog,
        certificates: &BTreeMap<(KeyId, NodeId), NodeCertificate>,
    ) -> BTreeMap<NodeId, Self> {
        let mut rights: BTreeMap<NodeId, Self> = BTreeMap::new();
        for ((key, node), certificate) in certificates {
            let of_node = rights.entry(*node).or_default();
            if !opened.catalog.blocks(certificate) {
                of_node.held.push((*key, certificate.group));
            }
        }
        rights
    }
}

/// With which key a node answers for a product, or why it does not.
pub(super) fn admit<'a>(
    rights: &BTreeMap<NodeId, Rights>,
    opened: &'a OpenedCatalog,
    node: NodeId,
    product: ProductId,
) -> Result<(KeyId, &'a Product), Refusal> {
    let rights = rights.get(&node).ok_or(Refusal::NotActivated)?;
    if rights.held.is_empty() {
        return Err(Refusal::KeyBlocked);
    }
    let product = opened.product(product).ok_or(Refusal::NotCovered)?;
    let covering = rights.held.iter().find(|(_, group)| opened.catalog.covers(*group, product));
    covering.map(|(key, _)| (*key, product)).ok_or(Refusal::NotCovered)
}

impl PublisherState {
    pub(super) fn derive_rights(&mut self) {
        self.rights = Rights::derive(&self.opened, &self.certificates);
    }
}

impl State {
    /// Installed keys by id, each with the nodes that are activated with it.
    pub fn keys(&self) -> impl Iterator<Item = InstalledKey<'_>> {
        self.keys.iter().map(|(id, key)| {
            let certificates = self.publishers.values().flat_map(|publisher| &publisher.certificates);
            let certificates = certificates.filter(|((of, _), _)| of == id);
            let certificates = certificates.map(|((_, node), certificate)| (certificate.publisher, *node, certificate));
            InstalledKey { id: *id, key, certificates: certificates.collect() }
        })
    }

    /// Whether a node holds a certificate of this publisher that is not blocked.
    #[must_use]
    pub fn is_activated(&self, publisher: PublisherId, node: NodeId) -> bool {
        let rights = self.publishers.get(&publisher).and_then(|publisher| publisher.rights.get(&node));
        rights.is_some_and(|rights| !rights.held.is_empty())
    }
}

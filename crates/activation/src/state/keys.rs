//! Installed keys, the certificates that nodes received for them, and the rights that follow from these.

use std::collections::BTreeMap;

use super::outcome::Refusal;
use crate::catalog::{OpenedCatalog, Product};
use crate::certificate::{NodeCertificate, Validity};
use crate::host_activation::{ActivationAnswer, KeyStanding};
use crate::id::{KeyId, NodeId, ProductId, PublisherId};
use crate::key::TypedKey;

/// A node's activation with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    pub certificate: NodeCertificate,
    /// R31: how often this host may be activated again, as the publisher stated with the certificate.
    pub reactivations_left: u32,
}

/// A publisher's last statement about a key's activation slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySlots {
    /// R31: the number of activation slots that the key grants.
    pub hosts_limit: u32,
    /// Activation slots in use, in this cluster and in others.
    pub hosts_used: u32,
    /// When the publisher stated this, by its clock, in milliseconds since 1970.
    pub told_ms: u64,
}

/// An installed key and the nodes that are activated with it.
#[derive(Clone, Copy, Debug)]
pub struct InstalledKey<'a> {
    pub id: KeyId,
    pub publisher: PublisherId,
    pub key: &'a TypedKey,
    /// The publisher's last statement; `None` before the first activation.
    pub standing: Option<KeySlots>,
    pub activations: &'a BTreeMap<NodeId, Activation>,
}

/// An installed key as the state owns it, with the nodes that are activated with it.
#[derive(Clone, Debug)]
pub(super) struct HeldKey {
    pub(super) key: TypedKey,
    pub(super) standing: Option<KeySlots>,
    pub(super) activations: BTreeMap<NodeId, Activation>,
}

impl HeldKey {
    pub(super) fn installed(&self, id: KeyId, publisher: PublisherId) -> InstalledKey<'_> {
        let Self { key, standing, activations } = self;
        InstalledKey { id, publisher, key, standing: *standing, activations }
    }

    pub(super) fn stand(&mut self, told: &KeyStanding, told_ms: u64) {
        if self.standing.is_none_or(|known| told_ms >= known.told_ms) {
            let KeyStanding { hosts_limit, hosts_used, .. } = *told;
            self.standing = Some(KeySlots { hosts_limit, hosts_used, told_ms });
        }
    }

    /// Removes the certificates that expire, and returns whether there were any.
    pub(super) fn drop_ending(&mut self) -> bool {
        let before = self.activations.len();
        self.activations.retain(|_, activation| activation.certificate.days.is_none());
        self.activations.len() < before
    }

    pub(super) fn activate(&mut self, answer: &ActivationAnswer) {
        let ActivationAnswer { certificate, reactivations_left, .. } = answer;
        let known = self.activations.get(&answer.node);
        if known.is_none_or(|known| certificate.issued_minutes >= known.certificate.issued_minutes) {
            let activation = Activation { certificate: certificate.clone(), reactivations_left: *reactivations_left };
            self.activations.insert(answer.node, activation);
        }
    }
}

/// For which products one node may answer, for one publisher. It exists as soon as the node holds a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rights {
    /// The certificates that are not blocked, smallest key first. Expired ones are included.
    held: Vec<Right>,
}

/// The product group for which one certificate allows answers, and its validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Right {
    key: KeyId,
    group: u8,
    validity: Validity,
}

/// The time with which the expiry of certificates is compared, in milliseconds since 1970; `None` while the clocks do
/// not agree: then no certificate counts as expired.
pub(super) type CertificateClock = Option<u64>;

impl Right {
    fn is_in_force(&self, clock: CertificateClock) -> bool {
        clock.is_none_or(|now_ms| !self.validity.has_ended_at(now_ms))
    }
}

impl Rights {
    pub(super) fn derive(opened: &OpenedCatalog, keys: &BTreeMap<KeyId, HeldKey>) -> BTreeMap<NodeId, Self> {
        let mut rights: BTreeMap<NodeId, Self> = BTreeMap::new();
        for (key, held) in keys {
            for (node, Activation { certificate, .. }) in &held.activations {
                let of_node = rights.entry(*node).or_default();
                if !opened.catalog.blocks(certificate) {
                    of_node.held.push(Right { key: *key, group: certificate.group, validity: certificate.validity() });
                }
            }
        }
        rights
    }
}

/// The key with which a node answers for a product, or why it refuses. If all certificates of the node have expired, or
/// all that cover the product, the node counts as not activated.
pub(super) fn admit<'a>(
    rights: &BTreeMap<NodeId, Rights>,
    opened: &'a OpenedCatalog,
    clock: CertificateClock,
    node: NodeId,
    product: ProductId,
) -> Result<(KeyId, &'a Product), Refusal> {
    let rights = rights.get(&node).ok_or(Refusal::NotActivated)?;
    if rights.held.is_empty() {
        return Err(Refusal::KeyBlocked);
    }
    if !rights.is_activated(clock) {
        return Err(Refusal::NotActivated);
    }
    let product = opened.product(product).ok_or(Refusal::NotCovered)?;
    let covering = rights.held.iter().filter(|right| opened.catalog.covers(right.group, product));
    let mut has_ended = false;
    for right in covering {
        if right.is_in_force(clock) {
            return Ok((right.key, product));
        }
        has_ended = true;
    }
    Err(if has_ended { Refusal::NotActivated } else { Refusal::NotCovered })
}

impl Rights {
    /// Whether the node has a certificate that is not blocked and has not expired.
    pub(super) fn is_activated(&self, clock: CertificateClock) -> bool {
        self.held.iter().any(|right| right.is_in_force(clock))
    }

    /// Codes of the groups of the certificates that are not blocked and have not expired.
    pub(super) fn groups(&self, clock: CertificateClock) -> Vec<u8> {
        let in_force = self.held.iter().filter(|right| right.is_in_force(clock));
        let mut groups: Vec<_> = in_force.map(|right| right.group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

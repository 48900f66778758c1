//! The registry: a certificate names its holder, but only a registered key gives the holder access.
//!
//! So one log entry shuts out a lost or withdrawn key, and a certificate that a stolen authority signs admits no
//! caller. In a cluster whose certificates come from an organisation's authority no key is registered; there the
//! revocations alone shut a holder out.

use std::collections::BTreeMap;

use super::outcome::CommandRefusal;
use super::registration::{Holder, Joining, KeyDigest, Registration, Revocation, Whom};
use crate::id::NodeId;
use crate::{limits, proto};

/// The registered keys, the nodes that may add themselves, and the revocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    keys: BTreeMap<KeyDigest, Registration>,
    /// Nodes that got a certificate with a token and have not joined yet. Their keys give no access.
    joining: BTreeMap<KeyDigest, Joining>,
    /// Revocations, the oldest first.
    revocations: Vec<Revocation>,
}

impl Registry {
    /// Whether a key must be registered to give access: true as soon as one node's key is registered.
    #[must_use]
    pub fn is_in_force(&self) -> bool {
        self.keys.values().any(|registration| matches!(registration.holder, Holder::Node(_)))
    }

    /// The entry of this key; `None` where it is not registered.
    #[must_use]
    pub fn get(&self, key: &KeyDigest) -> Option<&Registration> {
        self.keys.get(key)
    }

    /// The registered keys with their entries, by key digest.
    pub fn registrations(&self) -> impl Iterator<Item = (&KeyDigest, &Registration)> {
        self.keys.iter()
    }

    /// The registered key of a node.
    #[must_use]
    pub fn of_node(&self, node: NodeId) -> Option<(&KeyDigest, &Registration)> {
        self.keys.iter().find(|(_, registration)| registration.holder == Holder::Node(node))
    }

    /// The right of the holder of this key to add itself to the cluster, if it has one. It may have expired.
    #[must_use]
    pub fn joining(&self, key: &KeyDigest) -> Option<&Joining> {
        self.joining.get(key)
    }

    /// The nodes that may add themselves, by key digest. Expired rights are removed later, so they may be included.
    pub fn joining_nodes(&self) -> impl Iterator<Item = (&KeyDigest, &Joining)> {
        self.joining.iter()
    }

    /// The revocations, the oldest first.
    #[must_use]
    pub fn revocations(&self) -> &[Revocation] {
        &self.revocations
    }

    /// Whether `whom` is the subject of a registered key.
    #[must_use]
    pub fn knows(&self, whom: &Whom) -> bool {
        self.keys.values().any(|registration| whom.means(registration))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.joining.is_empty() && self.revocations.is_empty()
    }

    /// Registers all of these keys or none. Persons whose certificates have ended are removed. A node's new key
    /// replaces its earlier key.
    pub(super) fn register(
        &mut self,
        keys: &[(KeyDigest, Registration)],
        now_ms: Option<u64>,
    ) -> Result<(), CommandRefusal> {
        let mut registered = self.keys.clone();
        registered.retain(|_, known| match known.holder {
            Holder::Node(_) => true,
            Holder::Person { .. } => now_ms.is_none_or(|now_ms| known.ends_ms >= now_ms),
        });
        for (key, registration) in keys {
            if let Some(known) = registered.get(key).filter(|known| known.holder != registration.holder) {
                return Err(CommandRefusal::KeyOfAnotherHolder { holder: known.holder.clone() });
            }
            if matches!(registration.holder, Holder::Node(_)) {
                registered.retain(|_, known| known.holder != registration.holder);
            }
            registered.insert(*key, registration.clone());
        }
        let max = limits::REGISTRATIONS_MAX;
        if registered.len() > max {
            return Err(CommandRefusal::TooMany { what: "registered keys", max });
        }
        self.keys = registered;
        Ok(())
    }

    /// Lets the holder of this key add itself to the cluster. An earlier right of the same node, and expired rights,
    /// are removed.
    pub(super) fn let_join(&mut self, key: KeyDigest, joining: Joining, now_ms: u64) -> Result<(), CommandRefusal> {
        self.joining.retain(|_, known| known.until_ms >= now_ms && known.node != joining.node);
        let max = limits::JOINING_MAX;
        if self.joining.len() >= max {
            return Err(CommandRefusal::TooMany { what: "nodes that are joining", max });
        }
        self.joining.insert(key, joining);
        Ok(())
    }

    /// Replaces the entries of registered keys after their certificates were renewed: of all or none. A node whose
    /// entry is replaced is a member, so its right to add itself ends.
    pub(super) fn renew(&mut self, keys: Vec<(KeyDigest, Registration)>) -> Result<(), CommandRefusal> {
        for (key, registration) in &keys {
            let holder = registration.holder.clone();
            match self.keys.get(key) {
                Some(known) if known.holder == holder => {}
                Some(known) => return Err(CommandRefusal::KeyOfAnotherHolder { holder: known.holder.clone() }),
                None => return Err(CommandRefusal::KeyNotRegistered { holder }),
            }
        }
        self.joining.retain(|key, _| keys.iter().all(|(renewed, _)| renewed != key));
        self.keys.extend(keys);
        Ok(())
    }

    /// Revokes access, and the right of a revoked node to add itself. A later revocation of the same subject replaces
    /// the earlier one.
    pub(super) fn revoke(&mut self, revocation: Revocation) -> Result<(), CommandRefusal> {
        let (mut kept, max) = (self.revocations.clone(), limits::REVOCATIONS_MAX);
        kept.retain(|known| known.whom != revocation.whom);
        if kept.len() >= max {
            return Err(CommandRefusal::TooMany { what: "revocations", max });
        }
        self.keys.retain(|_, registration| !revocation.whom.means(registration));
        self.joining.retain(|_, joining| revocation.whom != Whom::Node(joining.node));
        kept.push(revocation);
        self.revocations = kept;
        Ok(())
    }

    pub(super) fn encode_registrations(&self) -> Vec<proto::Registration> {
        self.keys.iter().map(|(key, registration)| registration.to_proto(key)).collect()
    }

    pub(super) fn encode_joining(&self) -> Vec<proto::JoiningNode> {
        self.joining.iter().map(|(key, joining)| joining.to_proto(key)).collect()
    }

    pub(super) fn encode_revocations(&self) -> Vec<proto::Revocation> {
        self.revocations.iter().map(Revocation::to_proto).collect()
    }

    /// `None` where the messages are not the encoding of a registry.
    pub(super) fn decode(
        keys: &[proto::Registration],
        joining: &[proto::JoiningNode],
        revocations: &[proto::Revocation],
    ) -> Option<Self> {
        let is_sorted =
            keys.is_sorted_by(|one, next| one.key < next.key) && joining.is_sorted_by(|one, next| one.key < next.key);
        let joining = joining.iter().map(Joining::from_proto).collect::<Option<BTreeMap<_, _>>>()?;
        let keys = keys.iter().map(Registration::from_proto).collect::<Option<BTreeMap<_, _>>>()?;
        let revocations = revocations.iter().map(Revocation::from_proto).collect::<Option<Vec<_>>>()?;
        let registry = Self { keys, joining, revocations };
        (is_sorted && registry.flaw().is_none()).then_some(registry)
    }

    /// Panics if an invariant is broken.
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.flaw(), None);
    }

    fn flaw(&self) -> Option<&'static str> {
        let mut nodes: Vec<_> = self.keys.values().filter_map(|known| known.holder.node()).collect();
        nodes.sort_unstable();
        let count = nodes.len();
        nodes.dedup();
        let mut joining: Vec<_> = self.joining.values().map(|joining| joining.node).collect();
        joining.sort_unstable();
        joining.dedup();
        let once =
            |(at, one): (usize, &Revocation)| !self.revocations.iter().skip(at + 1).any(|it| it.whom == one.whom);
        match () {
            () if nodes.len() != count => Some("a node with two keys"),
            () if joining.len() != self.joining.len() => Some("a joining node with two keys"),
            () if joining.len() > limits::JOINING_MAX => Some("too many joining nodes"),
            () if self.keys.len() > limits::REGISTRATIONS_MAX => Some("too many registered keys"),
            () if self.revocations.len() > limits::REVOCATIONS_MAX => Some("too many revocations"),
            () if !self.revocations.iter().enumerate().all(once) => Some("a revocation that stands twice"),
            () => None,
        }
    }
}

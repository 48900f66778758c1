//! Decides which certificates' holders are admitted: a certificate names its holder, and the registry in the
//! replicated state says whether that holder is admitted (see [`activation::state::Registry`]).
//!
//! Where an organisation's authority issues the certificates, a valid chain and subject are enough, and only a
//! revocation excludes a holder.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use activation::state::{Holder, PersonRole, Registration, Registry, Serial, Whom};
use replication::Replica;
use tokio::sync::{mpsc, watch};
use transport::{Certificate, PresentedIdentity, Role, Standing, Subject};

use crate::limits::{VOUCHED_MAX, VOUCHING_WAITING_MAX};

/// Why the holder of a certificate is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotLetIn {
    /// The registry does not hold the key.
    #[error(
        "the key of this certificate is not registered in the cluster: it was revoked, or never registered. A person \
         logs in again (`quorate cluster login HOST:1690 --force --token T`), a node is added again (`quorate cluster \
         add`)"
    )]
    Unregistered,
    /// The key is registered for another holder.
    #[error("the key of this certificate is registered for another holder")]
    OfAnother,
    /// The certificate has expired, and no registry is in force that knows its key.
    #[error("this certificate has expired: renew it")]
    Ended,
    /// An organisation's certificate that was revoked in this cluster.
    #[error("this certificate was revoked (`quorate cluster revoke`)")]
    Revoked,
    /// An organisation's certificate that its authority revoked.
    #[error("this certificate is in the revocation list of its authority (tls.crl)")]
    Listed,
}

/// Decides by the state that is applied on this node. Cheap to call.
pub(crate) struct Registered {
    replica: Replica,
    /// True where an organisation's authority issues the certificates.
    is_organisations: bool,
    /// What this node presents, with the revocation lists of an organisation's authority.
    shown: Arc<PresentedIdentity>,
    /// Keys and node numbers that other members confirmed since the state last changed.
    vouched: Mutex<BTreeMap<[u8; 32], u64>>,
    unknown: mpsc::Sender<UnknownNode>,
    changes: watch::Sender<u64>,
    has_formed_cluster: AtomicBool,
}

/// A calling node whose key is not in this node's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownNode {
    pub(crate) node: u64,
    pub(crate) key: [u8; 32],
}

impl Registered {
    /// Creates the registry's view, and the channel of unknown nodes about which the other members have to be asked.
    pub(crate) fn new(
        replica: Replica,
        is_organisations: bool,
        shown: Arc<PresentedIdentity>,
    ) -> (Self, mpsc::Receiver<UnknownNode>) {
        let (unknown, asked) = mpsc::channel(VOUCHING_WAITING_MAX);
        let (changes, _) = watch::channel(0);
        (
            Self {
                replica,
                is_organisations,
                shown,
                vouched: Mutex::default(),
                unknown,
                changes,
                has_formed_cluster: AtomicBool::new(false),
            },
            asked,
        )
    }

    /// Whether the cluster's own authority issues the certificates.
    pub(crate) fn is_own_authority(&self) -> bool {
        !self.is_organisations
    }

    /// Sets whether this process has formed the cluster, which has no registry yet and gets one at once.
    pub(crate) fn set_formed_cluster(&self, formed: bool) {
        self.has_formed_cluster.store(formed, Ordering::Relaxed);
    }

    pub(crate) fn has_formed_cluster(&self) -> bool {
        self.has_formed_cluster.load(Ordering::Relaxed)
    }

    /// The subject as which the holder of this certificate is admitted now.
    pub(crate) fn holder(&self, certificate: &Certificate) -> Result<Subject, NotLetIn> {
        if self.is_organisations && self.shown.now().revocation_lists().is_some_and(|lists| lists.revoke(certificate)) {
            return Err(NotLetIn::Listed);
        }
        self.replica.view(|state| judge(state.registry(), self.is_organisations, certificate))
    }

    /// The subject as which a calling node is admitted now. Where this node's state may lag, the other members are
    /// asked, and the call is admitted when the caller repeats it.
    pub(crate) fn node(&self, certificate: &Certificate) -> Result<Subject, NotLetIn> {
        let judged = self.holder(certificate);
        let is_registered = !self.is_organisations && self.replica.view(|state| state.registry().is_in_force());
        if judged.is_ok() && !is_registered && certificate.ends_ms < self.replica.wall_ms() {
            return Err(NotLetIn::Ended);
        }
        let (Err(NotLetIn::Unregistered), Subject::Node(node)) = (&judged, &certificate.subject) else { return judged };
        let (node, key) = (*node, certificate.key);
        if self.vouched().get(&key) == Some(&node) {
            return Ok(Subject::Node(node));
        }
        // Where the channel is full, the caller's next call tries again.
        let _waiting = self.unknown.try_send(UnknownNode { node, key });
        judged
    }

    /// Notes that members with newer state have this key registered for the node.
    pub(crate) fn vouch(&self, UnknownNode { node, key }: UnknownNode) {
        let mut vouched = self.vouched();
        if vouched.len() < VOUCHED_MAX {
            vouched.insert(key, node);
        }
    }

    /// Notes that this node's view of the registry, or of the revocation lists, changed: every connection is checked
    /// again.
    pub(crate) fn changed(&self) {
        self.vouched().clear();
        self.changes.send_modify(|change| *change = change.wrapping_add(1));
    }

    /// Waits until the holder of this certificate is no longer admitted.
    pub(crate) async fn shut_out(&self, certificate: &Certificate) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if self.holder(certificate).is_err() || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Decides whether open connections of callers are kept.
    pub(crate) fn standing(self: &Arc<Self>) -> Standing {
        let registered = Arc::clone(self);
        Standing::new(self.changes.subscribe(), move |certificate| registered.node(certificate).is_ok())
    }

    fn vouched(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], u64>> {
        // Changed by single insertions only: it is consistent after a panic.
        self.vouched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registration of a certificate's key; `None` where its serial number is not valid by RFC 5280.
pub(crate) fn registration(certificate: &Certificate) -> Option<([u8; 32], Registration)> {
    let holder = match &certificate.subject {
        Subject::Node(node) => Holder::Node(*node),
        Subject::Person { name, role } => Holder::Person { name: name.clone(), role: role_out(*role) },
    };
    let serial = Serial::new(&certificate.serial)?;
    Some((certificate.key, Registration { holder, serial, ends_ms: certificate.ends_ms }))
}

fn judge(registry: &Registry, is_organisations: bool, certificate: &Certificate) -> Result<Subject, NotLetIn> {
    let subject = || certificate.subject.clone();
    if is_organisations {
        let is_revoked = |whom: &Whom| match (whom, &certificate.subject) {
            (Whom::Node(revoked), Subject::Node(node)) => revoked == node,
            (Whom::Person(revoked), Subject::Person { name, .. }) => revoked == name,
            (Whom::Serial(revoked), _) => Serial::new(&certificate.serial).as_ref() == Some(revoked),
            _ => false,
        };
        let mut revocations = registry.revocations().iter();
        // A certificate that was issued after the revocation is admitted.
        let revoked = revocations.any(|one| is_revoked(&one.whom) && certificate.begins_ms <= one.time_ms);
        return if revoked { Err(NotLetIn::Revoked) } else { Ok(subject()) };
    }
    if !registry.is_in_force() {
        return Ok(subject());
    }
    let registered = registry.get(&certificate.key).ok_or(NotLetIn::Unregistered)?;
    let holder = match &registered.holder {
        Holder::Node(node) => Subject::Node(*node),
        Holder::Person { name, role } => Subject::Person { name: name.clone(), role: role_in(*role) },
    };
    if holder == certificate.subject { Ok(holder) } else { Err(NotLetIn::OfAnother) }
}

fn role_out(role: Role) -> PersonRole {
    match role {
        Role::Administrator => PersonRole::Administrator,
        Role::Operator => PersonRole::Operator,
        Role::Reader => PersonRole::Reader,
    }
}

fn role_in(role: PersonRole) -> Role {
    match role {
        PersonRole::Administrator => Role::Administrator,
        PersonRole::Operator => Role::Operator,
        PersonRole::Reader => Role::Reader,
    }
}

#[cfg(test)]
mod tests {
    use activation::state::{Command, Format, Revocation, State};

    use super::*;

    fn certificate(subject: Subject, number: u8) -> Certificate {
        Certificate {
            subject,
            key: [number; 32],
            serial: vec![0x40, number],
            issuer: [0; 32],
            begins_ms: 1000,
            ends_ms: 2000,
        }
    }

    fn ada(role: Role) -> Subject {
        Subject::person("Ada", role).unwrap()
    }

    fn state(commands: &[Command]) -> State {
        let mut state = State::new();
        for (index, command) in (1..).zip([&Command::SetFormat { format: Format::NEWEST }].into_iter().chain(commands))
        {
            state.apply_checked(index, &command.encode());
        }
        state
    }

    #[test]
    fn a_key_that_is_not_registered_is_refused_once_a_node_is_registered() {
        let (node, person) = (certificate(Subject::Node(1), 1), certificate(ada(Role::Administrator), 2));
        let empty = state(&[]);
        assert_eq!(judge(empty.registry(), false, &person), Ok(person.subject.clone()), "before the takeover");
        let taken_over = state(&[Command::Register { keys: vec![registration(&node).unwrap()], renews: false }]);
        let registry = taken_over.registry();
        assert_eq!(judge(registry, false, &node), Ok(Subject::Node(1)));
        assert_eq!(judge(registry, false, &person), Err(NotLetIn::Unregistered));
        // A certificate signed by the same authority for the same node number, but with another key.
        assert_eq!(judge(registry, false, &certificate(Subject::Node(1), 3)), Err(NotLetIn::Unregistered));
        let raised = certificate(Subject::Node(2), 1);
        assert_eq!(judge(registry, false, &raised), Err(NotLetIn::OfAnother));
        assert_eq!(judge(registry, true, &person), Ok(person.subject.clone()), "an organisation's");
    }

    #[test]
    fn an_organisations_certificate_is_accepted_until_it_is_revoked() {
        let revoke = |whom| Command::Revoke(Revocation { whom, time_ms: 1500 });
        let (person, node) = (certificate(ada(Role::Reader), 1), certificate(Subject::Node(4), 2));
        for (whom, person_in, node_in) in [
            (Whom::Person("Ada".into()), false, true),
            (Whom::Node(4), true, false),
            (Whom::Serial(Serial::new(&[0x40, 2]).unwrap()), true, false),
        ] {
            let state = state(&[revoke(whom)]);
            for (certificate, is_in) in [(&person, person_in), (&node, node_in)] {
                assert_eq!(judge(state.registry(), true, certificate).is_ok(), is_in, "{certificate:?}");
                let later = Certificate { begins_ms: 1501, ..certificate.clone() };
                assert!(judge(state.registry(), true, &later).is_ok(), "issued afterwards");
            }
        }
    }
}

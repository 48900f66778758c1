//! Which node may answer for what: key installation, activation of nodes with a key, and release of activation
//! slots.

use std::collections::BTreeMap;

use super::keys::{HeldKey, InstalledKey, Rights};
use super::{CommandRefusal, PublisherState, State};
use crate::certificate::{CertificateError, NodeCertificate};
use crate::host_activation::{
    ActivationAnswer, ActivationAnswers, ActivationFileError, ReleaseStatement, SignedAnswers,
};
use crate::id::{NodeId, PublisherId};
use crate::key::{KeyKind, TypedKey};
use crate::limits;

impl State {
    /// Installed keys by publisher and id, each with the nodes that are activated with it.
    pub fn keys(&self) -> impl Iterator<Item = InstalledKey<'_>> {
        self.publishers.values().flat_map(PublisherState::keys)
    }

    /// Whether a node has a certificate of this publisher that is not blocked and has not expired.
    #[must_use]
    pub fn is_activated(&self, publisher: PublisherId, node: NodeId) -> bool {
        let rights = self.publishers.get(&publisher).and_then(|publisher| publisher.rights.get(&node));
        rights.is_some_and(|rights| rights.is_activated(self.certificate_clock_ms))
    }

    /// Codes of the product groups for which a node has a certificate of this publisher that is not blocked and has
    /// not expired.
    #[must_use]
    pub fn groups_held(&self, publisher: PublisherId, node: NodeId) -> Vec<u8> {
        let rights = self.publishers.get(&publisher).and_then(|publisher| publisher.rights.get(&node));
        rights.map_or_else(Vec::new, |rights| rights.groups(self.certificate_clock_ms))
    }

    pub(super) fn install_key(&mut self, publisher: PublisherId, key: TypedKey) -> Result<(), CommandRefusal> {
        if key.kind() != KeyKind::Host {
            return Err(CommandRefusal::NotAHostKey(key.kind()));
        }
        let id = key.key_id();
        let installed = self.publishers.values().map(|publisher| publisher.keys.len()).sum::<usize>();
        let before =
            self.keys().find(|installed| installed.id == id).map(|before| (before.publisher, before.activations));
        match before {
            Some((of, _)) if of == publisher => return Ok(()),
            Some((_, activations)) if !activations.is_empty() => return Err(CommandRefusal::KeyOfAnother { key: id }),
            None if installed >= limits::KEYS_MAX => {
                return Err(CommandRefusal::TooMany { what: "keys", max: limits::KEYS_MAX });
            }
            _ => {}
        }
        if !self.publishers.contains_key(&publisher) {
            return Err(CommandRefusal::UnknownPublisher);
        }
        // The key was first installed for the wrong publisher; no node was activated with it, so it can move.
        self.publishers.values_mut().for_each(|other| drop(other.keys.remove(&id)));
        let held = HeldKey { key, standing: None, activations: BTreeMap::new() };
        self.publishers.get_mut(&publisher).map(|publisher| publisher.keys.insert(id, held));
        Ok(())
    }

    pub(super) fn install_activation(&mut self, signed: &[u8]) -> Result<(), CommandRefusal> {
        let signed = SignedAnswers::decode(signed)?;
        let ends = |answer: &ActivationAnswer| answer.certificate.days.is_some();
        if !self.format.holds_ending_certificates() && signed.answers().answers.iter().any(ends) {
            // The same error as in versions that do not know certificates with a lifetime.
            return Err(ActivationFileError::Malformed("certificate").into());
        }
        let publisher = self.publishers.get_mut(&signed.answers().publisher);
        let publisher = publisher.ok_or(CommandRefusal::UnknownPublisher)?;
        signed.verify(&publisher.opened.activation_keys)?;
        publisher.install_answers(signed.answers())
    }

    pub(super) fn release(&mut self, statements: &[ReleaseStatement]) -> Result<(), CommandRefusal> {
        for statement in statements {
            let publisher = self.publishers.get(&statement.publisher).ok_or(CommandRefusal::UnknownPublisher)?;
            publisher.check_release(statement)?;
        }
        for statement in statements {
            if let Some(publisher) = self.publishers.get_mut(&statement.publisher) {
                publisher.release(statement);
            }
        }
        Ok(())
    }
}

impl PublisherState {
    pub(super) fn derive_rights(&mut self) {
        self.rights = Rights::derive(&self.opened, &self.keys);
    }

    fn install_answers(&mut self, answers: &ActivationAnswers) -> Result<(), CommandRefusal> {
        let mut keys = self.keys.clone();
        for answer in &answers.answers {
            let (node, key) = (answer.node, answer.certificate.key);
            let held = keys.get_mut(&key).ok_or(CommandRefusal::KeyNotInstalled { node, key })?;
            self.check_certificate(node, &answer.certificate)?;
            // An older answer must not take an activation slot again that was given back in the meantime.
            if !self.releases.contains_key(&(key, answer.certificate.node_key)) {
                held.activate(answer);
            }
        }
        if keys.values().map(|held| held.activations.len()).sum::<usize>() > limits::CERTIFICATES_MAX {
            return Err(CommandRefusal::TooMany { what: "certificates", max: limits::CERTIFICATES_MAX });
        }
        for standing in &answers.standings {
            if let Some(held) = keys.get_mut(&standing.key) {
                held.stand(standing, answers.answered_ms);
            }
        }
        for released in &answers.released {
            self.releases.remove(released);
        }
        self.keys = keys;
        self.derive_rights();
        Ok(())
    }

    fn check_certificate(&self, node: NodeId, certificate: &NodeCertificate) -> Result<(), CommandRefusal> {
        let wrong = |source| CommandRefusal::Certificate { node, source };
        if certificate.publisher != self.id() {
            return Err(wrong(CertificateError::Signature));
        }
        certificate.verify(&self.opened.activation_keys).map_err(wrong)?;
        let (group, platform) = (certificate.group, certificate.platform);
        if self.catalog().group(group).is_none() {
            return Err(CommandRefusal::UnknownGroup { node, group });
        }
        if !self.catalog().may_hold(platform, group) {
            return Err(CommandRefusal::PlatformMayNotHold { node, platform, group });
        }
        Ok(())
    }

    /// Accepts a statement signed by the node key in the node's certificate, or one that was accepted before.
    fn check_release(&self, statement: &ReleaseStatement) -> Result<(), CommandRefusal> {
        let ReleaseStatement { key, node, .. } = *statement;
        statement.verify().map_err(|_| CommandRefusal::NotSignedByNode { node })?;
        if self.releases.contains_key(&(key, statement.node_key)) {
            return Ok(());
        }
        let activation = self.keys.get(&key).and_then(|held| held.activations.get(&node));
        if activation.is_none_or(|activation| activation.certificate.node_key != statement.node_key) {
            return Err(CommandRefusal::NotHeld { node, key });
        }
        if self.releases.len() >= limits::CERTIFICATES_MAX {
            return Err(CommandRefusal::TooMany { what: "places given back", max: limits::CERTIFICATES_MAX });
        }
        Ok(())
    }

    fn release(&mut self, statement: &ReleaseStatement) {
        if let Some(held) = self.keys.get_mut(&statement.key) {
            held.activations.retain(|_, activation| activation.certificate.node_key != statement.node_key);
        }
        self.releases.insert((statement.key, statement.node_key), statement.clone());
        self.derive_rights();
    }
}

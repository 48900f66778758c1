//! Host keys exchanged for node certificates, within the limits of each key (R31) and on permitted platforms (R34).
//!
//! Activation slots that nodes give back are free before the requests of the same file are decided, so a slot can
//! pass to another node in one step. Every entry of a file is decided, so that the error names each refused node.
//! But a file with a refusal yields no certificate and uses no slot: the administrator corrects the cause and asks
//! again, and keeps one answer for one file.
//!
//! A certificate that expires is renewed when the key that it certifies signs the request: from the middle of the
//! lifetime until 30 days after the expiry the host keeps its slot and spends no reactivation.
//!
//! Signatures are verified before the turn to change the records is taken: a file with an invalid signature is
//! refused without waiting for other requests.
//!
//! Invariant: a node key that has given its slot back, or lost it, never gets a certificate again.

use std::collections::BTreeMap;

use activation::{
    SigningKey, VerifyingKey,
    catalog::{Catalog, Group, Name, Platform},
    certificate::{NodeCertificate, Validity},
    host_activation::{
        ActivationAnswer, ActivationAnswers, ActivationRequests, HostActivation, IdentityKind, KeyStanding, NodeKeys,
        ReleaseStatement, SignedAnswers,
    },
    id::{KeyId, PublisherId},
    key::KeyKind,
};

use crate::{
    clock,
    credential::CredentialError,
    issued::{Host, IssuedKey, RequiredIdentity},
    publisher::Publisher,
    records::{Activation, Change, Records, RecordsError},
    refusal::{Reason, Refusal, Refusals},
    verified::{Verified, VerifiedRequest},
};

/// Why no certificate was issued. No activation slot was used, except where the outcome of a write is unknown; a
/// retry then gets the recorded result.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    /// The rules refuse at least one entry of the file.
    #[error("no host was activated: {0}")]
    Refused(Refusals),
    /// No catalog was signed yet, so groups and platform classes are not defined.
    #[error(
        "no catalog was signed yet, so groups and platforms are unknown: sign one with `quorate publisher catalog sign`"
    )]
    NoCatalog,
    /// No activation key is available to sign with.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The records could not be read or written.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

impl Publisher {
    /// Takes back the activation slots that nodes release, and then activates the nodes with requests: all of it, or
    /// nothing. The records are durable before the answers are returned. A request that was answered before gets the
    /// same certificate, and uses no further slot, while its node key holds a slot. A slot that was released before
    /// stays free.
    pub async fn activate(&self, requests: &ActivationRequests) -> Result<SignedAnswers, ActivateError> {
        self.activate_at(requests, clock::now_ms).await
    }

    /// As [`Self::activate`], by this clock, which is read once the records are this call's.
    async fn activate_at(
        &self,
        requests: &ActivationRequests,
        clock_ms: fn() -> u64,
    ) -> Result<SignedAnswers, ActivateError> {
        let trust = self.trust();
        let catalog = &trust.catalog.as_ref().ok_or(ActivateError::NoCatalog)?.catalog;
        let activation_key = self.credentials.activation(&trust)?;
        let verified = Verified::of(requests).map_err(ActivateError::Refused)?;
        let turn = self.records.turn().await?;
        let mut exchange = Exchange {
            publisher: trust.publisher,
            catalog,
            activation_key,
            records: &self.records,
            now_ms: clock_ms(),
            keys: BTreeMap::new(),
            activations: Vec::new(),
        };
        let (answers, released) = exchange.all(&verified)?;
        let Exchange { keys, activations, now_ms, .. } = exchange;
        let standings = keys.values().map(|(key, _)| standing(key)).collect();
        let mut change = Change::default();
        keys.values().filter(|(_, changed)| *changed).try_for_each(|(key, _)| change.key(key))?;
        activations.iter().try_for_each(|activation| change.activation(activation))?;
        if !change.is_empty() {
            self.records.commit(turn, change).await?;
        }
        let publisher = trust.publisher;
        let answers = ActivationAnswers { publisher, answered_ms: now_ms, answers, released, standings };
        Ok(answers.sign(activation_key))
    }
}

fn standing(key: &IssuedKey) -> KeyStanding {
    let hosts_used = u32::try_from(key.hosts.len()).unwrap_or(u32::MAX);
    KeyStanding { key: key.key.key_id(), hosts_limit: key.limits.hosts, hosts_used }
}

/// The entries of one file while they are decided in order: each entry is decided on the slots that the entries
/// before it left.
struct Exchange<'a> {
    publisher: PublisherId,
    catalog: &'a Catalog,
    activation_key: &'a SigningKey,
    records: &'a Records,
    now_ms: u64,
    /// Every key that an entry has named, in its present state, and whether that differs from the record.
    keys: BTreeMap<KeyId, (IssuedKey, bool)>,
    activations: Vec<Activation>,
}

/// The answers to the requests, and the activation slots that are free again.
type Exchanged = (Vec<ActivationAnswer>, Vec<(KeyId, [u8; 32])>);

impl Exchange<'_> {
    /// Decides every entry. The error names each refused node.
    fn all(&mut self, verified: &Verified<'_>) -> Result<Exchanged, ActivateError> {
        let (mut answers, mut released, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
        for statement in verified.releases {
            match self.release(statement)? {
                Ok(()) => released.push((statement.key, statement.node_key)),
                Err(reason) => refusals.push(Refusal { node: statement.node, reason }),
            }
        }
        for request in &verified.requests {
            match self.decide(request)? {
                Ok(answer) => answers.push(answer),
                Err(reason) => refusals.push(Refusal { node: request.request.asked().node, reason }),
            }
        }
        if refusals.is_empty() { Ok((answers, released)) } else { Err(ActivateError::Refused(Refusals(refusals))) }
    }

    /// Frees the activation slot of the node that signed the statement.
    fn release(&mut self, statement: &ReleaseStatement) -> Result<Result<(), Reason>, RecordsError> {
        if statement.publisher != self.publisher {
            return Ok(Err(Reason::OtherPublisher));
        }
        let Some(mut key) = self.key(statement.key)? else { return Ok(Err(Reason::UnknownKey)) };
        // A node key without a slot released it before, or the publisher freed it.
        if let Some(place) = key.hosts.iter().position(|host| host.node_key == statement.node_key) {
            key.vacate(place);
            self.keys.insert(statement.key, (key, true));
        }
        Ok(Ok(()))
    }

    fn decide(&mut self, verified: &VerifiedRequest<'_>) -> Result<Result<ActivationAnswer, Reason>, RecordsError> {
        let VerifiedRequest { request, keys: NodeKeys { current, previous } } = *verified;
        let asked = request.asked();
        let HostActivation { request_id, node, machine, .. } = *asked;
        if asked.key.kind() != KeyKind::Host {
            return Ok(Err(Reason::WrongKind(asked.key.kind())));
        }
        let id = asked.key.key_id();
        // The id is a short hash, so the key itself must equal the issued key.
        let Some(mut key) = self.key(id)?.filter(|key| key.key == asked.key) else {
            return Ok(Err(Reason::UnknownKey));
        };
        if key.blocked || self.catalog.blocked_keys().contains(&id) {
            return Ok(Err(Reason::KeyBlocked));
        }
        let earlier = self.earlier(request_id)?;
        if earlier.as_ref().is_some_and(|earlier| earlier.request_digest != request.digest()) {
            return Ok(Err(Reason::RequestIdReused));
        }
        let node_key = current.to_bytes();
        let holder = key.holder(node_key);
        let latest = self.records.latest_validity(id, node_key)?;
        if holder.is_none() && latest.is_some() {
            return Ok(Err(Reason::NodeKeySpent { node }));
        }
        if let (Some(Activation { certificate, .. }), Some(holder)) = (earlier, holder) {
            let reactivations_left = key.reactivations_left(holder);
            return Ok(Ok(ActivationAnswer { request_id, node, certificate, reactivations_left }));
        }
        let found = match asked.identity {
            IdentityKind::Machine => None,
            IdentityKind::Factors => Some("some factors of its machine"),
            IdentityKind::File => Some("its data folder"),
        };
        if let (RequiredIdentity::Machine, Some(found)) = (key.identity, found) {
            return Ok(Err(Reason::Identity { node, found }));
        }
        let (group, platform) = match self.fit(&key, &asked.platform) {
            Ok((group, platform)) => (group.code, platform.code),
            Err(reason) => return Ok(Err(reason)),
        };
        let host = Host { machine, node, node_key, reactivations: 0, activated_ms: self.now_ms };
        // Signed only by the certified key: a renewal for the same host.
        let is_renewal = previous.is_none() && latest.is_some_and(|latest| latest.may_be_renewed_at(self.now_ms));
        let renewed = if is_renewal { key.renew(host.clone()) } else { None };
        let admitted = renewed.map_or_else(|| key.admit(host, previous.map(|key| key.to_bytes())), Ok);
        let reactivations_left = match admitted {
            Ok(left) => left,
            Err(reason) => return Ok(Err(reason)),
        };
        let certificate = self.certify(id, (group, platform), &current);
        self.keys.insert(id, (key, true));
        self.activations.push(Activation {
            request_id,
            request_digest: request.digest(),
            node,
            machine,
            activated_ms: self.now_ms,
            certificate: certificate.clone(),
        });
        Ok(Ok(ActivationAnswer { request_id, node, certificate, reactivations_left }))
    }

    /// Signs a certificate with the lifetime that the catalog gives.
    fn certify(&self, key: KeyId, of: (u8, u8), node_key: &VerifyingKey) -> NodeCertificate {
        let issued_minutes = u32::try_from(self.now_ms / 60_000).unwrap_or(u32::MAX);
        let validity = Validity { issued_minutes, days: self.catalog.certificate_days() };
        NodeCertificate::issue_for(self.publisher, key, of, validity, node_key, self.activation_key)
    }

    /// The key's state after the entries before this one.
    fn key(&mut self, id: KeyId) -> Result<Option<IssuedKey>, RecordsError> {
        if let Some((key, _)) = self.keys.get(&id) {
            return Ok(Some(key.clone()));
        }
        let key = self.records.key(id)?;
        if let Some(key) = &key {
            self.keys.insert(id, (key.clone(), false));
        }
        Ok(key)
    }

    /// The result of an earlier request with the same id, on record or in this file.
    fn earlier(&self, request_id: [u8; 16]) -> Result<Option<Activation>, RecordsError> {
        match self.activations.iter().find(|activation| activation.request_id == request_id) {
            Some(activation) => Ok(Some(activation.clone())),
            None => self.records.activation(request_id),
        }
    }

    /// R34: the group of the key and the platform class of the node, if that class may hold keys of the group.
    fn fit(&self, key: &IssuedKey, platform: &Name) -> Result<(&Group, &Platform), Reason> {
        // A successor catalog keeps every group, so the key's group is in it.
        let group = self.catalog.group_named(key.group.as_str()).ok_or(Reason::UnknownKey)?;
        let known = self.catalog.platform_named(platform.as_str());
        let known = known.ok_or_else(|| Reason::UnknownPlatform(platform.clone()))?;
        if self.catalog.may_hold(known.code, group.code) {
            Ok((group, known))
        } else {
            Err(Reason::Platform { platform: platform.clone(), group: group.name.clone() })
        }
    }
}

#[cfg(test)]
mod tests;

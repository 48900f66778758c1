//! Host keys exchanged for node certificates, within the limits of each key (R31) and on fit platforms (R34).
//!
//! Every request of a file is decided, so that an error names each refused node; but a file with a refusal gives no
//! certificate and spends nothing. The administrator mends it and asks again, and keeps one answer for one file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use activation::{
    SigningKey,
    catalog::{Catalog, Group, Name, Platform},
    certificate::NodeCertificate,
    host_activation::{
        ActivationAnswer, ActivationAnswers, ActivationRequests, HostActivation, HostActivationRequest, KeyStanding,
        SignedAnswers,
    },
    id::{KeyId, NodeId, PublisherId},
    key::KeyKind,
    status::Status,
};

use crate::{
    CredentialError, Host, IssuedKey, Publisher, RecordsError, clock,
    records::{Activation, Change, Records},
};

/// Why no certificate was given. Nothing was spent, save where a record's outcome is unknown; a retry finds that out.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    /// By the rules.
    #[error("nothing was activated: {0}")]
    Refused(Refusals),
    /// There is nothing to go by.
    #[error("no catalog was signed yet: sign one first, it names groups and platforms")]
    NoCatalog,
    /// No activation key to sign with.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The records could not be read or written.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// The refused requests of a file, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusals(pub Vec<Refusal>);

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, refusal) in self.0.iter().enumerate() {
            write!(f, "{}{refusal}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {node}: {} {reason}", reason.status())]
pub struct Refusal {
    /// The node that asked.
    pub node: NodeId,
    /// Why it gets nothing.
    pub reason: Reason,
}

/// Why a node gets no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Somebody else asked in its name, or the file was changed.
    #[error("the request is not signed by the node key in it")]
    Signature,
    /// The id was answered before, for something else.
    #[error("its request id was used for another request: ask with a new request")]
    RequestIdReused,
    /// Never issued here.
    #[error("this publisher issued no such key")]
    UnknownKey,
    /// A setup or direct key.
    #[error("a host key is needed, and this is a {0}")]
    WrongKind(KeyKind),
    /// On record, or in the catalog that was signed last.
    #[error("the key is blocked")]
    KeyBlocked,
    /// Not in the catalog.
    #[error("the catalog has no platform class `{0}`")]
    UnknownPlatform(Name),
    /// R34.
    #[error("platform class `{platform}` may not hold keys of group `{group}`")]
    Platform {
        /// What the node runs on.
        platform: Name,
        /// The group of the key.
        group: Name,
    },
    /// R31: all places are taken.
    #[error("the key is good for {limit} hosts, and all are activated")]
    HostsUsedUp {
        /// Places of the key.
        limit: u32,
    },
    /// R31: this host was activated again too often.
    #[error("the key is good for {limit} re-activations of a host, and this host has used them")]
    ReactivationsUsedUp {
        /// Re-activations of each host.
        limit: u32,
    },
}

impl Reason {
    /// The code that administrators know.
    pub fn status(&self) -> Status {
        match self {
            Self::Signature | Self::RequestIdReused => Status::ACCESS_DENIED,
            Self::UnknownKey | Self::WrongKind(_) | Self::UnknownPlatform(_) | Self::Platform { .. } => {
                Status::KEY_INVALID
            }
            Self::KeyBlocked => Status::KEY_BLOCKED,
            Self::HostsUsedUp { .. } | Self::ReactivationsUsedUp { .. } => Status::KEY_LIMIT_REACHED,
        }
    }
}

impl Publisher {
    /// Activates the nodes that ask, all or none of them. The records are durable before the answers are returned; a
    /// request that was answered before gets the same certificate and spends nothing.
    pub async fn activate(&self, requests: &ActivationRequests) -> Result<SignedAnswers, ActivateError> {
        let trust = self.trust();
        let catalog = &trust.catalog.as_ref().ok_or(ActivateError::NoCatalog)?.catalog;
        let activation_key = self.credentials.activation(&trust)?;
        let turn = self.records.turn().await?;
        let mut exchange = Exchange {
            publisher: trust.publisher,
            catalog,
            activation_key,
            records: &self.records,
            now_ms: clock::now_ms(),
            changed_keys: BTreeMap::new(),
            activations: Vec::new(),
        };
        let mut answers = Vec::new();
        let mut refusals = Vec::new();
        for request in &requests.requests {
            let HostActivation { request_id, node, .. } = *request.asked();
            match exchange.decide(request)? {
                Ok(certificate) => {
                    let reactivations_left = exchange.reactivations_left(&certificate)?;
                    answers.push(ActivationAnswer { request_id, node, certificate, reactivations_left });
                }
                Err(reason) => refusals.push(Refusal { node, reason }),
            }
        }
        if !refusals.is_empty() {
            return Err(ActivateError::Refused(Refusals(refusals)));
        }
        let standings = exchange.standings(&answers)?;
        let Exchange { changed_keys, activations, activation_key, now_ms, .. } = exchange;
        if !activations.is_empty() {
            let mut change = Change::default();
            changed_keys.values().try_for_each(|key| change.key(key))?;
            activations.iter().try_for_each(|activation| change.activation(activation))?;
            self.records.commit(turn, change).await?;
        }
        let publisher = trust.publisher;
        let answers = ActivationAnswers { publisher, answered_ms: now_ms, answers, released: Vec::new(), standings };
        Ok(answers.sign(activation_key))
    }
}

/// The requests of one file, decided one after the other: each sees what those before it took.
struct Exchange<'a> {
    publisher: PublisherId,
    catalog: &'a Catalog,
    activation_key: &'a SigningKey,
    records: &'a Records,
    now_ms: u64,
    changed_keys: BTreeMap<KeyId, IssuedKey>,
    activations: Vec<Activation>,
}

impl Exchange<'_> {
    fn decide(&mut self, request: &HostActivationRequest) -> Result<Result<NodeCertificate, Reason>, RecordsError> {
        let asked = request.asked();
        let Ok(node_key) = request.verify() else { return Ok(Err(Reason::Signature)) };
        if asked.key.kind() != KeyKind::Host {
            return Ok(Err(Reason::WrongKind(asked.key.kind())));
        }
        let id = asked.key.key_id();
        let on_record = self.key(id)?;
        // The id is a short hash: the key itself must be the one that was issued.
        let Some(mut key) = on_record.filter(|key| key.key == asked.key) else { return Ok(Err(Reason::UnknownKey)) };
        if key.blocked || self.catalog.blocked_keys().contains(&id) {
            return Ok(Err(Reason::KeyBlocked));
        }
        if let Some(earlier) = self.earlier(asked.request_id)? {
            let same = earlier.request_digest == request.digest();
            return Ok(if same { Ok(earlier.certificate) } else { Err(Reason::RequestIdReused) });
        }
        let (group, platform) = match self.fit(&key, &asked.platform) {
            Ok(fit) => fit,
            Err(reason) => return Ok(Err(reason)),
        };
        let host = Host {
            machine: asked.machine,
            node: asked.node,
            node_key: node_key.current.to_bytes(),
            reactivations: 0,
            activated_ms: self.now_ms,
        };
        if let Err(reason) = key.admit(host, None) {
            return Ok(Err(reason));
        }
        let issued_minutes = u32::try_from(self.now_ms / 60_000).unwrap_or(u32::MAX);
        let (group, platform) = (group.code, platform.code);
        let signer = self.activation_key;
        let certificate =
            NodeCertificate::issue(self.publisher, id, group, platform, issued_minutes, &node_key.current, signer);
        self.changed_keys.insert(id, key);
        self.activations.push(Activation {
            request_id: asked.request_id,
            request_digest: request.digest(),
            node: asked.node,
            machine: asked.machine,
            activated_ms: self.now_ms,
            certificate: certificate.clone(),
        });
        Ok(Ok(certificate))
    }

    /// As it stands after the requests before this one.
    fn key(&self, id: KeyId) -> Result<Option<IssuedKey>, RecordsError> {
        match self.changed_keys.get(&id) {
            Some(key) => Ok(Some(key.clone())),
            None => self.records.key(id),
        }
    }

    fn reactivations_left(&self, certificate: &NodeCertificate) -> Result<u32, RecordsError> {
        let key = self.key(certificate.key)?;
        let left = key.and_then(|key| {
            let host = key.hosts.iter().find(|host| host.node_key == certificate.node_key)?;
            Some(key.limits.reactivations.saturating_sub(host.reactivations))
        });
        Ok(left.unwrap_or(0))
    }

    /// What is left of every key that is answered for, each once.
    fn standings(&self, answers: &[ActivationAnswer]) -> Result<Vec<KeyStanding>, RecordsError> {
        let ids: BTreeSet<_> = answers.iter().map(|answer| answer.certificate.key).collect();
        let mut standings = Vec::new();
        for id in ids {
            if let Some(key) = self.key(id)? {
                let hosts_used = u32::try_from(key.hosts.len()).unwrap_or(u32::MAX);
                standings.push(KeyStanding { key: id, hosts_limit: key.limits.hosts, hosts_used });
            }
        }
        Ok(standings)
    }

    /// What the same request id got before, on record or in this file.
    fn earlier(&self, request_id: [u8; 16]) -> Result<Option<Activation>, RecordsError> {
        match self.activations.iter().find(|activation| activation.request_id == request_id) {
            Some(activation) => Ok(Some(activation.clone())),
            None => self.records.activation(request_id),
        }
    }

    /// R34: group of the key and platform class of the node, if they go together.
    fn fit(&self, key: &IssuedKey, platform: &Name) -> Result<(&Group, &Platform), Reason> {
        // A successor catalog keeps every group, so a key's group is always there.
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

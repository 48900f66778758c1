//! Host keys of the cluster: installed, listed, exchanged for certificates, released.
//!
//! Any node serves these calls. It requests from each node what only that node can sign, and proposes the result.

use std::collections::{BTreeMap, BTreeSet};

use activation::{
    host_activation::{
        ActivationAnswer, ActivationAnswers, ActivationRequests, HostActivationRequest, REQUESTS_MAX, ReleaseStatement,
        SignedAnswers,
    },
    id::{Fingerprint, KeyId, NodeId, PublisherId},
    key::{KeyKind, TypedKey},
    state::{Command, Format, PublisherState, State},
};
use admin::wire::unusable_state;
use api::{
    admin::v1 as proto,
    node::v1::{SignActivationRequest, SignReleaseRequest, StatusRequest},
};
use futures::future::join_all;
use tonic::Status;

use super::{
    acting::Acting,
    status::{invalid, unavailable},
};
use crate::{
    limits::WORK_TIMEOUT,
    observation::keys::{self, publisher_name},
    peers::{node_client::NodeError, request::NodeRequest, signing::is_due},
};

/// The host keys of one cluster, managed on behalf of one caller.
pub(crate) struct Keys<'a>(pub(crate) &'a Acting<'a>);

/// A certificate that can be requested from a publisher.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    publisher: PublisherId,
    key: KeyId,
    node: NodeId,
    /// The node is activated with this key, so a new certificate may turn out to be unnecessary.
    is_activated: bool,
    /// The node's host certificate is due for renewal.
    is_due: bool,
}

/// Which nodes are asked for requests, and how.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    was_named: bool,
    new_key: bool,
    renewals_only: bool,
}

impl Keys<'_> {
    pub(super) async fn install(&self, asked: proto::InstallKeyRequest) -> Result<proto::InstallKeyReply, Status> {
        let key: TypedKey = asked.key.parse().map_err(invalid)?;
        if key.kind() != KeyKind::Host {
            return Err(invalid(format!(
                "this is a {}, not a host key: install setup keys and direct keys on client machines",
                key.kind()
            )));
        }
        self.0.replica.read_point().await.map_err(unavailable)?;
        let publisher = self.0.replica.view(|state| find_publisher(state, &asked.publisher))?;
        self.0.propose(Command::InstallKey { publisher, key }).await?;
        let id = key.key_id();
        Ok(self.0.replica.view(|state| proto::InstallKeyReply {
            key_id: id.to_string(),
            group: keys::group(state, publisher, id).unwrap_or_default(),
            publisher: publisher_name(state, publisher),
            publisher_id: publisher.to_string(),
        }))
    }

    pub(super) async fn list(&self) -> Result<proto::ListKeysReply, Status> {
        self.0.replica.read_point().await.map_err(unavailable)?;
        let members = self.members();
        let asked = members.iter().map(|&node| async move {
            let status = self.ask(node, StatusRequest {}).await;
            // A node that does not answer reports no unusable keys; the replicated state is listed in any case.
            let Ok(status) = status else { return (node, BTreeMap::new()) };
            (node, status.unusable_keys.into_iter().map(|key| (key.key_id.clone(), unusable_state(&key))).collect())
        });
        let unusable = join_all(asked).await.into_iter().collect();
        Ok(self.0.replica.view(|state| keys::keys(state, &unusable)))
    }

    pub(super) async fn request(
        &self,
        asked: proto::RequestActivationRequest,
    ) -> Result<proto::RequestActivationReply, Status> {
        let proto::RequestActivationRequest { key_id, node, publisher, releases_only, new_key, renewals_only } = asked;
        if new_key && node == 0 {
            return Err(invalid("name the node that makes a new key: --node NODE"));
        }
        let key: Option<KeyId> = if key_id.is_empty() { None } else { Some(key_id.parse().map_err(invalid)?) };
        self.0.replica.read_point().await.map_err(unavailable)?;
        let of = self.0.replica.view(|state| publisher_meant(state, key, &publisher))?;
        let mut candidates = if releases_only { Vec::new() } else { self.candidates(key, node, of)? };
        candidates.retain(|candidate| candidate.is_due || !renewals_only);
        let wanted = Wanted { was_named: node != 0, new_key, renewals_only };
        let requests = join_all(candidates.iter().map(|candidate| self.request_of(candidate, wanted))).await;
        let mut by_publisher: BTreeMap<PublisherId, ActivationRequests> = BTreeMap::new();
        for (candidate, request) in candidates.iter().zip(requests) {
            if let Some(request) = request? {
                by_publisher.entry(candidate.publisher).or_default().requests.push(request);
            }
        }
        let releases = if renewals_only { Vec::new() } else { self.pending_releases(of) };
        for statement in releases {
            by_publisher.entry(statement.publisher).or_default().releases.push(statement);
        }
        let publishers: Vec<_> = by_publisher.keys().copied().collect();
        let names = || self.0.replica.view(|state| list_publishers(state, &publishers));
        let mut concerned = by_publisher.into_iter();
        match (concerned.next(), concerned.next()) {
            (Some((publisher, requests)), None) => self.request_reply(publisher, &requests),
            (Some(_), Some(_)) => Err(Status::failed_precondition(format!(
                "the nodes need certificates of several publishers, and one request goes to one publisher: name one of \
                 {}, or a key",
                names()
            ))),
            (None, _) if renewals_only => Ok(proto::RequestActivationReply::default()),
            (None, _) => Err(Status::failed_precondition(
                "no node to activate, and no release to report to the publisher: install a key first (`quorate key \
                 install`), or name a node to activate it again",
            )),
        }
    }

    fn request_reply(
        &self,
        publisher: PublisherId,
        asked: &ActivationRequests,
    ) -> Result<proto::RequestActivationReply, Status> {
        let ActivationRequests { requests, releases } = asked;
        if requests.len() + releases.len() > REQUESTS_MAX {
            return Err(invalid(format!("one file holds {REQUESTS_MAX} requests and releases: name a key or a node")));
        }
        let requested = requests.iter().map(HostActivationRequest::asked);
        let requested: Vec<_> = requested.map(|asked| node_and_key(asked.node, asked.key.key_id())).collect();
        let nodes: BTreeSet<_> = requested.iter().map(|requested| requested.node).collect();
        let reactivations = requests.iter().filter_map(|request| self.reactivation(publisher, request)).collect();
        Ok(proto::RequestActivationReply {
            reactivations,
            request: asked.encode().into(),
            nodes: nodes.into_iter().collect(),
            publisher: self.0.replica.view(|state| publisher_name(state, publisher)),
            publisher_id: publisher.to_string(),
            requested,
            released: releases.iter().map(|release| node_and_key(release.node, release.key)).collect(),
        })
    }

    /// The reactivation that a request spends where the node has another key for the same host. A node with a new
    /// store, under a number that belonged to another node, is a different host.
    fn reactivation(&self, publisher: PublisherId, request: &HostActivationRequest) -> Option<proto::Reactivation> {
        let asked = Some(request).filter(|request| request.has_previous_key())?.asked();
        let (node, key) = (asked.node, asked.key.key_id());
        let left = self.0.replica.view(|state| {
            let publisher = state.publishers().find(|known| known.id() == publisher)?;
            let installed = publisher.keys().find(|installed| installed.id == key)?;
            Some(installed.activations.get(&node)?.reactivations_left)
        })?;
        Some(proto::Reactivation { node, key_id: key.to_string(), left })
    }

    pub(super) async fn install_answer(
        &self,
        asked: proto::InstallActivationRequest,
    ) -> Result<proto::InstallActivationReply, Status> {
        let signed = SignedAnswers::decode(&asked.answer).map_err(|error| {
            let is_request = ActivationRequests::decode(&asked.answer).is_ok();
            if is_request {
                invalid("this is a request: send it to its publisher, and install the answer")
            } else {
                invalid(error)
            }
        })?;
        let answers = signed.answers();
        self.0.replica.read_point().await.map_err(unavailable)?;
        self.refuse_foreign(answers).await?;
        self.0.replica.view(|state| refuse_ending(state, answers))?;
        // Collected before the proposal: the state forgets the released slots once the answer is installed.
        let pending: BTreeMap<_, _> = self
            .pending_releases(Some(answers.publisher))
            .into_iter()
            .map(|statement| ((statement.key, statement.node_key), statement.node))
            .collect();
        self.0.propose(Command::InstallActivation { signed: asked.answer }).await?;
        let is_taken_over = |answer: &&ActivationAnswer| {
            let of = (answers.publisher, answer.certificate.key, answer.node);
            self.0.replica.view(|state| state.certificate(of.0, of.1, of.2) == Some(&answer.certificate))
        };
        let (taken_over, passed_over): (Vec<_>, Vec<_>) = answers.answers.iter().partition(is_taken_over);
        let activated: Vec<_> = taken_over
            .iter()
            .map(|answer| proto::NodeActivated {
                node: answer.node,
                key_id: answer.certificate.key.to_string(),
                reactivations_left: answer.reactivations_left,
            })
            .collect();
        let nodes: BTreeSet<_> = activated.iter().map(|activated| activated.node).collect();
        let released = answers.released.iter();
        let released = released.filter_map(|place| Some(node_and_key(*pending.get(place)?, place.0)));
        Ok(proto::InstallActivationReply {
            nodes: nodes.into_iter().collect(),
            publisher: self.0.replica.view(|state| publisher_name(state, answers.publisher)),
            publisher_id: answers.publisher.to_string(),
            activated,
            released: released.collect(),
            passed_over: passed_over.iter().map(|answer| node_and_key(answer.node, answer.certificate.key)).collect(),
        })
    }

    /// Refuses an answer that belongs to another cluster.
    ///
    /// The replicated state does not hold the membership and accepts every certificate that the publisher signed. An
    /// answer for a node of another cluster would count as an activation of this one. An answer for a member may also
    /// name nodes that were members only when it was requested.
    async fn refuse_foreign(&self, answers: &ActivationAnswers) -> Result<(), Status> {
        if let Some(why) = self.0.replica.view(|state| never_asked(state, answers)) {
            return Err(foreign(&why));
        }
        let members = self.members();
        let (of_members, others): (Vec<_>, Vec<_>) =
            answers.answers.iter().partition(|answer| members.contains(&answer.node));
        if of_members.is_empty() && !others.is_empty() {
            return Err(foreign(&format!(
                "it is for {}, not for a member of this cluster; its members: {}",
                numbered(others.iter().map(|answer| answer.node)),
                numbered(members)
            )));
        }
        let asked = of_members.iter().map(|answer| self.is_of_another_machine(answers.publisher, answer));
        let is_foreign = join_all(asked).await;
        let foreigners: Vec<_> =
            of_members.iter().zip(is_foreign).filter(|(_, foreign)| *foreign).map(|(answer, _)| answer.node).collect();
        if foreigners.is_empty() {
            return Ok(());
        }
        Err(foreign(&format!("it is for a private key that is not on {} of this cluster", numbered(foreigners))))
    }

    /// Whether the certificate is for a private key that the node with that number in this cluster does not have. A
    /// node that cannot be reached is assumed to have the key.
    async fn is_of_another_machine(&self, publisher: PublisherId, answer: &ActivationAnswer) -> bool {
        let (node, key, node_key) = (answer.node, answer.certificate.key, answer.certificate.node_key);
        let is_known = self.0.replica.view(|state| {
            let current = state.certificate(publisher, key, node).is_some_and(|current| current.node_key == node_key);
            let mut given_back = state.publisher(publisher).into_iter().flat_map(PublisherState::pending_releases);
            current || given_back.any(|place| (place.key, place.node_key) == (key, node_key))
        });
        if is_known {
            return false;
        }
        let request =
            SignActivationRequest { key_id: key.as_ref().to_vec().into(), ..SignActivationRequest::default() };
        let Ok(signed) = self.ask(node, request).await else { return false };
        let Ok(asked) = ActivationRequests::decode(&signed.request) else { return false };
        asked.requests.iter().all(|request| *request.node_key() != node_key)
    }

    pub(crate) async fn release(
        &self,
        asked: proto::ReleaseActivationRequest,
    ) -> Result<proto::ReleaseActivationReply, Status> {
        let proto::ReleaseActivationRequest { node, key_id } = asked;
        let key: Option<KeyId> = if key_id.is_empty() { None } else { Some(key_id.parse().map_err(invalid)?) };
        self.0.replica.read_point().await.map_err(unavailable)?;
        let held: Vec<KeyId> = self.0.replica.view(|state| {
            let keys = state.keys().filter(|installed| key.is_none_or(|key| key == installed.id));
            keys.filter(|installed| installed.activations.contains_key(&node)).map(|installed| installed.id).collect()
        });
        if held.is_empty() {
            return Err(Status::failed_precondition(format!(
                "node {node} is not activated with this key: `quorate key list` shows the nodes that are"
            )));
        }
        let mut statements = Vec::new();
        for key in held {
            let request = SignReleaseRequest { key_id: key.as_ref().to_vec().into() };
            let signed = self.ask(node, request).await.map_err(|why| not_signed(node, &why))?;
            statements.push(ReleaseStatement::decode(&signed.statement).map_err(|why| not_signed(node, &why))?);
        }
        self.0.propose(Command::Release { statements: statements.clone() }).await?;
        let released =
            self.0.replica.view(|state| statements.iter().map(|place| keys::released(state, place)).collect());
        Ok(proto::ReleaseActivationReply { released })
    }

    fn members(&self) -> Vec<NodeId> {
        self.0.replica.cluster().members.into_keys().collect()
    }

    fn pending_releases(&self, of: Option<PublisherId>) -> Vec<ReleaseStatement> {
        self.0.replica.view(|state| {
            let publishers = state.publishers().filter(|publisher| of.is_none_or(|of| of == publisher.id()));
            publishers.flat_map(|publisher| publisher.pending_releases().cloned()).collect()
        })
    }

    fn candidates(&self, key: Option<KeyId>, node: u64, of: Option<PublisherId>) -> Result<Vec<Candidate>, Status> {
        let members = self.members();
        if node != 0 && !members.contains(&node) {
            return Err(invalid(format!("node {node} is not a member of this cluster")));
        }
        Ok(self.0.replica.view(|state| {
            let keys = state.keys().filter(|installed| key.is_none_or(|key| key == installed.id));
            let keys = keys.filter(|installed| of.is_none_or(|of| of == installed.publisher));
            keys.flat_map(|installed| {
                let members = members.iter().filter(move |member| node == 0 || **member == node);
                members.map(move |&member| Candidate {
                    publisher: installed.publisher,
                    key: installed.id,
                    node: member,
                    is_activated: installed.activations.contains_key(&member),
                    is_due: installed
                        .activations
                        .get(&member)
                        .is_some_and(|activation| is_due(state, &activation.certificate)),
                })
            })
            .collect()
        }))
    }

    /// The signed request of one node. `None` where it needs no certificate, or where it is activated already and
    /// does not answer; where only renewals are wanted, a node that does not answer is an error.
    async fn request_of(
        &self,
        candidate: &Candidate,
        Wanted { was_named, new_key, renewals_only }: Wanted,
    ) -> Result<Option<HostActivationRequest>, Status> {
        let Candidate { key, node, is_activated, .. } = *candidate;
        let failed = |why: &str| Status::unavailable(format!("node {node}: {why}"));
        let only_if_needed = is_activated && !was_named;
        let request = SignActivationRequest { key_id: key.as_ref().to_vec().into(), only_if_needed, new_key };
        let bytes = match self.ask(node, request).await {
            Ok(signed) => signed.request,
            Err(_) if only_if_needed && !renewals_only => return Ok(None),
            Err(why) => return Err(failed(&why.to_string())),
        };
        if bytes.is_empty() {
            return Ok(None);
        }
        let asked = ActivationRequests::decode(&bytes).map_err(|error| failed(&error.to_string()))?;
        asked.requests.into_iter().next().map(Some).ok_or_else(|| failed("it holds no certificate signing request"))
    }

    async fn ask<Q: NodeRequest>(&self, node: NodeId, request: Q) -> Result<Q::Reply, NodeError> {
        self.0.nodes.ask(node, request, WORK_TIMEOUT).await
    }
}

/// The reason why no node of this cluster can have requested these answers; `None` where one can. Installing the
/// catalog or the key here would not make them this cluster's answers.
fn never_asked(state: &State, answers: &ActivationAnswers) -> Option<String> {
    if state.publisher(answers.publisher).is_none() {
        return Some(format!(
            "it is from publisher {}, whose catalog is not installed here",
            Fingerprint(answers.publisher)
        ));
    }
    let installed: BTreeSet<_> = state.keys().map(|installed| installed.id).collect();
    let unknown = answers.answers.iter().map(|answer| answer.certificate.key).find(|key| !installed.contains(key))?;
    Some(format!("it is for key {unknown}, which is not installed here"))
}

/// Refuses certificates that expire if the cluster's format has no such certificates. The publisher gives the same
/// answer again when the format is set.
fn refuse_ending(state: &State, answers: &ActivationAnswers) -> Result<(), Status> {
    let has_ending = answers.answers.iter().any(|answer| answer.certificate.days.is_some());
    if !has_ending || state.format().holds_ending_certificates() {
        return Ok(());
    }
    Err(Status::failed_precondition(format!(
        "the publisher's host certificates expire, and format {}, which the cluster writes, has no such certificates: \
         run `quorate cluster format set {}`, then install the answer again",
        state.format(),
        Format::NEWEST
    )))
}

fn not_signed(node: NodeId, why: &dyn std::fmt::Display) -> Status {
    Status::failed_precondition(format!(
        "node {node} did not sign the release of its activation slot: {why}; the publisher releases the slot of a node \
         that is dead or has lost its key"
    ))
}

fn foreign(why: &str) -> Status {
    Status::failed_precondition(format!(
        "this answer is for another cluster: {why}; install it on the cluster that made the request, or make a request \
         here (`quorate key activate`)"
    ))
}

/// Formats node numbers: `node 1` or `nodes 1, 2`.
fn numbered(nodes: impl IntoIterator<Item = NodeId>) -> String {
    let nodes: BTreeSet<_> = nodes.into_iter().collect();
    let word = if nodes.len() == 1 { "node" } else { "nodes" };
    format!("{word} {}", nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

fn node_and_key(node: NodeId, key: KeyId) -> proto::NodeAndKey {
    proto::NodeAndKey { node, key_id: key.to_string() }
}

/// Lists publishers by name and fingerprint, because two publishers may have the same name.
fn list_publishers(state: &State, publishers: &[PublisherId]) -> String {
    let named = publishers.iter().map(|&id| format!("{} ({})", publisher_name(state, id), Fingerprint(id)));
    named.collect::<Vec<_>>().join(", ")
}

/// Finds the publisher with this name, fingerprint or id. An empty text finds the only installed publisher.
fn find_publisher(state: &State, wanted: &str) -> Result<PublisherId, Status> {
    let by_id = wanted.parse::<Fingerprint>().ok().map(|Fingerprint(id)| id);
    let is_meant = |name: &str, id| wanted.is_empty() || by_id == Some(id) || name.eq_ignore_ascii_case(wanted);
    let installed: Vec<_> = state.publishers().map(PublisherState::id).collect();
    let meant = installed.iter().copied().filter(|&id| is_meant(&publisher_name(state, id), id));
    let meant: Vec<_> = meant.collect();
    match (meant.as_slice(), installed.as_slice()) {
        ([publisher], _) => Ok(*publisher),
        (_, []) => Err(Status::failed_precondition(
            "no catalog is installed: install that of the key's publisher first (`quorate catalog install`)",
        )),
        ([], _) => Err(Status::failed_precondition(format!(
            "no catalog of a publisher {wanted:?} is installed; catalogs are installed of {}",
            list_publishers(state, &installed)
        ))),
        ([..], _) => Err(Status::failed_precondition(format!(
            "several publishers match: name one of them, or give its fingerprint: {}",
            list_publishers(state, &meant)
        ))),
    }
}

/// The publisher whose certificates are requested: that of the key, or the one named. `None` where neither is given.
fn publisher_meant(state: &State, key: Option<KeyId>, named: &str) -> Result<Option<PublisherId>, Status> {
    let named = if named.is_empty() { None } else { Some(find_publisher(state, named)?) };
    let Some(key) = key else { return Ok(named) };
    let of_key = state.keys().find(|installed| installed.id == key).map(|installed| installed.publisher);
    let of_key = of_key.ok_or_else(|| Status::failed_precondition(format!("key {key} is not installed")))?;
    if named.is_some_and(|named| named != of_key) {
        return Err(invalid(format!("key {key} is from publisher {}", publisher_name(state, of_key))));
    }
    Ok(Some(of_key))
}

//! What another node's daemon may ask this one: how it is, what it asks of the publisher, and that it gives its place back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock, Weak},
};

use activation::{
    catalog::Name,
    host_activation::{ActivationRequests, HostActivation, HostActivationRequest},
    id::{CertificateId, Cmid, KeyId},
    state::Format,
};
use api::admin::v1::{
    self as proto, DnsSettled, DnsStanding, NodeAnswer, NodeQuestion, NodeStatus, Readiness, node_answer::Answer,
    node_question::Question,
};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures::{FutureExt, TryFutureExt, future::BoxFuture};
use prost::Message;
use replication::{ClusterView, Health, LegacyQuestions, Replica, WeakReplica};
use sha2::{Digest, Sha256};
use storage::Identity;
use tonic::Status;

use crate::{
    activations::Activations,
    credentials::{Credentials, Signers, Unusable},
    distinct::Distinct,
    dns::Dns,
    drain::{Drain, Draining},
    duplicates::Duplicates,
    examine::Machine,
    hardware::Hardware,
    limits::{LAG_ENTRIES_MAX, LOOK_TIMEOUT},
    live::Live,
    node::take_note,
};

/// Answers for this machine.
pub(crate) struct Desk {
    credentials: Arc<Credentials>,
    platform: Name,
    identity: Identity,
    hardware: Hardware,
    /// Set once the replica runs, which needs the desk to start and holds it from then on.
    replica: OnceLock<WeakReplica>,
    dns: OnceLock<Weak<Dns>>,
    draining: Draining,
    live: OnceLock<Weak<Live>>,
    drain: OnceLock<Weak<Drain>>,
    machine: OnceLock<Machine>,
    activations: OnceLock<Arc<Activations>>,
    pub(crate) duplicates: Arc<Duplicates>,
    distinct: OnceLock<Arc<Distinct>>,
}

impl Desk {
    pub(crate) fn new(credentials: Arc<Credentials>, platform: Name, identity: Identity, hardware: Hardware) -> Self {
        Self {
            credentials,
            platform,
            identity,
            hardware,
            replica: OnceLock::new(),
            dns: OnceLock::new(),
            draining: Draining::default(),
            live: OnceLock::new(),
            drain: OnceLock::new(),
            machine: OnceLock::new(),
            activations: OnceLock::new(),
            duplicates: Arc::default(),
            distinct: OnceLock::new(),
        }
    }

    pub(crate) fn set_replica(&self, replica: &Replica) {
        self.replica.get_or_init(|| replica.downgrade());
    }

    fn replica(&self) -> Result<Replica, String> {
        self.replica.get().and_then(WeakReplica::upgrade).ok_or_else(|| "this node is starting or stopping".to_owned())
    }

    /// Set once the node knows its records.
    pub(crate) fn set_dns(&self, dns: &Arc<Dns>) {
        self.dns.get_or_init(|| Arc::downgrade(dns));
    }

    /// Set once the node serves clients.
    pub(crate) fn set_live(&self, live: &Arc<Live>) {
        self.live.get_or_init(|| Arc::downgrade(live));
    }

    /// Set once the node can be drained.
    pub(crate) fn set_drain(&self, drain: &Arc<Drain>) {
        self.drain.get_or_init(|| Arc::downgrade(drain));
    }

    /// Set once the node has its certificate.
    pub(crate) fn set_machine(&self, machine: Machine) {
        self.machine.get_or_init(|| machine);
    }

    /// Set once the node notes what it answers.
    pub(crate) fn set_activations(&self, activations: &Arc<Activations>) {
        self.activations.get_or_init(|| Arc::clone(activations));
    }

    /// Set once the node notes which machines ask.
    pub(crate) fn set_distinct(&self, distinct: &Arc<Distinct>) {
        self.distinct.get_or_init(|| Arc::clone(distinct));
    }

    fn distinct(&self) -> Result<proto::DistinctAnswer, String> {
        let distinct = self.distinct.get().ok_or("this node is starting")?;
        Ok(distinct.windows(self.replica()?.wall_ms()))
    }

    async fn events(&self, filter: proto::EventsFilter) -> Result<proto::EventsPart, String> {
        let activations = self.activations.get().map(Arc::clone).ok_or("this node is starting")?;
        // It may have to wait for the disk.
        let read = tokio::task::spawn_blocking(move || activations.read(&filter)).await;
        let events = read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        Ok(proto::EventsPart { events, passed_over: Vec::new() })
    }

    fn duplicates(&self, asked: &proto::DuplicatesQuestion) -> Result<proto::DuplicatesReply, String> {
        let cmids: Result<Vec<_>, _> = asked.cmids.iter().map(|cmid| cmid.as_ref().try_into().map(Cmid)).collect();
        let mut duplicates = self.duplicates.shown(&cmids.map_err(|_| "a CMID has 16 bytes")?);
        let node = self.replica()?.identity().owner;
        duplicates.iter_mut().flat_map(|known| &mut known.machines).for_each(|machine| machine.node = node);
        Ok(proto::DuplicatesReply { duplicates, passed_over: Vec::new() })
    }

    async fn examine(&self) -> Result<proto::NodeExamined, String> {
        let machine = self.machine.get().ok_or("this node is starting")?;
        Ok(machine.examine(&self.replica()?).await)
    }

    async fn drained(&self, asked: proto::DrainRequest) -> Result<proto::DrainReply, String> {
        let drain = self.drain.get().and_then(Weak::upgrade).ok_or("this node is starting or stopping")?;
        drain.begin(asked).await.map_err(|status| status.message().to_owned())
    }

    async fn hand_over(&self, to: u64) -> Result<proto::TransferLeaderReply, String> {
        self.replica()?.transfer_leader(to).await.map_err(|error| error.to_string())?;
        Ok(proto::TransferLeaderReply { leader: to })
    }

    async fn followed(&self, index: u64) -> String {
        match self.live.get().and_then(Weak::upgrade) {
            Some(live) => live.followed(index, LOOK_TIMEOUT).await.err().unwrap_or_default(),
            None => "this node is starting or stopping".into(),
        }
    }

    /// Why this node may not answer clients; none where it may.
    pub(crate) fn unready_because(&self) -> Option<String> {
        match self.replica() {
            Ok(replica) => self.unready(&replica, &replica.cluster()),
            Err(why) => Some(why),
        }
    }

    /// Whether this node is on its way out.
    pub(crate) fn draining(&self) -> &Draining {
        &self.draining
    }

    /// Each condition of being ready, and why it is not met; nothing where it is.
    pub(crate) fn checks(&self) -> Vec<(&'static str, Option<String>)> {
        match self.replica() {
            Ok(replica) => self.conditions(&replica, &replica.cluster()).into(),
            Err(why) => vec![("state", Some(why))],
        }
    }

    fn unready(&self, replica: &Replica, cluster: &ClusterView) -> Option<String> {
        self.conditions(replica, cluster).into_iter().find_map(|(_, why)| why)
    }

    fn conditions(&self, replica: &Replica, cluster: &ClusterView) -> [(&'static str, Option<String>); 6] {
        let owner = self.identity.owner;
        let activated =
            replica.view(|state| state.publishers().any(|publisher| state.is_activated(publisher.id(), owner)));
        let unusable = self.credentials.unusable();
        let behind = cluster.last_index.saturating_sub(replica.progress().borrow().applied_index);
        let state = match replica.health() {
            Health::Failed(why) => Some(why.to_string()),
            Health::Diverged(index) => Some(format!("its state differs from the leader's since entry {index}")),
            Health::Running => None,
        };
        let unless = |is_so: bool, why: &str| (!is_so).then(|| why.to_owned());
        [
            ("state", state),
            ("in_service", unless(!self.draining.is_on(), "it is drained")),
            ("leader", unless(cluster.leader.is_some(), "no leader is known")),
            ("caught_up", (behind > LAG_ENTRIES_MAX).then(|| format!("it has yet to apply {behind} entries"))),
            ("activated", unless(activated, "not activated by any publisher")),
            ("keys", (!unusable.is_empty()).then(|| unready_because(&unusable))),
        ]
    }

    fn readiness(&self) -> Readiness {
        let dns = self.dns.get().and_then(Weak::upgrade);
        let serves_zone = dns.and_then(|dns| dns.served_zone()).unwrap_or_default();
        Readiness { ready: self.unready_because().is_none(), serves_zone }
    }

    async fn settle_dns(&self) -> DnsSettled {
        match self.dns.get().and_then(Weak::upgrade) {
            Some(dns) => dns.settle_now().await,
            None => DnsSettled {
                node: self.identity.owner,
                passed_over: "it has no name in DNS: set dns.target in its configuration".into(),
                domains: Vec::new(),
            },
        }
    }

    fn status(&self) -> Result<NodeStatus, String> {
        let replica = self.replica()?;
        let cluster = replica.cluster();
        let (state_hash_index, state_hash) = replica.state_hash();
        let unusable = self.credentials.unusable();
        let not_ready_because = self.unready(&replica, &cluster).unwrap_or_default();
        Ok(NodeStatus {
            node: self.identity.owner,
            reachable: true,
            ready: not_ready_because.is_empty(),
            not_ready_because,
            applied_index: state_hash_index,
            last_index: cluster.last_index,
            state_hash: HEXLOWER.encode(&state_hash),
            state_hash_index,
            version: env!("CARGO_PKG_VERSION").into(),
            store_bytes: replica.store_bytes(),
            store: self.identity.store.to_string(),
            wall_ms: replica.wall_ms(),
            draining: self.draining.is_on(),
            term: cluster.term,
            groups: groups(&replica),
            dns: self.dns_standing(&replica),
            newest_format: Format::newest().number(),
            stored_format: replica.stored_format().number(),
            clients_port: self.live.get().and_then(Weak::upgrade).map_or(0, |live| live.address().port().into()),
            unusable_keys: unusable.into_iter().map(unusable_key).collect(),
            // What the membership says, and the comparison of clocks, is for the node that asks to fill in.
            ..NodeStatus::default()
        })
    }

    /// What became of the node's records, in a word; or the last error.
    fn dns_standing(&self, replica: &Replica) -> String {
        let Some(dns) = self.dns.get().and_then(Weak::upgrade) else { return "none".into() };
        let standing = dns.own_standing();
        let failed = standing.domains.iter().find(|domain| !domain.last_error.is_empty());
        match failed {
            Some(domain) => format!("{}: {}", domain.domain, domain.last_error),
            None if standing.domains.is_empty() && dns.served_zone().is_none() => "none".into(),
            None if self.draining.is_on() || !replica.view(|state| state.settings().dns_publish) => "withdrawn".into(),
            None => "published".into(),
        }
    }

    /// What was just installed through another node is to be known here, too.
    async fn catch_up(&self) -> Result<(), String> {
        self.replica()?.read_point().await.map(drop).map_err(|error| error.to_string())
    }

    fn activation_request(&self, asked: &proto::ActivationQuestion) -> Result<Bytes, String> {
        let key_id = KeyId::try_from(asked.key_id.as_ref()).map_err(|error| error.to_string())?;
        let replica = self.replica()?;
        let (key, current) = replica
            .view(|state| {
                let installed = state.keys().find(|installed| installed.id == key_id)?;
                let own = installed.activations.get(&self.identity.owner);
                Some((*installed.key, own.map(|activation| activation.certificate.id())))
            })
            .ok_or_else(|| format!("key {key_id} is not installed on this node yet"))?;
        take_note(&replica, &self.credentials);
        if asked.only_if_needed && !self.credentials.is_in_need(key_id) {
            return Ok(Bytes::new());
        }
        let signers = self.credentials.signers(key_id).map_err(|error| format!("no private key: {error}"))?;
        let mut asked = HostActivation {
            request_id: [0; 16],
            node: self.identity.owner,
            key,
            platform: self.platform.clone(),
            machine: self.hardware.digest(self.identity.store),
        };
        asked.request_id = request_id(&asked, &signers, current);
        let requests = vec![HostActivationRequest::sign(asked, &signers.key, signers.previous.as_ref())];
        Ok(ActivationRequests { requests, releases: Vec::new() }.encode().into())
    }

    fn release(&self, asked: &proto::ReleaseQuestion) -> Result<Bytes, String> {
        let key_id = KeyId::try_from(asked.key_id.as_ref()).map_err(|error| error.to_string())?;
        let replica = self.replica()?;
        take_note(&replica, &self.credentials);
        let installed = replica.view(|state| {
            let installed = state.keys().find(|installed| installed.id == key_id)?;
            Some(installed.publisher)
        });
        let publisher = installed.ok_or_else(|| format!("key {key_id} is not installed on this node yet"))?;
        let statement = self.credentials.release(publisher, key_id).map_err(|error| error.to_string())?;
        Ok(statement.encode().into())
    }
}

/// The product groups for which this node is activated.
fn groups(replica: &Replica) -> Vec<String> {
    let node = replica.identity().owner;
    replica.view(|state| {
        let certified = state.keys().filter_map(|key| {
            let certificate = &key.activations.get(&node)?.certificate;
            Some(state.publisher(key.publisher)?.catalog().group(certificate.group)?.name.to_string())
        });
        certified.collect()
    })
}

fn unready_because(unusable: &BTreeMap<KeyId, Unusable>) -> String {
    let why: BTreeSet<_> = unusable.values().map(|why| why.words()).collect();
    let keys: Vec<_> = unusable.keys().map(ToString::to_string).collect();
    let why = why.into_iter().collect::<Vec<_>>().join(", and ");
    format!("{why}: activate again (`quorate key activate`), key {}", keys.join(", "))
}

fn unusable_key((key_id, why): (KeyId, Unusable)) -> proto::UnusableKey {
    let state = match why {
        Unusable::MachineChanged => "changed",
        Unusable::KeyLost => "lost",
    };
    proto::UnusableKey { key_id: key_id.to_string(), state: state.into() }
}

/// The same until the answer is installed: a request that is made again, because the answer was lost on its way, spends
/// nothing twice. Whatever the node asks differently is another request.
fn request_id(asked: &HostActivation, signers: &Signers, current: Option<CertificateId>) -> [u8; 16] {
    let mut digest = Sha256::new();
    digest.update(b"quorate/request/2");
    digest.update(signers.key.verifying_key().as_bytes());
    digest.update(signers.previous.as_ref().map_or([0; 32], |key| key.verifying_key().to_bytes()));
    digest.update(asked.machine);
    digest.update(asked.node.to_be_bytes());
    digest.update(asked.platform.as_str());
    digest.update([0]);
    digest.update(current.as_ref().map_or(&[][..], AsRef::as_ref));
    let mut id = [0; 16];
    id.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
    id
}

impl LegacyQuestions for Desk {
    fn answer(&self, question: Bytes) -> BoxFuture<'_, Result<Bytes, Status>> {
        let answer = async move {
            let question = NodeQuestion::decode(question).map_err(|error| error.to_string())?;
            let answer = match question.question.ok_or("the question is empty, or a newer one than this node knows")? {
                Question::Status(proto::StatusQuestion {}) => Answer::Status(self.status()?),
                Question::Activation(asked) => {
                    self.catch_up().await?;
                    Answer::ActivationRequest(self.activation_request(&asked)?)
                }
                Question::Release(asked) => {
                    self.catch_up().await?;
                    Answer::Release(self.release(&asked)?)
                }
                Question::DnsSettle(proto::DnsSettleQuestion {}) => Answer::DnsSettled(self.settle_dns().await),
                Question::DnsStanding(proto::DnsStandingQuestion {}) => {
                    let dns = self.dns.get().and_then(Weak::upgrade);
                    Answer::DnsStanding(dns.map_or_else(DnsStanding::default, |dns| dns.own_standing()))
                }
                Question::Follow(asked) => {
                    Answer::Followed(proto::Followed { problem: self.followed(asked.log_index).await })
                }
                Question::Readiness(proto::ReadinessQuestion {}) => Answer::Readiness(self.readiness()),
                Question::Drain(asked) => Answer::Drained(self.drained(asked).await?),
                Question::TransferLeader(asked) => Answer::Transferred(self.hand_over(asked.to).await?),
                Question::Events(filter) => Answer::Events(self.events(filter).await?),
                Question::Distinct(proto::DistinctQuestion {}) => Answer::Distinct(self.distinct()?),
                Question::Duplicates(asked) => Answer::Duplicates(self.duplicates(&asked)?),
                Question::Examine(proto::ExamineRequest {}) => Answer::Examined(self.examine().await?),
            };
            Ok(NodeAnswer { answer: Some(answer) }.encode_to_vec().into())
        };
        answer.map_err(|why: String| Status::failed_precondition(why)).boxed()
    }
}

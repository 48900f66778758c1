//! The node service: the calls of other members' daemons, or of this node's own, to this node.

use std::{sync::Arc, time::Duration};

use activation::{
    id::{Cmid, KeyId},
    settings::ElectionProfile,
};
use admin::wire::TextEnum;
use api::{
    admin::v1::{
        self as proto, DnsSettled, DrainReply, DrainRequest, DuplicatesReply, EventsFilter, EventsPart, ExamineRequest,
        MachineReport, MemberProgress, NodeActivationState, NodeDnsState, NodeState, NodeStatus, RoundTrip,
        TransferLeaderReply, TransferLeaderRequest, UnusableKey,
    },
    node::v1::{
        CertifyReply, CertifyRequest, DistinctMachinesReply, DistinctMachinesRequest, DnsPublicationsReply,
        DnsPublicationsRequest, DuplicatesRequest, FollowSettingsReply, FollowSettingsRequest, GatewayReportRequest,
        HoldAuthorityReply, HoldAuthorityRequest, ReadinessReply, ReadinessRequest, SettleDnsRequest,
        SignActivationReply, SignActivationRequest, SignReleaseReply, SignReleaseRequest, StatusRequest,
        node_server::Node,
    },
};
use data_encoding::HEXLOWER;
use replication::{ClusterView, Health, Replica};
use tonic::{Request, Response, Status};

use super::signing::Signer;
use crate::{
    credentials::{Unusable, identity::Source, issuing},
    diagnosis::machine_probe::MachineProbe,
    dns::Dns,
    forwarding::Forwarding,
    lifecycle::{
        drain::Drain,
        live_settings::Live,
        readiness::{Readiness, quarantined_because},
    },
    limits::LOOK_TIMEOUT,
    records::{activations::Activations, distinct::Distinct, duplicates::Duplicates, new_cmids::NewCmids},
    tasks::{self, HostTask},
};

/// The parts of a node that answer these calls.
pub(crate) struct Parts {
    pub(crate) replica: Replica,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) signer: Signer,
    pub(crate) live: Arc<Live>,
    /// `None` where the node has no name in DNS.
    pub(crate) dns: Option<Arc<Dns>>,
    pub(crate) drain: Arc<Drain>,
    pub(crate) machine_probe: MachineProbe,
    pub(crate) activations: Arc<Activations>,
    pub(crate) new_cmids: Arc<NewCmids>,
    pub(crate) duplicates: Arc<Duplicates>,
    pub(crate) distinct: Arc<Distinct>,
    pub(crate) forwarding: Arc<Forwarding>,
    /// The source of this node's certificate.
    pub(crate) source: Source,
}

/// Answers the calls to this node.
#[derive(Clone)]
pub(crate) struct NodeService(Arc<Parts>);

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Node for NodeService {
    async fn status(&self, _: Request<StatusRequest>) -> Reply<NodeStatus> {
        Ok(Response::new(self.node_status()))
    }

    async fn readiness(&self, _: Request<ReadinessRequest>) -> Reply<ReadinessReply> {
        let serves_zone = self.0.dns.as_ref().and_then(|dns| dns.served_zone()).unwrap_or_default();
        Ok(Response::new(ReadinessReply { ready: self.0.readiness.unready_because().is_none(), serves_zone }))
    }

    async fn sign_activation(&self, request: Request<SignActivationRequest>) -> Reply<SignActivationReply> {
        let request = self.0.signer.activation(request.get_ref()).await?;
        Ok(Response::new(SignActivationReply { request }))
    }

    async fn sign_release(&self, request: Request<SignReleaseRequest>) -> Reply<SignReleaseReply> {
        let statement = self.0.signer.release(request.get_ref()).await?;
        Ok(Response::new(SignReleaseReply { statement }))
    }

    async fn settle_dns(&self, _: Request<SettleDnsRequest>) -> Reply<DnsSettled> {
        Ok(Response::new(match &self.0.dns {
            Some(dns) => dns.settle_now().await,
            None => DnsSettled {
                node: self.node(),
                passed_over: "it has no name in DNS: set dns.target in its configuration".into(),
                domains: Vec::new(),
            },
        }))
    }

    async fn dns_publications(&self, _: Request<DnsPublicationsRequest>) -> Reply<DnsPublicationsReply> {
        let dns = self.0.dns.as_ref();
        Ok(Response::new(dns.map_or_else(DnsPublicationsReply::default, |dns| dns.own_publications())))
    }

    async fn follow_settings(&self, request: Request<FollowSettingsRequest>) -> Reply<FollowSettingsReply> {
        let followed = self.0.live.followed(request.get_ref().log_index, LOOK_TIMEOUT).await;
        let problem = followed.err().map(|problem| problem.to_string()).unwrap_or_default();
        Ok(Response::new(FollowSettingsReply { problem }))
    }

    async fn drain(&self, request: Request<DrainRequest>) -> Reply<DrainReply> {
        self.0.drain.begin(request.into_inner()).await.map(Response::new)
    }

    async fn gateway_report(&self, _: Request<GatewayReportRequest>) -> Reply<proto::GatewayNode> {
        Ok(Response::new(self.0.forwarding.report()))
    }

    async fn transfer_leader(&self, request: Request<TransferLeaderRequest>) -> Reply<TransferLeaderReply> {
        let to = request.get_ref().to;
        self.0.replica.transfer_leader(to).await.map_err(|error| Status::failed_precondition(error.to_string()))?;
        Ok(Response::new(TransferLeaderReply { leader: to }))
    }

    async fn examine(&self, _: Request<ExamineRequest>) -> Reply<MachineReport> {
        Ok(Response::new(self.0.machine_probe.run(&self.0.replica).await))
    }

    async fn events(&self, request: Request<EventsFilter>) -> Reply<EventsPart> {
        let (activations, filter) = (Arc::clone(&self.0.activations), request.into_inner());
        // Blocking, because reading may wait for the disk.
        let read = tasks::blocking(HostTask::ActivationLogRead, move || activations.read(&filter)).await;
        let events = read
            .map_err(|error| Status::internal(error.to_string()))?
            .map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(EventsPart { events, passed_over: Vec::new() }))
    }

    async fn duplicates(&self, request: Request<DuplicatesRequest>) -> Reply<DuplicatesReply> {
        let cmids: Result<Vec<_>, _> =
            request.get_ref().cmids.iter().map(|cmid| cmid.as_ref().try_into().map(Cmid)).collect();
        let cmids = cmids.map_err(|_| Status::invalid_argument("a CMID has 16 bytes"))?;
        let mut duplicates = self.0.duplicates.shown(&cmids);
        let node = self.node();
        duplicates.iter_mut().flat_map(|known| &mut known.machines).for_each(|machine| machine.node = node);
        Ok(Response::new(DuplicatesReply { duplicates, passed_over: Vec::new() }))
    }

    async fn certify(&self, request: Request<CertifyRequest>) -> Reply<CertifyReply> {
        let source = self.0.source.clone();
        let certified =
            tasks::blocking(HostTask::CertificateLoad, move || issuing::here(&source, request.get_ref())).await;
        let certificate = certified.map_err(|error| Status::internal(error.to_string()))??;
        Ok(Response::new(CertifyReply { certificate }))
    }

    async fn hold_authority(&self, request: Request<HoldAuthorityRequest>) -> Reply<HoldAuthorityReply> {
        let source = self.0.source.clone();
        let held =
            tasks::blocking(HostTask::CertificateLoad, move || source.hold_authority(&request.get_ref().key)).await;
        held.map_err(|error| Status::internal(error.to_string()))?
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        tracing::info!("this node is a voter, and holds the authority's key from now on");
        Ok(Response::new(HoldAuthorityReply {}))
    }

    async fn distinct_machines(&self, _: Request<DistinctMachinesRequest>) -> Reply<DistinctMachinesReply> {
        Ok(Response::new(self.0.distinct.windows(self.0.replica.wall_ms())))
    }
}

impl NodeService {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    fn node(&self) -> u64 {
        self.0.replica.identity().owner
    }

    fn node_status(&self) -> NodeStatus {
        let Parts { replica, readiness, signer, live, new_cmids, .. } = &*self.0;
        let new_cmids = new_cmids.rates();
        let identity = replica.identity();
        let cluster = replica.cluster();
        let (state_hash_index, state_hash) = replica.state_hash();
        let not_ready_because = readiness.unready_in(&cluster).unwrap_or_default();
        let (dns, dns_error) = self.dns_state();
        NodeStatus {
            node: identity.owner,
            reachable: true,
            ready: not_ready_because.is_empty(),
            not_ready_because,
            applied_index: state_hash_index,
            last_index: cluster.last_index,
            state_hash: HEXLOWER.encode(&state_hash),
            state_hash_index,
            version: env!("CARGO_PKG_VERSION").into(),
            store_bytes: replica.store_bytes().unwrap_or(0),
            store: identity.store.to_string(),
            wall_ms: replica.wall_ms(),
            draining: readiness.draining().is_on(),
            term: cluster.term,
            groups: groups(replica),
            dns_text: if dns == NodeDnsState::Failed { dns_error.clone() } else { dns.text().into() },
            dns: dns.into(),
            dns_error,
            newest_format: replica.newest_format().number(),
            stored_format: replica.stored_format().number(),
            clients_port: live.address().port().into(),
            generation: replica.generation(),
            quarantined_because: quarantined_because(replica).unwrap_or_default(),
            unusable_keys: signer.credentials.unusable().into_iter().map(unusable_key).collect(),
            state: own_state(replica, readiness).into(),
            progress: progress(replica, &cluster),
            round_trips: replica.round_trips().into_iter().map(round_trip).collect(),
            round_trip_max_us: microseconds(replica.round_trip_max()),
            election_profile: election_profile(replica).into(),
            holds_authority: self.0.source.holds_authority(),
            new_cmids_last_hour: Some(new_cmids.last_hour),
            new_cmids_usual: Some(new_cmids.usual),
            // The caller fills in the role, the address and the comparison of clocks.
            ..NodeStatus::default()
        }
    }

    /// The state of the node's DNS records, and the last error where publishing failed.
    fn dns_state(&self) -> (NodeDnsState, String) {
        let Some(dns) = &self.0.dns else { return (NodeDnsState::None, String::new()) };
        let publications = dns.own_publications();
        let failed = publications.domains.iter().find(|domain| !domain.last_error.is_empty());
        let is_withdrawn =
            || self.0.readiness.draining().is_on() || !self.0.replica.view(|state| state.settings().dns_publish);
        let state = match failed {
            Some(domain) => {
                return (NodeDnsState::Failed, format!("{}: {}", domain.domain, domain.last_error));
            }
            None if publications.domains.is_empty() && dns.served_zone().is_none() => NodeDnsState::None,
            None if is_withdrawn() => NodeDnsState::Withdrawn,
            None => NodeDnsState::Published,
        };
        (state, String::new())
    }
}

/// The node's own view of its state; only the leader can tell whether the node lags.
fn own_state(replica: &Replica, readiness: &Readiness) -> NodeState {
    match replica.health() {
        Health::Failed(_) => NodeState::Stopped,
        Health::Diverged(_) => NodeState::Diverged,
        Health::Quarantined(_) => NodeState::Quarantined,
        Health::Running if readiness.draining().is_on() => NodeState::Draining,
        Health::Running => NodeState::Ok,
    }
}

fn election_profile(replica: &Replica) -> proto::ElectionProfile {
    match replica.election_profile() {
        ElectionProfile::Near => proto::ElectionProfile::Near,
        ElectionProfile::Far => proto::ElectionProfile::Far,
    }
}

fn round_trip((node, took): (u64, Duration)) -> RoundTrip {
    RoundTrip { node, microseconds: microseconds(took) }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The progress of the other members where this node is the leader; otherwise empty.
fn progress(replica: &Replica, cluster: &ClusterView) -> Vec<MemberProgress> {
    if cluster.leader != Some(cluster.node) {
        return Vec::new();
    }
    let followers = replica.followers().into_iter();
    let progress = followers.map(|(node, follower)| MemberProgress {
        node,
        match_index: follower.match_index,
        lags: follower.lags,
        leaving: follower.is_leaving,
    });
    progress.collect()
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

fn unusable_key((key_id, why): (KeyId, Unusable)) -> UnusableKey {
    let state = match why {
        Unusable::MachineChanged => NodeActivationState::Changed,
        Unusable::KeyLost => NodeActivationState::Lost,
    };
    UnusableKey { key_id: key_id.to_string(), state: state.into(), state_text: state.text().into() }
}

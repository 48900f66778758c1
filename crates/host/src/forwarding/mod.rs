//! The gateway in the daemon (G1 to G12): associations of other interfaces than ours go from port 1688 to the upstream
//! hosts of the cluster's settings.
//!
//! The crate `gateway` forwards, probes and decides; this module gives it the settings of the state, carries the nodes'
//! reports to the leader, and has the leader's choice replicated.

mod keep;
mod observer;
mod settings;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use activation::{message::INTERFACE_UUID, settings::Forward};
use api::{
    admin::v1::{self as proto, UpstreamState},
    node::v1::DistinctMachinesReply,
};
use discovery::Finder;
use gateway::{Accepted, Admission, DnsNames, Environment, FirstBytes, Gateway, LoopKey, Route, State, Timeouts};
use replication::Replica;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use transport::Network;
use uuid::Uuid;

use self::observer::Observed;
pub(crate) use self::{keep::keep, settings::check_changes};
use crate::{
    config::Config,
    http::metrics::Metrics,
    records::distinct::{self, Distinct},
};

/// Where the first bytes of a connection lead.
pub(crate) enum Whose {
    /// The bind is not complete.
    Undecided,
    /// The node's own protocol engine answers.
    Ours,
    /// To an upstream.
    Forwarded(Route, gateway::FirstBind),
    /// The connection is closed.
    Closed,
}

/// This node's gateway. Without upstreams it changes nothing.
pub(crate) struct Forwarding {
    gateway: Gateway,
    replica: Replica,
    /// Addresses of the members' ports for clients.
    members: Arc<RwLock<BTreeSet<SocketAddr>>>,
    allow: Option<Vec<Network>>,
    timeouts: Timeouts,
    /// Sketches of the clients' addresses (G10).
    clients: Arc<Distinct>,
    /// The settings that are in force.
    mapped: Mutex<gateway::Settings>,
    /// Why the settings of the state cannot be used; `None` where they are in force.
    unusable: Mutex<Option<String>>,
    /// What is forwarded; `None`: there are no upstreams.
    forward: watch::Sender<Option<Forward>>,
}

impl Forwarding {
    /// `authority`: the certificate of the cluster's authority, in PEM.
    pub(crate) fn new(
        config: &Config,
        replica: &Replica,
        metrics: &Arc<Metrics>,
        (authority, seed): (&[u8], u64),
    ) -> Self {
        let members = Arc::<RwLock<BTreeSet<SocketAddr>>>::default();
        let known = Arc::clone(&members);
        let clients = Arc::new(Distinct::open(&config.data.join("gateway")));
        let timeouts = Timeouts {
            idle: Duration::from_secs(config.clients.idle_timeout_s),
            pdu: Duration::from_secs(config.clients.pdu_timeout_s),
            ..Timeouts::default()
        };
        let environment = Environment {
            names: Arc::new(DnsNames::new(finder(config))),
            observer: Arc::new(Observed::new(Arc::clone(metrics), Arc::clone(&clients), replica.clone())),
            is_member: Arc::new(move |address| known.read().unwrap_or_else(PoisonError::into_inner).contains(&address)),
            loop_key: loop_key(authority),
            seed,
        };
        Self {
            gateway: Gateway::new(gateway::Settings::default(), environment),
            replica: replica.clone(),
            members,
            clients,
            allow: (!config.gateway.allow.is_empty()).then(|| config.gateway.allow.clone()),
            timeouts,
            mapped: Mutex::default(),
            unusable: Mutex::default(),
            forward: watch::Sender::new(None),
        }
    }

    /// Probes upstreams, follows their names and serves mirrors until the node stops.
    pub(crate) async fn run(self: Arc<Self>, stopping: watch::Receiver<bool>) {
        self.gateway.run(stopping).await;
    }

    /// Whether there are upstreams: only then the first bind of a connection decides whose it is.
    pub(crate) fn is_on(&self) -> bool {
        self.forward.borrow().is_some()
    }

    /// Why the gateway cannot be used: no upstream is healthy. `None` where one is.
    pub(crate) fn unready_because(&self) -> Option<String> {
        let status = self.gateway.status();
        if status.is_ready() {
            return None;
        }
        let failing = status.upstreams.iter().map(|upstream| match upstream.why {
            Some(why) => format!("{}: {why}", upstream.id.address),
            None => format!("{}: {}", upstream.id.address, upstream.state),
        });
        Some(format!("no upstream is healthy ({})", failing.collect::<Vec<_>>().join(", ")))
    }

    /// Decides by all bytes that a connection of `client` has sent until now.
    pub(crate) fn whose(&self, received: &[u8], client: IpAddr) -> Whose {
        let Some(forward) = *self.forward.borrow() else { return Whose::Ours };
        let bind = match FirstBytes::read(received) {
            FirstBytes::Incomplete => return Whose::Undecided,
            FirstBytes::NoBind => return Whose::Ours,
            FirstBytes::Bind(bind) => bind,
        };
        if forward == Forward::Foreign && bind.names(Uuid::from_u128(INTERFACE_UUID)) {
            return Whose::Ours;
        }
        match self.gateway.admit(&bind, client) {
            Admission::Forward(route) => Whose::Forwarded(route, bind),
            Admission::NoGroup => Whose::Ours,
            Admission::NotAllowed | Admission::Loop(_) => Whose::Closed,
        }
    }

    /// Forwards an association until it ends.
    pub(crate) async fn forward(&self, route: Route, accepted: Accepted, stopping: watch::Receiver<bool>) {
        let _told_to_the_observer = self.gateway.forward(route, accepted, stopping).await;
    }

    /// What this node's gateway does, with its status of each upstream.
    pub(crate) fn status(&self) -> gateway::Status {
        self.gateway.status()
    }

    /// This node's part of `quorate gateway status`.
    pub(crate) fn report(&self) -> proto::GatewayNode {
        let status = self.gateway.status();
        let groups = status.groups.into_iter().map(|(name, preferred, mirror)| proto::GatewayGroup {
            name: name.to_string(),
            preferred: preferred.map(|address| address.to_string()).unwrap_or_default(),
            mirror,
        });
        let upstreams = status.upstreams.into_iter().map(|upstream| proto::GatewayUpstream {
            group: upstream.id.group.to_string(),
            address: upstream.id.address.to_string(),
            priority: upstream.target.rank.priority().into(),
            weight: upstream.target.rank.weight().into(),
            state: state_out(upstream.state).into(),
            in_state_ms: whole_ms(upstream.in_state_for),
            why: upstream.why.map(|why| why.to_string()).unwrap_or_default(),
            open: upstream.counts.open,
            associations: upstream.counts.associations,
            failures: upstream.counts.failures,
            mirrored: upstream.counts.mirrored,
            mirror_dropped: upstream.counts.mirror_dropped,
            bind_us: upstream.last_bind.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
        });
        proto::GatewayNode {
            node: self.replica.identity().owner,
            groups: groups.collect(),
            upstreams: upstreams.collect(),
            last_request_ago_ms: status.last_request.map(whole_ms),
            client_windows: self.clients.windows(self.replica.wall_ms()).windows,
        }
    }
}

/// The DNS servers of the node's configuration, else the system's.
fn finder(config: &Config) -> Finder {
    Finder::with_servers(&config.dns.resolvers, Vec::new()).unwrap_or_else(|_none| Finder::system())
}

/// Takes the sketches out of the nodes' reports; returns the estimated number of distinct clients over all of them, for
/// each of [`crate::records::distinct::DISTINCT_DAYS`].
pub(crate) fn take_clients(nodes: &mut [proto::GatewayNode]) -> Vec<f64> {
    let windows =
        nodes.iter_mut().map(|node| DistinctMachinesReply { windows: std::mem::take(&mut node.client_windows) });
    distinct::merged(windows.collect::<Vec<_>>().into_iter()).into()
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn state_out(state: State) -> UpstreamState {
    match state {
        State::Unknown => UpstreamState::Unknown,
        State::Healthy => UpstreamState::Healthy,
        State::Failing => UpstreamState::Failing,
        State::Drained => UpstreamState::Drained,
    }
}

fn state_in(state: UpstreamState) -> State {
    match state {
        UpstreamState::Unspecified | UpstreamState::Unknown => State::Unknown,
        UpstreamState::Healthy => State::Healthy,
        UpstreamState::Failing => State::Failing,
        UpstreamState::Drained => State::Drained,
    }
}

/// The same on every node of a cluster: a digest of its authority's certificate.
fn loop_key(authority: &[u8]) -> LoopKey {
    let digest = Sha256::new().chain_update(b"gateway loop key").chain_update(authority).finalize();
    let mut key = [0; 16];
    key.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    LoopKey(key)
}

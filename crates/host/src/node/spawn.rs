//! Starts the parts of a node, each after the parts that it needs.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use replication::{Environment, Observer, RaftSettings, Replica};
use storage::{Disk, SledDisk, Store};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::{JoinHandle, JoinSet},
};
use transport::Connections;

use super::{
    error::StartError,
    invariants::InvariantChecks,
    listen::Listeners,
    open::{Data, Identity},
    timing::Timing,
};
use crate::{
    admin_service::{self, JoiningService},
    client_port::{answer::Answerer, decider::Decider, server as client_server},
    config::Config,
    credentials::{
        follow::{follow_certificates, take_note},
        identity::Source,
        issuing::Issuer,
        registered::Registered,
    },
    diagnosis::machine_probe::MachineProbe,
    dns,
    environment::connect_over_tls,
    forwarding::{self, Forwarding},
    http::{
        console::Console,
        metrics::{Metrics, Watched},
        server as http_server,
    },
    lifecycle::{
        authority_key,
        drain::Drain,
        draining::Draining,
        joining,
        live_settings::{self, Live},
        ports::Ports,
        readiness::Readiness,
        registration::Registrar,
    },
    peers::{
        in_process,
        node_client::NodeClient,
        node_service::{self, NodeService},
        server as peer_server,
        signing::Signer,
    },
    records::{
        activations::Activations,
        cluster_life,
        distinct::{self, Distinct},
        duplicates::Duplicates,
        log_limit,
        new_cmids::NewCmids,
    },
    tasks::{self, HostTask},
    test_hooks,
};

/// The parts of a node that its handle keeps.
pub(super) struct Started {
    pub(super) nodes: NodeClient,
    pub(super) draining: Arc<Draining>,
    pub(super) answerer: Answerer,
    pub(super) registered: Arc<Registered>,
    pub(super) live: Arc<Live>,
    pub(super) ports: Ports,
    /// Makes the node read its certificate again.
    pub(super) reread: Arc<Notify>,
    pub(super) http_address: Option<SocketAddr>,
    pub(super) stopping: watch::Sender<bool>,
    pub(super) serving: JoinHandle<()>,
    pub(super) background: JoinSet<()>,
}

/// Starts all parts of a node.
pub(super) async fn start(
    (config, check_invariants): (&Config, bool),
    identity: Identity,
    listeners: Listeners,
    data: Data,
    timing: Timing,
) -> Result<Started, StartError> {
    let mut background = JoinSet::new();
    let Listeners { clients, peers, admin, http, dns: dns_sockets } = listeners;
    let Identity { platform, source, shown } = identity;
    let Data { hardware, credentials, dns, dns_ledger, seed, boot, store, snapshots } = data;
    let metrics = Arc::new(Metrics::default());
    let connect = connect_over_tls(Arc::clone(&shown));
    let observer = observer(&metrics, check_invariants);
    let disk = open_disk(store, &snapshots, &config.raft_settings(), Arc::clone(&observer))?;
    let mut environment = Environment::new(timing.clock, connect, (seed, boot), observer);
    environment.tasks = tasks::of_replica();
    environment.computations = tasks::computations();
    environment.newest_format = test_hooks::newest_format();
    let replica = Replica::start_at_pace(disk, &config.raft_settings(), environment, timing.pace).await?;
    take_note(&replica, &credentials);
    let (own, in_process) = in_process::pair();
    let nodes = NodeClient::new(replica.clone(), own);
    let draining = Arc::new(Draining::default());
    let authority = authority(config, &source)?;
    let forwarding = Arc::new(Forwarding::new(config, &replica, &metrics, (&authority, seed)));
    let with_gateway = Some(Arc::clone(&forwarding));
    let readiness = Readiness::new(replica.clone(), Arc::clone(&credentials), Arc::clone(&draining), with_gateway);
    let readiness = Arc::new(readiness);
    let (registered, unknown_nodes) = Registered::new(replica.clone(), source.is_organisations(), Arc::clone(&shown));
    let registered = Arc::new(registered);
    let registrar = Registrar {
        nodes: nodes.clone(),
        registered: Arc::clone(&registered),
        shown: Arc::clone(&shown),
        source: source.clone(),
    };
    let issuer = Issuer { source: source.clone(), nodes: nodes.clone() };
    let ports = Ports::new(config);
    let address = clients.local_addr().unwrap_or(config.clients.listen);
    let (live, listeners) = Live::new(config, address, ports.clients.clone());
    let live = Arc::new(live);
    let answerer = answerer(config, &replica, &credentials, &metrics)?;
    let (stopping, stop) = watch::channel(false);
    let at_clients = ports.clients.clone();
    let parts = (answerer.clone(), Arc::clone(&forwarding));
    let serving = serve_clients(config, (clients, listeners), at_clients, parts, stop.clone());
    let dns = dns.map(|own| {
        let parts = (own, dns_ledger, dns_sockets, live.addresses());
        dns::start(parts, nodes.clone(), Arc::clone(&readiness), seed, &mut background)
    });
    let wait = Duration::from_secs(config.drain.wait_s);
    let drain = Arc::new(Drain::new(nodes.clone(), Arc::clone(&draining), dns.clone(), wait));
    let service = NodeService::new(node_service::Parts {
        replica: replica.clone(),
        readiness: Arc::clone(&readiness),
        signer: Signer { replica: replica.clone(), credentials: Arc::clone(&credentials), platform, hardware },
        live: Arc::clone(&live),
        dns: dns.clone(),
        drain: Arc::clone(&drain),
        machine_probe: MachineProbe {
            data: config.data.clone(),
            certificate: Arc::clone(&shown),
            clients_wanted: config.clients.connections_max,
            clients_max: ports.clients_max,
        },
        activations: Arc::clone(&answerer.activations),
        new_cmids: Arc::clone(&answerer.decider.new_cmids),
        duplicates: Arc::clone(&answerer.duplicates),
        distinct: Arc::clone(&answerer.distinct),
        forwarding: Arc::clone(&forwarding),
        source: source.clone(),
    });
    let at_peers = (peers, Arc::clone(&shown), ports.admission_of_peers(&registered));
    let services = (service, JoiningService::new(registrar.clone()));
    let peer_port = peer_server::serve(at_peers, in_process, replica.clone(), services, Arc::clone(&registered));
    tasks::spawn(&mut background, HostTask::PeerPort, peer_port);
    let watched = Watched {
        metrics: Arc::clone(&metrics),
        replica: replica.clone(),
        nodes: nodes.clone(),
        readiness,
        duplicates: Arc::clone(&answerer.duplicates),
        dns: dns.clone(),
        distinct: Arc::clone(&answerer.distinct),
        shown: Arc::clone(&shown),
        ports: ports.clone(),
        forwarding: Arc::clone(&forwarding),
        data: config.data.clone(),
        snapshot: snapshots.join(replication::SNAPSHOT_FILE),
    };
    let http_address = http.as_ref().and_then(|listener| listener.local_addr().ok());
    let console =
        http.map(|listener| serve_http((config, Arc::clone(&registered)), listener, watched, &mut background));
    let mut spawn = |task, work: BoxFuture<'static, ()>| tasks::spawn(&mut background, task, work);
    let reread = Arc::new(Notify::new());
    let looks_again = Arc::clone(&registered);
    let changed = move || looks_again.changed();
    let follow = source.clone().follow((Arc::clone(&shown), changed), issuer.clone(), Arc::clone(&reread));
    spawn(HostTask::CertificateRenewal, follow.boxed());
    spawn(HostTask::KeyRegistry, registrar.clone().keep(unknown_nodes).boxed());
    spawn(HostTask::AuthorityKey, authority_key::hand_over(source, nodes.clone()).boxed());
    let joining = joining::join(config.data.clone(), replica.clone(), Arc::clone(&shown));
    spawn(HostTask::Joining, joining.boxed());
    spawn(HostTask::NodeKeys, follow_certificates(replica.clone(), credentials).boxed());
    spawn(HostTask::LiveSettings, live_settings::follow(Arc::clone(&live), replica.clone()).boxed());
    spawn(HostTask::DistinctMachines, distinct::follow(Arc::clone(&answerer.distinct), nodes.clone()).boxed());
    spawn(HostTask::LogLimit, log_limit::report().boxed());
    spawn(HostTask::GatewayUpkeep, forwarding.clone().run(stop).boxed());
    spawn(HostTask::GatewayChoice, forwarding::keep(forwarding, nodes.clone()).boxed());
    spawn(HostTask::ClusterLife, cluster_life::report(replica.clone()).boxed());
    let refused_enrolments = metrics.refused_enrolments();
    spawn(HostTask::LeaderChanges, count_leader_changes(replica, metrics).boxed());
    let parts =
        admin_service::Parts { nodes: nodes.clone(), dns, drain, console, issuer, refused_enrolments, registrar };
    let remote = admin.map(|listener| (listener, shown, ports.admission_of_administrators(&registered)));
    tasks::spawn(&mut background, HostTask::AdminPort, admin_service::serve(&config.admin_socket(), remote, parts)?);
    Ok(Started {
        nodes,
        draining,
        answerer,
        registered,
        live,
        ports,
        reread,
        http_address,
        stopping,
        serving,
        background,
    })
}

/// The disk of the replica. The observer measures its syncs.
fn open_disk(
    store: Arc<Store>,
    snapshots: &Path,
    settings: &RaftSettings,
    observer: Arc<dyn Observer>,
) -> Result<Arc<dyn Disk>, StartError> {
    let disk = SledDisk::start(store, snapshots, move |took| observer.synced(took))?;
    Ok(Arc::new(test_hooks::disk(disk, settings)?))
}

/// The observer of the replica: the metrics; with `check_invariants`, or where a test requests it, preceded by
/// checks of the state.
fn observer(metrics: &Arc<Metrics>, check_invariants: bool) -> Arc<dyn Observer> {
    if check_invariants || test_hooks::check_invariants() {
        Arc::new(InvariantChecks(Arc::clone(metrics)))
    } else {
        Arc::clone(metrics) as _
    }
}

fn answerer(
    config: &Config,
    replica: &Replica,
    credentials: &Arc<crate::credentials::Credentials>,
    metrics: &Arc<Metrics>,
) -> Result<Answerer, StartError> {
    let activations = Activations::open(&config.data, metrics.activations_not_kept());
    let activations =
        activations.map_err(|source| StartError::Activations { path: config.data.join("activations"), source })?;
    Ok(Answerer {
        decider: Decider {
            replica: replica.clone(),
            credentials: Arc::clone(credentials),
            new_cmids: Arc::new(NewCmids::new(config.clients.new_cmids_per_minute)),
        },
        activations: Arc::new(activations),
        duplicates: Arc::new(Duplicates::default()),
        distinct: Arc::new(Distinct::open(&config.data)),
        metrics: Arc::clone(metrics),
    })
}

/// The certificates of the authority that certifies the nodes, in PEM.
fn authority(config: &Config, source: &Source) -> Result<Vec<u8>, StartError> {
    let own = source.authority_pem().map_err(|error| StartError::Identity(error.into()))?;
    Ok(match (own, &config.tls.authority) {
        (Some(own), _) => own.into_bytes(),
        // Read before, when the node's identity was loaded.
        (None, Some(file)) => std::fs::read(file).unwrap_or_default(),
        (None, None) => Vec::new(),
    })
}

fn serve_clients(
    config: &Config,
    listeners: (TcpListener, tokio::sync::mpsc::Receiver<TcpListener>),
    port: Connections,
    parts: (Answerer, Arc<Forwarding>),
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let settings = config.clients.clone();
    tasks::spawn_alone(HostTask::ClientPort, async move {
        if let Err(error) = client_server::serve(listeners, (&settings, port), parts, stop).await {
            tracing::error!(%error, "the port for clients accepts no more connections");
        }
    })
}

fn serve_http(
    (config, registered): (&Config, Arc<Registered>),
    listener: TcpListener,
    watched: Watched,
    background: &mut JoinSet<()>,
) -> Arc<Console> {
    let address = listener.local_addr().unwrap_or(config.clients.listen);
    let console = Arc::new(Console::new(watched.clone(), address, config.console.auth, registered));
    tasks::spawn(background, HostTask::Console, Arc::clone(&console).work());
    let served = (listener, watched.ports.metrics.clone());
    tasks::spawn(background, HostTask::HttpPort, http_server::serve(served, watched, Arc::clone(&console)));
    console
}

/// Counts each change of the leader.
async fn count_leader_changes(replica: Replica, metrics: Arc<Metrics>) {
    let mut before = None;
    let mut leaders = replica.leaders();
    while let Some(leader) = leaders.next().await {
        if before.replace(leader).is_some_and(|before| before != leader) {
            metrics.leader_changed();
        }
    }
}

//! One node: everything that `quorate host run` starts, and how it stops.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use activation::catalog::Name;
use futures::StreamExt;
use replication::{BootstrapError, Clock, Environment, Pace, Replica, StartError as ReplicaError};
use storage::{Kind, OpenError, Owner, Store};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use transport::PresentedIdentity;
use uuid::Uuid;

use crate::{
    activations::Activations,
    admin::{self, AdminError},
    answer::{Answerer, Answers},
    clients,
    config::{Config, ConfigError},
    console::Console,
    credentials::{Credentials, Held},
    desk::Desk,
    distinct::{self, Distinct},
    dns,
    drain::Drain,
    examine::Machine,
    hardware::Hardware,
    identity::{IdentityError, Source},
    leave::{self, HasLeft, LeaveError},
    limits::BOOTSTRAP_PATIENCE,
    live::{self, Live},
    log_limit,
    metrics::{Metrics, Watched},
    peers, seen,
    surroundings::{SystemClock, connect_over_tls, random},
};

/// Why a node did not start. What its data folder held is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It left its cluster.
    #[error(transparent)]
    Left(#[from] HasLeft),
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// What is in it.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// No cluster was formed.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The administration socket.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// An address to listen on.
    #[error("{key}: cannot listen on {address}: {source}; stop what uses it or choose another address")]
    Listen {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// What it shows to the other nodes.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The node's private keys.
    #[error("cannot use the keys in {}: {source}", path.display())]
    Keys {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it notes of machines that ask.
    #[error("cannot use the activation log in {}: {source}; make it readable for the daemon, or move it away", path.display())]
    Activations {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The list of its DNS records.
    #[error("cannot read the list of this node's DNS records in {}: {source}; restore dns-records.toml there", path.display())]
    Records {
        /// The data folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The operating system.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(io::Error),
}

/// How a node starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// Form the cluster of `peers.members`, once.
    pub bootstrap: bool,
}

/// By what time a node lives. A daemon has the defaults: no configuration changes them.
#[derive(Clone)]
pub struct Timing {
    /// Its clocks.
    pub clock: Arc<dyn Clock>,
    /// How often its replica does what nobody asks for.
    pub pace: Pace,
}

impl Default for Timing {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock::default()), pace: Pace::default() }
    }
}

/// A running node.
pub struct Node {
    replica: Replica,
    desk: Arc<Desk>,
    answerer: Answerer,
    live: Arc<Live>,
    admin_socket: PathBuf,
    seen_address: Option<SocketAddr>,
    data: PathBuf,
    stopping: watch::Sender<bool>,
    serving: JoinHandle<()>,
    background: JoinSet<()>,
}

impl Node {
    /// Opens the store, listens, joins the cluster that it belongs to, or forms it.
    pub async fn start(config: &Config, start: Start) -> Result<Self, StartError> {
        Self::start_by(config, start, Timing::default()).await
    }

    /// The same with other clocks than the system's: for what drives a cluster through a time of its own.
    pub async fn start_by(config: &Config, start: Start, timing: Timing) -> Result<Self, StartError> {
        let platform: Name = config.platform.parse().map_err(|_| ConfigError::Value {
            origin: "configuration".into(),
            key: "platform",
            what: format!("{:?} is no name of a platform class", config.platform),
            fix: "use the name that the publisher's catalog gives it",
        })?;
        let members = config.members().map_err(|what| ConfigError::Value {
            origin: "configuration".into(),
            key: "peers.members",
            what,
            fix: "write each as \"NODE=HOST:PORT\"",
        })?;
        leave::check(&config.data)?;
        let source = Source::of(config);
        let shown = Arc::new(PresentedIdentity::new(source.load()?));
        // Ports first: a second daemon by mistake stops here, before it touches the data.
        let clients = listen_as_last(config).await?;
        let peers_listener = listen("peers.listen", config.peers.listen).await?;
        let afar = match config.admin.address().unwrap_or_default() {
            Some(address) => Some((listen("admin.listen", address).await?, Arc::clone(&shown))),
            None => None,
        };
        let keys = config.data.join("keys");
        let hardware = Hardware::at(&config.machine_root());
        let credentials = Credentials::load(config.node, &keys, hardware.clone());
        let credentials = credentials.map_err(|source| StartError::Keys { path: keys, source })?;
        let seen = match config.metrics.address().unwrap_or_default() {
            Some(address) => Some(listen("metrics.listen", address).await?),
            None => None,
        };
        let own = dns::Own::read(config)?;
        let ledger = dns::Ledger::load(&config.data);
        let ledger = ledger.map_err(|source| StartError::Records { path: config.data.clone(), source })?;
        let mut answering = Vec::new();
        for &address in &config.dns.serve {
            answering.push(listen_for_dns("dns.serve", address).await?);
        }
        let seed = u64::from_le_bytes(random().map_err(StartError::Randomness)?);
        // Last of what may be refused: sled writes to what it opens.
        let store = open_store(config)?;
        let credentials = Arc::new(credentials);
        let desk = Arc::new(Desk::new(Arc::clone(&credentials), platform, store.identity(), hardware));
        let metrics = Arc::new(Metrics::default());
        let environment = Environment {
            clock: timing.clock,
            connect: connect_over_tls(Arc::clone(&shown)),
            seed,
            legacy_questions: Arc::clone(&desk) as _,
            observer: Arc::clone(&metrics) as _,
        };
        let snapshots = config.data.join("snapshots");
        let replica =
            Replica::start_at_pace(store, &snapshots, &config.raft_settings(), environment, timing.pace).await?;
        desk.set_replica(&replica);
        desk.set_machine(Machine { data: config.data.clone(), shown: Arc::clone(&shown) });
        take_note(&replica, &credentials);

        let mut background = JoinSet::new();
        background.spawn(peers::serve(peers_listener, Arc::clone(&shown), replica.clone()));
        background.spawn(source.clone().follow(Arc::clone(&shown)));
        background.spawn(follow_certificates(replica.clone(), Arc::clone(&credentials)));
        let (stopping, stop) = watch::channel(false);
        let (live, others) = Live::new(config, clients.local_addr().unwrap_or(config.clients.listen));
        let live = Arc::new(live);
        desk.set_live(&live);
        background.spawn(live::follow(Arc::clone(&live), replica.clone()));
        let activations = Activations::open(&config.data, metrics.activations_lost.clone());
        let activations = Arc::new(
            activations.map_err(|source| StartError::Activations { path: config.data.join("activations"), source })?,
        );
        desk.set_activations(&activations);
        let distinct = Arc::new(Distinct::open(&config.data));
        desk.set_distinct(&distinct);
        background.spawn(distinct::follow(Arc::clone(&distinct), replica.clone()));
        let answerer = Answerer {
            replica: replica.clone(),
            credentials,
            activations,
            duplicates: Arc::clone(&desk.duplicates),
            distinct: Arc::clone(&distinct),
            metrics: Arc::clone(&metrics),
        };
        let settings = config.clients.clone();
        let (serving_answerer, sources) = (answerer.clone(), live.sources());
        let serving = tokio::spawn(async move {
            if let Err(error) = clients::serve((clients, others), (&settings, sources), serving_answerer, stop).await {
                tracing::error!(%error, "clients are no longer served");
            }
        });
        let dns = own.map(|own| {
            let parts = (own, ledger, answering, live.addresses());
            let dns = dns::start(parts, replica.clone(), Arc::clone(&desk), seed, &mut background);
            desk.set_dns(&dns);
            dns
        });
        background.spawn(log_limit::report());
        background.spawn(follow_leaders(replica.clone(), Arc::clone(&metrics)));
        let seen_address = seen.as_ref().and_then(|listener| listener.local_addr().ok());
        let console = seen.map(|listener| {
            let (data, snapshot) = (config.data.clone(), snapshots.join(replication::SNAPSHOT_FILE));
            let (replica, desk, dns, shown) = (replica.clone(), Arc::clone(&desk), dns.clone(), Arc::clone(&shown));
            let watched = Watched { metrics, replica, desk, dns, distinct, shown, data, snapshot };
            let listen = listener.local_addr().unwrap_or(config.clients.listen);
            let console = Arc::new(Console::new(watched.clone(), listen, config.console.auth));
            background.spawn(Arc::clone(&console).work());
            background.spawn(seen::serve(listener, watched, Arc::clone(&console)));
            console
        });
        let admin_socket = config.admin_socket();
        let wait = Duration::from_secs(config.drain.wait_s);
        let drain = Arc::new(Drain::new(replica.clone(), Arc::clone(&desk), dns.clone(), wait));
        desk.set_drain(&drain);
        let parts = admin::Parts { replica: replica.clone(), dns, drain, console, source };
        background.spawn(admin::serve(&admin_socket, afar, parts)?);
        let data = config.data.clone();
        let node =
            Self { replica, desk, answerer, live, admin_socket, seen_address, data, stopping, serving, background };
        if start.bootstrap
            && let Err(error) = node.replica.bootstrap(&members, BOOTSTRAP_PATIENCE).await
        {
            node.stop().await;
            return Err(error.into());
        }
        if !node.replica.is_initialised().await {
            tracing::info!("this node belongs to no cluster yet: one node of it must be started with --bootstrap");
        }
        Ok(node)
    }

    /// The replica, for those who look into it.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The way that a request takes after the wire, for clients in the same process.
    pub fn answers(&self) -> Answers {
        Answers(self.answerer.clone())
    }

    /// Where clients reach it now.
    pub fn clients_address(&self) -> SocketAddr {
        self.live.address()
    }

    /// Where metrics and health are found, if anywhere.
    pub fn seen_address(&self) -> Option<SocketAddr> {
        self.seen_address
    }

    /// Where administrators reach it.
    pub fn admin_socket(&self) -> &Path {
        &self.admin_socket
    }

    /// Waits until the node has failed for good (its disk refused a write, say), and says why.
    pub async fn failed(&self) -> String {
        self.replica.failed().await.to_string()
    }

    /// Returns once its consensus has answered: never where that is stuck. For a supervisor's watchdog.
    pub async fn lives(&self) {
        let _whatever_it_is = self.replica.is_initialised().await;
    }

    /// Waits until an administrator has drained the node: it is to be stopped now. Where it was to leave the cluster, it
    /// has left; the error says why it could not.
    pub async fn drained(&self) -> Result<(), LeaveError> {
        if self.desk.draining().over().await {
            return leave::leave(&self.replica, &self.data).await;
        }
        self.replica.say_farewell().await;
        Ok(())
    }

    /// Takes no more connections, finishes open requests, hands leadership over, and stops.
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        if self.serving.await.is_err() {
            tracing::error!("the task that serves clients broke off");
        }
        self.answerer.activations.flush().await;
        self.replica.shutdown().await;
        self.background.shutdown().await;
        // Left behind by a crash it is replaced at the next start.
        let _gone = std::fs::remove_file(&self.admin_socket);
    }
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { key, address, source })
}

/// Where clients were served last, if that can be; otherwise as configured.
async fn listen_as_last(config: &Config) -> Result<TcpListener, StartError> {
    if let Some(last) = live::last_address(config)
        && let Ok(listener) = TcpListener::bind(last).await
    {
        return Ok(listener);
    }
    listen("clients.listen", config.clients.listen).await
}

/// Over UDP and TCP.
async fn listen_for_dns(key: &'static str, address: SocketAddr) -> Result<dns::Sockets, StartError> {
    let connections = listen(key, address).await?;
    let address = connections.local_addr().unwrap_or(address);
    let datagrams = UdpSocket::bind(address).await.map_err(|source| StartError::Listen { key, address, source })?;
    Ok((datagrams, connections))
}

fn open_store(config: &Config) -> Result<Arc<Store>, StartError> {
    let store_if_new = Uuid::from_bytes(random().map_err(StartError::Randomness)?);
    let owner = Owner { kind: Kind::Node, number: config.node, store_if_new };
    Ok(Arc::new(Store::open(&config.data.join("store"), owner)?))
}

/// Follows the replicated certificates, so that the request path only looks them up.
async fn follow_certificates(replica: Replica, credentials: Arc<Credentials>) {
    let mut progress = replica.progress();
    let mut seen = 0;
    loop {
        match progress.wait_for(|progress| progress.configuration_index > seen).await {
            Ok(progress) => seen = progress.configuration_index,
            Err(_) => return,
        }
        let (replica, credentials) = (replica.clone(), Arc::clone(&credentials));
        // It may have to wait for the disk.
        if tokio::task::spawn_blocking(move || take_note(&replica, &credentials)).await.is_err() {
            tracing::error!("the task that follows the node's certificates broke off");
        }
    }
}

/// Counts each time that another node leads than before.
async fn follow_leaders(replica: Replica, metrics: Arc<Metrics>) {
    let mut before = None;
    let mut leaders = replica.leaders();
    while let Some(leader) = leaders.next().await {
        if before.replace(leader).is_some_and(|before| before != leader) {
            metrics.leader_changed();
        }
    }
}

/// A failure is of the folder, not of what can be signed; the next change of the state tries again.
pub(crate) fn take_note(replica: &Replica, credentials: &Credentials) {
    let node = credentials.node();
    let held = replica.view_at(|index, state| Held::of(state, node, index));
    if let Err(error) = credentials.take_note(held) {
        tracing::error!(%error, "the folder of the private keys could not be brought in line with the state");
    }
}

//! One node: the parts that `quorate host run` starts, and how they are stopped.

mod error;
mod invariants;
mod listen;
mod open;
mod spawn;
mod timing;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use replication::{BootstrapError, Replica};
use storage::Opening;
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

pub use self::{error::StartError, timing::Timing};
use self::{
    listen::Listeners,
    open::{Data, Identity, Report},
};
use crate::{
    client_port::answer::{Answerer, Answers},
    config::Config,
    lifecycle::{
        descriptors::descriptor_limit,
        draining::{Draining, Then},
        joining,
        leave::{self, LeaveError},
        live_settings::Live,
        ports::Ports,
    },
    limits::{
        BOOTSTRAP_TIMEOUT, CLEANUP_DEADLINE, DESCRIPTORS_MIN, FLUSH_DEADLINE, SHUTDOWN_DEADLINE, STOP_DEADLINE,
        TAKEN_IN_PAUSE, TAKEN_IN_TIMEOUT,
    },
    peers::node_client::NodeClient,
};

/// How a node starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// Form the cluster of `peers.members`. Has no effect on a node that belongs to a cluster.
    pub bootstrap: bool,
    /// Check the invariants of the replicated state after every entry, and stop when one is broken.
    pub check_invariants: bool,
}

/// A running node.
pub struct Node {
    nodes: NodeClient,
    draining: Arc<Draining>,
    answerer: Answerer,
    live: Arc<Live>,
    ports: Ports,
    reread: Arc<Notify>,
    admin_socket: PathBuf,
    http_address: Option<SocketAddr>,
    data: PathBuf,
    stopping: watch::Sender<bool>,
    serving: JoinHandle<()>,
    background: JoinSet<()>,
}

impl Node {
    /// Starts a node: opens the store, listens, and joins the cluster that the node belongs to, or forms it.
    pub async fn start(config: &Config, start: Start) -> Result<Self, StartError> {
        Self::start_by(config, start, Timing::default()).await
    }

    /// Starts a node as [`Self::start`] does, and reports the progress of opening the store, which takes long for a
    /// large store.
    pub async fn start_reporting(
        config: &Config,
        start: Start,
        report: impl Fn(Opening) + Send + 'static,
    ) -> Result<Self, StartError> {
        Self::start_with(config, start, Timing::default(), Box::new(report)).await
    }

    /// Starts a node as [`Self::start`] does, with other clocks than the system's: for a test or a benchmark that
    /// controls time.
    pub async fn start_by(config: &Config, start: Start, timing: Timing) -> Result<Self, StartError> {
        Self::start_with(config, start, timing, Box::new(|_| {})).await
    }

    async fn start_with(config: &Config, start: Start, timing: Timing, report: Report) -> Result<Self, StartError> {
        let limit = descriptor_limit();
        if limit < DESCRIPTORS_MIN {
            return Err(StartError::Descriptors { limit });
        }
        let identity = Identity::load(config)?;
        let listeners = Listeners::bind(config)?;
        let listens = listeners.described();
        let data = Data::open_beside(config, report).await?;
        let started = spawn::start((config, start.check_invariants), identity, listeners, data, timing).await?;
        tracing::info!(listens, "listening");
        let spawn::Started {
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
        } = started;
        let (admin_socket, data) = (config.admin_socket(), config.data.clone());
        let node = Self {
            nodes,
            draining,
            answerer,
            live,
            ports,
            reread,
            admin_socket,
            http_address,
            data,
            stopping,
            serving,
            background,
        };
        if start.bootstrap {
            match node.form_cluster(config).await {
                Ok(has_formed) => registered.set_formed_cluster(has_formed),
                Err(error) => {
                    node.stop().await;
                    return Err(error.into());
                }
            }
        }
        if !node.replica().is_initialised().await {
            // A node that is to join a cluster has no list of members; only a node that forms one has.
            if joining::is_planned(&config.data) {
                tracing::info!(
                    "this node belongs to no cluster yet: it adds itself to the cluster that issued its token"
                );
            } else if config.peers.members.is_empty() {
                let place = format!("{}=HOST:PORT", config.node);
                tracing::info!(
                    "this node belongs to no cluster yet: add it, on a node of the cluster, with `quorate cluster add \
                     {place}`"
                );
            } else {
                tracing::info!(
                    "this node belongs to no cluster yet: start one node of the new cluster with --bootstrap"
                );
            }
        }
        Ok(node)
    }

    /// Forms the cluster of `peers.members`, and returns whether this node formed it. A node that belongs to a
    /// cluster already stays in it, and a node that joined with a token joins its cluster: supervisors start a node
    /// with the same arguments each time.
    async fn form_cluster(&self, config: &Config) -> Result<bool, BootstrapError> {
        let replica = self.replica();
        if replica.is_initialised().await {
            tracing::info!("this node belongs to a cluster already: --bootstrap has no effect");
            return Ok(false);
        }
        if joining::is_planned(&config.data) {
            tracing::info!("this node joins the cluster that issued its token: --bootstrap has no effect");
            return Ok(false);
        }
        match replica.bootstrap(&config.peers.members, BOOTSTRAP_TIMEOUT).await {
            Ok(()) => Ok(true),
            // Several nodes of the list were started with --bootstrap: one was first, and its list contains this
            // node, too.
            Err(error @ BootstrapError::AlreadyInitialised { .. }) => {
                let taken_in = timeout(TAKEN_IN_TIMEOUT, async {
                    while !replica.is_initialised().await {
                        sleep(TAKEN_IN_PAUSE).await;
                    }
                });
                taken_in.await.map(|()| false).map_err(|_| error)
            }
            Err(error) => Err(error),
        }
    }

    /// The replica, for inspection.
    pub fn replica(&self) -> &Replica {
        self.nodes.replica()
    }

    /// Takes over those values of a configuration that was read again that take effect without a restart:
    /// `raft.profile`, the lists of networks (`clients.allow`, `clients.exempt`, `peers.allow`, `admin.allow`,
    /// `metrics.allow`), and `clients.new_cmids_per_minute`.
    pub fn reconfigure(&self, config: &Config) {
        self.ports.follow(config);
        self.answerer.decider.new_cmids.set_max(config.clients.new_cmids_per_minute);
        self.replica().keep_to_profile(config.raft.profile);
    }

    /// Reads the node's certificate and private key again, and the authority that verifies them, from the same files
    /// as at the start. This happens in the background: files that cannot be used are logged, and change nothing.
    pub fn reread_certificate(&self) {
        self.reread.notify_one();
    }

    /// Answers requests of clients in the same process, as port 1688 does after decoding.
    pub fn answers(&self) -> Answers {
        Answers(self.answerer.clone())
    }

    /// The address on which clients are served now.
    pub fn clients_address(&self) -> SocketAddr {
        self.live.address()
    }

    /// The address of metrics and health; `None` where they are off.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// The path of the administration socket.
    pub fn admin_socket(&self) -> &Path {
        &self.admin_socket
    }

    /// Waits until the node has failed permanently (for example because its disk refused a write), and returns the
    /// reason.
    pub async fn failed(&self) -> String {
        self.replica().failed().await.to_string()
    }

    /// Returns once the node's consensus has answered, and never where it hangs. For a supervisor's watchdog.
    pub async fn lives(&self) {
        let _whatever_it_is = self.replica().is_initialised().await;
    }

    /// Waits until an administrator has drained the node and it has to stop. Where it was to leave the cluster, it
    /// has left when this returns; the error says why it could not.
    pub async fn drained(&self) -> Result<Then, LeaveError> {
        let then = self.draining.over().await;
        match then {
            Then::Leave => leave::leave(&self.nodes, &self.data).await?,
            Then::Stop | Then::Restart => self.replica().say_farewell().await,
        }
        Ok(then)
    }

    /// Accepts no more connections, finishes open requests, hands leadership over, and stops. Each wait has a limit:
    /// a disk that hangs delays the end of the node by less than half a minute.
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        if !matches!(timeout(2 * STOP_DEADLINE, &mut self.serving).await, Ok(Ok(()))) {
            tracing::error!("the task that serves clients ended unexpectedly");
        }
        // The replica stops first, because clients wait for the next leader; only this process waits for the
        // activation log.
        if timeout(SHUTDOWN_DEADLINE, self.nodes.replica().shutdown()).await.is_err() {
            tracing::error!(
                seconds = SHUTDOWN_DEADLINE.as_secs(),
                "the replica did not stop in time: its disk may hang"
            );
        }
        if timeout(FLUSH_DEADLINE, self.answerer.activations.flush()).await.is_err() {
            let seconds = FLUSH_DEADLINE.as_secs();
            tracing::error!(seconds, "the end of the activation log was not written in time: its disk may hang");
        }
        let cleanup = async {
            self.background.shutdown().await;
            // A crash leaves the socket's file behind; the next start replaces it.
            let _gone = tokio::fs::remove_file(&self.admin_socket).await;
        };
        if timeout(CLEANUP_DEADLINE, cleanup).await.is_err() {
            tracing::error!("background tasks did not end in time");
        }
    }
}

//! One node: everything that `quorate host run` starts, and how it stops.

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

use replication::Replica;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

pub use self::{error::StartError, timing::Timing};
use self::{
    listen::Listeners,
    open::{Data, Identity},
};
use crate::{
    client_port::answer::{Answerer, Answers},
    config::Config,
    lifecycle::{
        draining::Draining,
        leave::{self, LeaveError},
        live_settings::Live,
    },
    limits::BOOTSTRAP_TIMEOUT,
    peers::node_client::NodeClient,
};

/// How a node starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// Form the cluster of `peers.members`, once.
    pub bootstrap: bool,
    /// Check the invariants of the replicated state after every entry, and stop where one is broken.
    pub check_invariants: bool,
}

/// A running node.
pub struct Node {
    nodes: NodeClient,
    draining: Arc<Draining>,
    answerer: Answerer,
    live: Arc<Live>,
    admin_socket: PathBuf,
    http_address: Option<SocketAddr>,
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

    /// The same with other clocks than the system's: for a test or a benchmark that drives a cluster through time.
    pub async fn start_by(config: &Config, start: Start, timing: Timing) -> Result<Self, StartError> {
        let identity = Identity::load(config)?;
        let listeners = Listeners::bind(config).await?;
        let data = Data::open(config)?;
        let started = spawn::start((config, start.check_invariants), identity, listeners, data, timing).await?;
        let spawn::Started { nodes, draining, answerer, live, http_address, stopping, serving, background } = started;
        let (admin_socket, data) = (config.admin_socket(), config.data.clone());
        let node =
            Self { nodes, draining, answerer, live, admin_socket, http_address, data, stopping, serving, background };
        if start.bootstrap
            && let Err(error) = node.replica().bootstrap(&config.peers.members, BOOTSTRAP_TIMEOUT).await
        {
            node.stop().await;
            return Err(error.into());
        }
        if !node.replica().is_initialised().await {
            tracing::info!("this node belongs to no cluster yet: one node of it must be started with --bootstrap");
        }
        Ok(node)
    }

    /// The replica, for those who look into it.
    pub fn replica(&self) -> &Replica {
        self.nodes.replica()
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
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Where administrators reach it.
    pub fn admin_socket(&self) -> &Path {
        &self.admin_socket
    }

    /// Waits until the node has failed for good (its disk refused a write, say), and says why.
    pub async fn failed(&self) -> String {
        self.replica().failed().await.to_string()
    }

    /// Returns once its consensus has answered: never where that is stuck. For a supervisor's watchdog.
    pub async fn lives(&self) {
        let _whatever_it_is = self.replica().is_initialised().await;
    }

    /// Waits until an administrator has drained the node: it is to be stopped now. Where it was to leave the cluster, it
    /// has left; the error says why it could not.
    pub async fn drained(&self) -> Result<(), LeaveError> {
        if self.draining.over().await {
            return leave::leave(&self.nodes, &self.data).await;
        }
        self.replica().say_farewell().await;
        Ok(())
    }

    /// Takes no more connections, finishes open requests, hands leadership over, and stops.
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        if self.serving.await.is_err() {
            tracing::error!("the task that serves clients broke off");
        }
        self.answerer.activations.flush().await;
        self.nodes.replica().shutdown().await;
        self.background.shutdown().await;
        // Left behind by a crash it is replaced at the next start.
        let _gone = std::fs::remove_file(&self.admin_socket);
    }
}

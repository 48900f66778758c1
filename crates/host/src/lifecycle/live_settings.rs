//! Settings that take effect while the node runs: its port for clients, connections per source, its priority (R36,
//! R38).
//!
//! A setting that cannot be followed is logged and tried again, and breaks nothing that works: clients are served on
//! the previous port.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use activation::settings::NodeSettings;
use replication::Replica;
use rustix::process::{Pid, getpriority_process, setpriority_process};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use transport::{Connections, listen_tcp};

use crate::config::Config;

/// Pause before a setting that could not be followed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// The niceness of a node with low priority; the default of `nice`.
const LOW_NICENESS: i32 = 10;

/// Up to which entry the node follows the settings.
#[derive(Clone, Debug, Default)]
struct Followed {
    /// The index up to which entries are followed, apart from `problem`.
    index: u64,
    /// Why a setting up to `index` cannot be followed; `None` where all are.
    problem: Option<Arc<FollowError>>,
}

/// Why the node does not follow a setting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    /// The node's state lags.
    #[error("the node lags: it applies the setting when it has caught up")]
    Lagging,
    /// The system refused to change the priority.
    #[error("its priority cannot be set ({0}): give the process CAP_SYS_NICE, or restart it")]
    Priority(io::Error),
    /// The new port cannot be used.
    #[error("it cannot listen on {address} ({source}): it keeps its previous port; set another clients.port")]
    Listen {
        /// The address on which the node should serve clients.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// The port could not be stored for the next start.
    #[error("it cannot store its port in {} ({source}): it uses another port after a restart", path.display())]
    Remember {
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The parts of a node that follow settings while it runs.
pub(crate) struct Live {
    node: u64,
    listen: SocketAddr,
    /// The file that stores the port for the next start.
    port_file: PathBuf,
    connections_per_source_default: usize,
    niceness: i32,
    address: watch::Sender<SocketAddr>,
    /// Sends a new listener to the server of port 1688.
    listeners: mpsc::Sender<TcpListener>,
    connections: Connections,
    followed: watch::Sender<Followed>,
}

impl Live {
    /// Creates the parts. `address` is the address on which clients are served at first. The receiver gets each
    /// listener that replaces the one before.
    pub(crate) fn new(
        config: &Config,
        address: SocketAddr,
        connections: Connections,
    ) -> (Self, mpsc::Receiver<TcpListener>) {
        let (listeners, received) = mpsc::channel(1);
        let live = Self {
            node: config.node,
            listen: config.clients.listen,
            port_file: port_file(&config.data),
            connections_per_source_default: config.clients.connections_per_source_default,
            niceness: getpriority_process(None).unwrap_or(0),
            address: watch::Sender::new(address),
            listeners,
            connections,
            followed: watch::Sender::default(),
        };
        (live, received)
    }

    /// The address on which clients are served, now and after each change.
    pub(crate) fn addresses(&self) -> watch::Receiver<SocketAddr> {
        self.address.subscribe()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        *self.address.borrow()
    }

    /// Waits until the entry at `index` is followed. Error: a setting that cannot be followed, or the deadline has
    /// passed.
    pub(crate) async fn followed(&self, index: u64, deadline: Duration) -> Result<(), Arc<FollowError>> {
        let mut followed = self.followed.subscribe();
        let reached = timeout(deadline, followed.wait_for(|followed| followed.index >= index)).await;
        match reached {
            Ok(Ok(followed)) => followed.problem.clone().map_or(Ok(()), Err),
            _ => Err(Arc::new(FollowError::Lagging)),
        }
    }

    async fn apply(&self, own: &NodeSettings, per_source_max: Option<u32>) -> Result<(), FollowError> {
        let per_source_max = per_source_max.and_then(|max| usize::try_from(max).ok());
        self.connections.set_per_source_max(per_source_max.unwrap_or(self.connections_per_source_default));
        let niceness = if own.low_priority { self.niceness.max(LOW_NICENESS) } else { self.niceness };
        let priority = set_niceness(niceness).map_err(FollowError::Priority);
        let listening =
            self.listen_on(SocketAddr::new(self.listen.ip(), own.clients_port.unwrap_or(self.listen.port()))).await;
        priority.and(listening)
    }

    /// Opens the new port before the old one is closed. Existing connections are kept.
    async fn listen_on(&self, wanted: SocketAddr) -> Result<(), FollowError> {
        if wanted.port() == 0 || self.address().port() == wanted.port() {
            return Ok(());
        }
        let listener = listen_tcp(wanted).map_err(|source| FollowError::Listen { address: wanted, source })?;
        tracing::info!(address = %wanted, "the port for clients has changed");
        if self.listeners.send(listener).await.is_err() {
            return Err(FollowError::Stopping);
        }
        self.address.send_replace(wanted);
        self.remember(wanted.port()).map_err(|source| FollowError::Remember { path: self.port_file.clone(), source })
    }

    fn remember(&self, port: u16) -> io::Result<()> {
        if port != self.listen.port() {
            return fs::write(&self.port_file, format!("{port}\n"));
        }
        match fs::remove_file(&self.port_file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The address on which clients were served last, where it differs from the configuration. It can be read before the
/// store is opened. The replicated setting takes precedence as soon as it is known.
pub(crate) fn last_address(config: &Config) -> Option<SocketAddr> {
    let port = fs::read_to_string(port_file(&config.data)).ok()?.trim().parse().ok()?;
    Some(SocketAddr::new(config.clients.listen.ip(), port))
}

fn port_file(data: &Path) -> PathBuf {
    data.join("clients-port")
}

/// Follows the cluster's settings and those of this node.
pub(crate) async fn follow(live: Arc<Live>, replica: Replica) {
    let mut progress = replica.progress();
    loop {
        let seen = progress.borrow_and_update().configuration_index;
        let (own, per_source_max) =
            replica.view(|state| (state.node_settings(live.node), state.settings().connections_per_source_max));
        let problem = live.apply(&own, per_source_max).await.err().map(Arc::new);
        if let Some(problem) = &problem {
            tracing::error!(%problem, "a setting could not be applied");
        }
        let is_failed = problem.is_some();
        live.followed.send_replace(Followed { index: seen, problem });
        let changed = progress.wait_for(|progress| progress.configuration_index > seen);
        tokio::select! {
            changed = changed => if changed.is_err() { return },
            () = sleep(RETRY_PAUSE), if is_failed => {}
        }
    }
}

/// Sets the niceness of all threads: on Linux each thread has its own, which the threads that it starts inherit.
fn set_niceness(niceness: i32) -> io::Result<()> {
    for thread in fs::read_dir("/proc/self/task")? {
        let thread = thread?.file_name().into_string().ok().and_then(|number| number.parse().ok());
        let Some(thread) = thread.and_then(Pid::from_raw) else { continue };
        // A thread that has just ended has no priority.
        if getpriority_process(Some(thread)).is_ok_and(|current| current != niceness) {
            setpriority_process(Some(thread), niceness)?;
        }
    }
    Ok(())
}

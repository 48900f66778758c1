//! Settings that take effect while the node runs: its port for clients, connections per source, its priority (R36, R38).
//!
//! What cannot be followed is said, tried again, and costs nothing that works: clients are served where they were.

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

/// Until what failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// As `nice` does by default.
const LOW_NICENESS: i32 = 10;

/// How far the node follows.
#[derive(Clone, Debug, Default)]
struct Followed {
    /// Entries up to here are followed,
    index: u64,
    /// but for this.
    problem: Option<Arc<FollowError>>,
}

/// Why the node does not follow a setting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    /// Its state lags.
    #[error("the node is behind: it follows when it has caught up")]
    Lagging,
    /// The system refused another priority.
    #[error("its priority cannot be set ({0}): give it CAP_SYS_NICE, or start it again")]
    Priority(io::Error),
    /// The new port cannot be used.
    #[error("it cannot listen on {address} ({source}): clients are served where they were; set another clients.port")]
    Listen {
        /// Where it should serve clients.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// The node is on its way out.
    #[error("the node is stopping")]
    Stopping,
    /// The port could not be written down for the next start.
    #[error("it cannot keep its port in {} ({source}): it starts on another one", path.display())]
    Remember {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The parts of a node that follow settings.
pub(crate) struct Live {
    node: u64,
    listen: SocketAddr,
    /// Remembers the port, for the next start.
    port_file: PathBuf,
    connections_per_source_default: usize,
    niceness: i32,
    address: watch::Sender<SocketAddr>,
    /// To those who serve clients.
    listeners: mpsc::Sender<TcpListener>,
    connections: Connections,
    followed: watch::Sender<Followed>,
}

impl Live {
    /// `address` is where clients are served at first. With it, where they are to be served instead from time to time.
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

    /// Where clients are served now, and later.
    pub(crate) fn addresses(&self) -> watch::Receiver<SocketAddr> {
        self.address.subscribe()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        *self.address.borrow()
    }

    /// Waits until the entry at `index` is followed, and says what cannot be.
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

    /// The new port is taken before the old one is left. Connections that stand, stand.
    async fn listen_on(&self, wanted: SocketAddr) -> Result<(), FollowError> {
        if wanted.port() == 0 || self.address().port() == wanted.port() {
            return Ok(());
        }
        let listener = listen_tcp(wanted).map_err(|source| FollowError::Listen { address: wanted, source })?;
        tracing::info!(address = %wanted, "clients are served on another port from now on");
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

/// Where clients were served last, where that is not as configured. A hint, which needs no store to be opened: what is
/// replicated decides as soon as it is known.
pub(crate) fn last_address(config: &Config) -> Option<SocketAddr> {
    let port = fs::read_to_string(port_file(&config.data)).ok()?.trim().parse().ok()?;
    Some(SocketAddr::new(config.clients.listen.ip(), port))
}

fn port_file(data: &Path) -> PathBuf {
    data.join("clients-port")
}

/// Follows the settings of the cluster, and of this node.
pub(crate) async fn follow(live: Arc<Live>, replica: Replica) {
    let mut progress = replica.progress();
    loop {
        let seen = progress.borrow_and_update().configuration_index;
        let (own, per_source_max) =
            replica.view(|state| (state.node_settings(live.node), state.settings().connections_per_source_max));
        let problem = live.apply(&own, per_source_max).await.err().map(Arc::new);
        if let Some(problem) = &problem {
            tracing::error!(%problem, "a setting cannot be followed");
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

/// Of all threads: on Linux each has its own, which those that it starts inherit.
fn set_niceness(niceness: i32) -> io::Result<()> {
    for thread in fs::read_dir("/proc/self/task")? {
        let thread = thread?.file_name().into_string().ok().and_then(|number| number.parse().ok());
        let Some(thread) = thread.and_then(Pid::from_raw) else { continue };
        // One that has just ended has no priority.
        if getpriority_process(Some(thread)).is_ok_and(|current| current != niceness) {
            setpriority_process(Some(thread), niceness)?;
        }
    }
    Ok(())
}

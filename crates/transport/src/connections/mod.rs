//! The connections of one port: limited in total and for each source. When a limit is reached, another connection
//! is closed and the new one gets its slot: the longest idle one of the source with the most connections.

mod activity;
mod networks;
mod registry;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    time::{Instant, sleep},
};

use self::registry::{Admitted, Registry, Source};
pub use self::{
    activity::{Activity, Call, NotedStream},
    networks::{MalformedNetwork, Network, source},
    registry::{Limits, Refusal, Rules},
};
use crate::limits::{ACCEPT_PAUSE, REFUSAL_LINES_MAX, REFUSAL_LINES_WINDOW};

/// The connections of one port.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    /// The port's name in the log.
    port: &'static str,
    epoch: Instant,
    registry: Mutex<Registry>,
    is_pressed: AtomicBool,
    /// Notified when a connection is closed or becomes idle.
    changed: Arc<Notify>,
    refused_networks: AtomicU64,
    refused_sources: AtomicU64,
    evicted: AtomicU64,
    not_accepted: AtomicU64,
    lines: Mutex<Lines>,
}

/// Counters of a port's connections since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Refused because the address is not in the list of networks.
    pub refused_networks: u64,
    /// Refused because a call was in progress on each connection of their source, or of the port.
    pub refused_sources: u64,
    /// Closed for a new connection while they were idle.
    pub evicted: u64,
    /// How many times the system failed to accept a connection, because the process or the system had no
    /// descriptors left.
    pub not_accepted: u64,
}

/// The log lines about refused connections within one [`REFUSAL_LINES_WINDOW`].
#[derive(Default)]
struct Lines {
    began: Option<Instant>,
    said: u32,
    left_out: u64,
}

impl Lines {
    /// Whether one more line may be written; if so, how many were suppressed before it.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.began.is_none_or(|began| now.duration_since(began) >= REFUSAL_LINES_WINDOW) {
            (self.began, self.said) = (Some(now), 0);
        }
        if self.said >= REFUSAL_LINES_MAX {
            self.left_out += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl Connections {
    /// The connections of the port that log lines call `port`.
    pub fn new(port: &'static str, limits: Limits, rules: Rules) -> Self {
        Self(Arc::new(Inner {
            port,
            epoch: Instant::now(),
            registry: Mutex::new(Registry::new(limits, rules)),
            is_pressed: AtomicBool::new(false),
            changed: Arc::default(),
            refused_networks: AtomicU64::new(0),
            refused_sources: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            not_accepted: AtomicU64::new(0),
            lines: Mutex::default(),
        }))
    }

    /// Changes the rules for new connections. Open connections stay open.
    pub fn set_rules(&self, rules: Rules) {
        self.registry().rules = rules;
    }

    /// Changes the limit per source of connections without a known certificate, for new connections.
    pub fn set_per_source_max(&self, connections: usize) {
        self.registry().limits.strangers_per_source = connections;
    }

    /// The next connection of `listener`. While a call is in progress on each connection of the port this waits,
    /// and further connections wait in the system's queue. `None` if the connection was refused, which is counted
    /// and logged, or could not be accepted. Cancel safe.
    pub async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr, ConnectionSlot)> {
        loop {
            let changed = self.0.changed.notified();
            if self.registry().has_room() {
                break;
            }
            changed.await;
        }
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                self.not_accepted(&error);
                sleep(ACCEPT_PAUSE).await;
                return None;
            }
        };
        let slot = self.admit(address.ip()).ok()?;
        Some((stream, address, slot))
    }

    /// A slot for a connection from `address`. A refusal is counted and logged.
    pub fn admit(&self, address: IpAddr) -> Result<ConnectionSlot, Refusal> {
        let activity = Activity::new(self.0.epoch, Arc::clone(&self.0.changed));
        let admitted = {
            let mut registry = self.registry();
            let admitted = registry.admit(address, activity.clone());
            self.note_pressure(&registry);
            admitted
        };
        match admitted {
            Ok(Admitted { source, id, evicted, has_evicted }) => {
                self.0.evicted.fetch_add(has_evicted.into(), Ordering::Relaxed);
                Ok(ConnectionSlot {
                    connections: self.clone(),
                    source,
                    id,
                    activity,
                    evicted,
                    is_evicted: false,
                    known: None,
                })
            }
            Err(refusal) => {
                self.refused(address, refusal);
                Err(refusal)
            }
        }
    }

    /// Counts and logs that the system failed to accept a connection.
    fn not_accepted(&self, error: &io::Error) {
        self.0.not_accepted.fetch_add(1, Ordering::Relaxed);
        let admitted = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
        if let Some(left_out) = admitted {
            tracing::warn!(port = self.0.port, %error, left_out, "a connection could not be accepted");
        }
    }

    fn refused(&self, address: IpAddr, refusal: Refusal) {
        let counter = match refusal {
            Refusal::Network => &self.0.refused_networks,
            Refusal::Source | Refusal::Port => &self.0.refused_sources,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let admitted = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
        if let Some(left_out) = admitted {
            let (port, client_address) = (self.0.port, address.to_canonical());
            tracing::warn!(port, %client_address, why = %refusal, left_out, "a connection was refused");
        }
    }

    /// Whether so many slots are in use that connections without a known certificate have short deadlines.
    pub fn is_pressed(&self) -> bool {
        self.0.is_pressed.load(Ordering::Relaxed)
    }

    /// Number of open connections without a known certificate.
    pub fn strangers(&self) -> usize {
        self.registry().strangers()
    }

    /// The counters of this port's connections.
    pub fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            refused_networks: of(&self.0.refused_networks),
            refused_sources: of(&self.0.refused_sources),
            evicted: of(&self.0.evicted),
            not_accepted: of(&self.0.not_accepted),
        }
    }

    fn note_pressure(&self, registry: &Registry) {
        self.0.is_pressed.store(registry.is_pressed(), Ordering::Relaxed);
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("port", &self.0.port).finish_non_exhaustive()
    }
}

/// The slot of one connection; released when dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    connections: Connections,
    source: Source,
    id: u64,
    activity: Activity,
    evicted: oneshot::Receiver<()>,
    is_evicted: bool,
    /// Keeps [`ConnectionSlot::evicted`] from becoming ready, once the certificate is known.
    known: Option<oneshot::Sender<()>>,
}

impl ConnectionSlot {
    /// The activity of the connection.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Whether so many connections are open on the port that deadlines are short.
    pub fn is_pressed(&self) -> bool {
        self.connections.is_pressed()
    }

    /// Moves the connection to those with a known certificate, which are not closed for new ones. Returns false if
    /// it is being closed already, or if a limit of known connections is reached: the caller must close it then.
    pub fn is_known_now(&mut self) -> bool {
        if self.known.is_none() {
            let mut registry = self.connections.registry();
            self.known = registry.know(self.source, self.id);
            self.connections.note_pressure(&registry);
        }
        self.known.is_some()
    }

    /// Ready when the connection must close because a new one needs its slot.
    pub fn poll_evicted(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_evicted {
            self.is_evicted = Pin::new(&mut self.evicted).poll(context).is_ready();
        }
        if self.is_evicted { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until the connection must close because a new one needs its slot. Cancel safe.
    pub async fn evicted(&mut self) {
        poll_fn(|context| self.poll_evicted(context)).await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut registry = self.connections.registry();
        registry.closed(self.source, self.id, self.known.is_some());
        self.connections.note_pressure(&registry);
        self.connections.0.changed.notify_one();
    }
}

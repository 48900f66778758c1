//! What a replica is given from outside: time, the network, randomness, tasks.
//!
//! Everything in which a production node differs from a simulated one comes in here or through the
//! [`Disk`](storage::Disk), and nowhere else. A replica sleeps by the time of the runtime that runs its tasks (tokio's),
//! which a simulation advances as it wants; it starts no thread, opens no file, and blocks nowhere.

use std::{fmt, sync::Arc, time::Duration};

use activation::state::Format;
use futures::future::BoxFuture;
use tokio::task::AbortHandle;
use tonic::transport::Channel;

use crate::observer::Observer;

/// The clocks of this node.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time in milliseconds since the Unix epoch. May jump.
    fn wall_ms(&self) -> u64;
    /// Whether the operating system says that the wall clock is synchronised; not where that cannot be read.
    fn is_synchronised(&self) -> bool;
    /// Time since an origin that stays the same while the process lives. Never jumps.
    fn monotonic(&self) -> Duration;
}

/// Opens a channel to HOST:PORT. It must return at once, connect when the channel is first used, and connect again after a
/// failure.
pub type Connect = Arc<dyn Fn(&str) -> Result<Channel, tonic::transport::Error> + Send + Sync>;

/// Starts tasks. The first argument names the task, for messages and traces.
type Spawn = dyn Fn(&'static str, BoxFuture<'static, ()>) -> AbortHandle + Send + Sync;

/// Runs the tasks of a replica beside each other.
#[derive(Clone)]
pub struct Tasks(Arc<Spawn>);

impl Tasks {
    /// Tasks that `spawn` starts. It must not run them before it returns.
    pub fn new(spawn: impl Fn(&'static str, BoxFuture<'static, ()>) -> AbortHandle + Send + Sync + 'static) -> Self {
        Self(Arc::new(spawn))
    }

    pub(crate) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        (self.0)(name, Box::pin(task))
    }
}

impl Default for Tasks {
    /// Tasks of the tokio runtime in which they are started.
    fn default() -> Self {
        Self::new(|_, task| tokio::spawn(task).abort_handle())
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tasks")
    }
}

/// What a replica is given at its start.
pub struct Environment {
    /// The clocks of this node.
    pub clock: Arc<dyn Clock>,
    /// Opens channels to other nodes.
    pub connect: Connect,
    /// Seed of openraft's randomness, from which election timeouts follow.
    pub seed: u64,
    /// Tells this process from every other of the node: random, new with each start.
    pub boot: u64,
    /// Receives measurements, and the state after each entry.
    pub observer: Arc<dyn Observer>,
    /// Runs the replica's tasks.
    pub tasks: Tasks,
    /// The newest format that this node reads.
    pub newest_format: Format,
}

impl Environment {
    /// An environment whose tasks are tokio's, for a node that reads every format of this version.
    pub fn new(clock: Arc<dyn Clock>, connect: Connect, (seed, boot): (u64, u64), observer: Arc<dyn Observer>) -> Self {
        Self { clock, connect, seed, boot, observer, tasks: Tasks::default(), newest_format: Format::NEWEST }
    }
}

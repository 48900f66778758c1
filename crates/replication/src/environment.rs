//! What a replica is given from outside: time, the network, randomness, tasks.
//!
//! Everything in which a production node differs from a simulated one comes in here or through the
//! [`Disk`](storage::Disk), and nowhere else. A replica sleeps by the time of the runtime that runs its tasks (tokio's),
//! which a simulation advances as it wants; it starts no thread, opens no file, and blocks nowhere.

use std::{fmt, io, sync::Arc, time::Duration};

use activation::state::Format;
use futures::future::BoxFuture;
use tokio::{sync::oneshot, task::AbortHandle};
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

/// Declares an enum of tasks, each with the name that messages give it.
#[macro_export]
macro_rules! named_tasks {
    ($(#[$attribute:meta])* pub enum $enum:ident { $($(#[$doc:meta])* $task:ident = $name:literal,)* }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $enum {
            $($(#[$doc])* $task,)*
        }

        impl $enum {
            /// Every task.
            pub const ALL: &'static [Self] = &[$(Self::$task,)*];

            /// What messages call it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$task => $name,)*
                }
            }
        }
    };
}

named_tasks! {
    /// The tasks of a replica. Each is started through [`Tasks`], so that whoever runs a replica knows of its end.
    pub enum ReplicaTask {
        /// Puts waiting requests into entries, where the node leads.
        Batcher = "batcher",
        /// Answers the requests of one entry.
        Batch = "batch",
        /// What a leader does beside answering.
        Duties = "duties",
        /// Collects the members' state hashes, where the node leads.
        Hashes = "hashes",
        /// Looks at the members, and settles who votes.
        Members = "members",
        /// Lets the node stand for election, or not.
        Elections = "elections",
        /// Takes another election profile.
        Profile = "profile",
        /// Has the other members admit this node.
        Admission = "admission",
        /// Looks whether the disk hangs.
        HangingDisk = "hanging disk",
        /// Asks whether a majority confirms the leader.
        Confirmation = "confirmation",
        /// Makes room for versions that read an older format.
        Formats = "formats",
        /// Waits for the replica's failure.
        Failure = "failure",
        /// Forwards requests to the leader.
        Forwarding = "forwarding",
        /// Takes the requests that another node forwards.
        Submissions = "submissions",
        /// Answers one message of forwarded requests.
        Submission = "submission",
        /// Stops openraft.
        Shutdown = "shutdown",
    }
}

/// Starts tasks.
type Spawn = dyn Fn(ReplicaTask, BoxFuture<'static, ()>) -> AbortHandle + Send + Sync;

/// Runs the tasks of a replica beside each other.
#[derive(Clone)]
pub struct Tasks(Arc<Spawn>);

impl Tasks {
    /// Tasks that `spawn` starts. It must not run them before it returns.
    pub fn new(spawn: impl Fn(ReplicaTask, BoxFuture<'static, ()>) -> AbortHandle + Send + Sync + 'static) -> Self {
        Self(Arc::new(spawn))
    }

    pub(crate) fn spawn(&self, task: ReplicaTask, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        (self.0)(task, Box::pin(work))
    }
}

impl Default for Tasks {
    /// Tasks of the tokio runtime in which they are started.
    fn default() -> Self {
        Self::new(|_, work| tokio::spawn(work).abort_handle())
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tasks")
    }
}

/// Starts a piece of work.
type Start = dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync;

/// Does what takes long without waiting for anything: encoding, decoding and hashing a whole state. On the threads that run tasks
/// it would hold up heartbeats and answers.
#[derive(Clone)]
pub struct Computations(Arc<Start>);

impl Computations {
    /// Work that `start` does: on another thread, or at once.
    pub fn new(start: impl Fn(Box<dyn FnOnce() + Send>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(start))
    }

    /// Does `work` and waits for its result.
    ///
    /// Errors: it came to no end, because it panicked or the runtime stops.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (done, result) = oneshot::channel();
        self.start(move || drop(done.send(work())));
        result.await.map_err(|_| io::Error::other("a computation came to no end"))
    }

    /// Does `work` without waiting for it.
    pub(crate) fn start(&self, work: impl FnOnce() + Send + 'static) {
        (self.0)(Box::new(work));
    }
}

impl Default for Computations {
    /// On the threads for blocking work of the tokio runtime in which it is started.
    fn default() -> Self {
        Self::new(|work| drop(tokio::task::spawn_blocking(work)))
    }
}

impl fmt::Debug for Computations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Computations")
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
    /// Does the replica's long computations.
    pub computations: Computations,
    /// The newest format that this node reads.
    pub newest_format: Format,
}

impl Environment {
    /// An environment whose tasks and computations are tokio's, for a node that reads every format of this version.
    pub fn new(clock: Arc<dyn Clock>, connect: Connect, (seed, boot): (u64, u64), observer: Arc<dyn Observer>) -> Self {
        let (tasks, computations) = (Tasks::default(), Computations::default());
        Self { clock, connect, seed, boot, observer, tasks, computations, newest_format: Format::NEWEST }
    }
}

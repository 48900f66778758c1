//! What a replica gets from its caller: time, the network, randomness, tasks.
//!
//! Every difference between a production node and a simulated one enters here or through the
//! [`Disk`](storage::Disk), and nowhere else. A replica sleeps by the clock of the runtime that runs its tasks
//! (tokio's), which a simulation advances. A replica starts no thread, opens no file, and never blocks a thread.

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
    /// Whether the operating system reports the wall clock as synchronised; `false` if this cannot be read.
    fn is_synchronised(&self) -> bool;
    /// Time since an origin that stays fixed while the process runs. Never jumps.
    fn monotonic(&self) -> Duration;
}

/// Opens a channel to HOST:PORT. It must return at once, connect when the channel is first used, and reconnect
/// after a failure.
pub type Connect = Arc<dyn Fn(&str) -> Result<Channel, tonic::transport::Error> + Send + Sync>;

/// Declares an enum of tasks, each with the name that log messages use.
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

            /// The task's name in log messages.
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
    /// The tasks of a replica. Each is started through [`Tasks`], so that the caller that runs a replica can
    /// observe when a task ends.
    pub enum ReplicaTask {
        /// On the leader: collects waiting requests into log entries.
        Batcher = "batcher",
        /// Answers the requests of one log entry.
        Batch = "batch",
        /// The leader's duties apart from answering requests: it samples clocks and advances cluster time.
        Duties = "duties",
        /// On the leader: collects the members' state hashes.
        Hashes = "hashes",
        /// Checks whether the members answer, and decides which of them vote.
        Members = "members",
        /// Enables or disables this node's elections.
        Elections = "elections",
        /// Changes the node's election profile.
        Profile = "profile",
        /// Says Hello to the other members, so that they admit this node.
        Admission = "admission",
        /// Checks whether the disk finishes writes.
        HangingDisk = "hanging disk",
        /// Asks repeatedly whether a majority confirms the leader.
        Confirmation = "confirmation",
        /// After a downgrade of the format, removes from the disk what older versions cannot read.
        Formats = "formats",
        /// Waits for a failure of the replica.
        Failure = "failure",
        /// Forwards requests to the leader.
        Forwarding = "forwarding",
        /// Receives the requests that another node forwards.
        Submissions = "submissions",
        /// Answers one message of forwarded requests.
        Submission = "submission",
        /// Stops openraft.
        Shutdown = "shutdown",
    }
}

/// Starts tasks.
type Spawn = dyn Fn(ReplicaTask, BoxFuture<'static, ()>) -> AbortHandle + Send + Sync;

/// Runs the tasks of a replica concurrently.
#[derive(Clone)]
pub struct Tasks(Arc<Spawn>);

impl Tasks {
    /// Tasks that `spawn` starts. `spawn` must not run a task before it returns.
    pub fn new(spawn: impl Fn(ReplicaTask, BoxFuture<'static, ()>) -> AbortHandle + Send + Sync + 'static) -> Self {
        Self(Arc::new(spawn))
    }

    pub(crate) fn spawn(&self, task: ReplicaTask, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        (self.0)(task, Box::pin(work))
    }
}

impl Default for Tasks {
    /// Tasks that run on the tokio runtime in which they are started.
    fn default() -> Self {
        Self::new(|_, work| tokio::spawn(work).abort_handle())
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tasks")
    }
}

/// Starts a computation.
type Start = dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync;

/// Runs long computations: encoding, decoding and hashing a whole state. They wait for no input or output. On the
/// threads that run tasks they would delay heartbeats and answers.
#[derive(Clone)]
pub struct Computations(Arc<Start>);

impl Computations {
    /// Computations that `start` runs, on another thread or at once.
    pub fn new(start: impl Fn(Box<dyn FnOnce() + Send>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(start))
    }

    /// Runs `work` and waits for its result.
    ///
    /// Errors: `work` panicked, or the runtime stops.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (done, result) = oneshot::channel();
        self.start(move || drop(done.send(work())));
        result.await.map_err(|_| io::Error::other("a computation did not complete"))
    }

    /// Runs `work` without waiting for it.
    pub(crate) fn start(&self, work: impl FnOnce() + Send + 'static) {
        (self.0)(Box::new(work));
    }
}

impl Default for Computations {
    /// Runs computations on the blocking threads of the tokio runtime in which they are started.
    fn default() -> Self {
        Self::new(|work| drop(tokio::task::spawn_blocking(work)))
    }
}

impl fmt::Debug for Computations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Computations")
    }
}

/// What a replica gets at its start.
pub struct Environment {
    /// The clocks of this node.
    pub clock: Arc<dyn Clock>,
    /// Opens channels to other nodes.
    pub connect: Connect,
    /// Seed of openraft's randomness, which determines the election timeouts.
    pub seed: u64,
    /// Distinguishes this process from every other process of the node: random, new at each start.
    pub boot: u64,
    /// Receives measurements, and the state after each entry.
    pub observer: Arc<dyn Observer>,
    /// Runs the replica's tasks.
    pub tasks: Tasks,
    /// Runs the replica's long computations.
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

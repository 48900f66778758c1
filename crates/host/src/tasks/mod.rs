//! The only module in which the daemon starts tasks and threads. Each has a name, which is logged when it panics.
//!
//! A node in which a task panicked works only in part: for example, requests are not batched any more, or members
//! not checked, and no other task notices it. So a panic in any task ends the process ([`panic`]), and its
//! supervisor starts it again.

mod calls;
pub(crate) mod panic;

use std::{io, thread};

use replication::{Computations, ReplicaTask, Tasks};
use tokio::task::{AbortHandle, JoinError, JoinSet};

pub(crate) use self::calls::NamedCalls;
use crate::test_hooks;

replication::named_tasks! {
    /// The daemon's own tasks and threads, and the calls that it answers.
    pub enum HostTask {
        /// Serves port 1688.
        ClientPort = "client port",
        /// One connection of a client.
        ClientConnection = "client connection",
        /// Serves port 1689.
        PeerPort = "peer port",
        /// A call of another node.
        PeerCall = "peer call",
        /// A call of this node to its own node service.
        InProcessCall = "in-process call",
        /// Serves the administration socket and port 1690.
        AdminPort = "administration port",
        /// A call of an administrator.
        AdminCall = "administration call",
        /// Streams events to an administrator.
        EventStream = "event stream",
        /// Serves port 9688.
        HttpPort = "http port",
        /// One connection to port 9688.
        HttpConnection = "http connection",
        /// Gathers the data of the console.
        Console = "console",
        /// Renews the node's certificate.
        CertificateRenewal = "certificate renewal",
        /// Signs or reads a new certificate.
        CertificateLoad = "certificate load",
        /// Sends the authority's key to voters.
        AuthorityKey = "authority key",
        /// Maintains the registry of keys.
        KeyRegistry = "key registry",
        /// Adds this node to its cluster after it joined with a token.
        Joining = "joining",
        /// Reads or removes `joining.toml`.
        JoinFile = "join file",
        /// Follows the publishers' certificates for this node's keys.
        NodeKeys = "node keys",
        /// Updates the folder of private keys to the state.
        KeyFolder = "key folder",
        /// Follows the settings that take effect while the node runs.
        LiveSettings = "live settings",
        /// Estimates the number of distinct machines.
        DistinctMachines = "distinct machines",
        /// Saves the sketches of the estimates.
        SketchFolder = "sketch folder",
        /// Reports the lines that were left out of the log.
        LogLimit = "log limit",
        /// Writes the log.
        LogWriter = "log writer",
        /// Counts changes of the leader.
        LeaderChanges = "leader changes",
        /// Logs what happens to the cluster.
        ClusterLife = "cluster life",
        /// Probes the gateway's upstreams, and serves its mirrors.
        GatewayUpkeep = "gateway upkeep",
        /// Follows the gateway's settings; on the leader, chooses the preferred upstreams.
        GatewayChoice = "gateway choice",
        /// Publishes the node's DNS records.
        DnsPublishing = "dns publishing",
        /// Withdraws the DNS records of dead members.
        DnsWatch = "dns watch",
        /// Keeps the delegated zone up to date.
        DnsZone = "dns zone",
        /// Answers DNS on one address.
        DnsServer = "dns server",
        /// Writes the activation log.
        ActivationLog = "activation log",
        /// Reads the activation log.
        ActivationLogRead = "activation log read",
        /// Opens the data folder.
        StoreOpening = "store opening",
        /// Measures the disk's fsync latency.
        DiskProbe = "disk probe",
        /// Encodes or decodes a whole state.
        Computation = "computation",
    }
}

tokio::task_local! {
    static NAME: &'static str;
}

/// The name of the task that runs on this thread; outside of a task, the name of the thread.
fn current() -> String {
    NAME.try_with(|name| (*name).to_owned())
        .unwrap_or_else(|_| thread::current().name().unwrap_or("unnamed").to_owned())
}

/// Runs `work` under the name of its task.
pub(crate) fn named<F: Future>(task: HostTask, work: F) -> impl Future<Output = F::Output> {
    under(task.name(), work)
}

fn under<F: Future>(name: &'static str, work: F) -> impl Future<Output = F::Output> {
    // Pinned before it is moved: an async block that awaits a captured future holds it twice, and there are
    // thousands of connections.
    let work = Box::pin(work);
    NAME.scope(name, async move {
        test_hooks::panic_in(name);
        work.await
    })
}

/// Starts a task that is aborted when `tasks` is dropped.
pub(crate) fn spawn(
    tasks: &mut JoinSet<()>,
    task: HostTask,
    work: impl Future<Output = ()> + Send + 'static,
) -> AbortHandle {
    tasks.spawn(named(task, work))
}

/// Starts a task that ends by itself.
pub(crate) fn spawn_alone(
    task: HostTask,
    work: impl Future<Output = ()> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(named(task, work))
}

/// Starts tasks for the replica.
pub(crate) fn of_replica() -> Tasks {
    Tasks::new(|task: ReplicaTask, work| tokio::spawn(under(task.name(), work)).abort_handle())
}

/// Runs the long computations of the replica, each on a thread for blocking work.
pub(crate) fn computations() -> Computations {
    Computations::new(|work| drop(tokio::task::spawn_blocking(move || on_thread(HostTask::Computation, work))))
}

/// Runs `work`, which waits for the disk, on a thread for blocking work.
///
/// Errors: the runtime is stopping. Where a panic of `work` does not end the process, it continues in the caller.
pub(crate) async fn blocking<T: Send + 'static>(
    task: HostTask,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let outcome = tokio::task::spawn_blocking(move || on_thread(task, work)).await;
    outcome.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(stopped) => stopping(stopped),
    })
}

fn stopping(error: JoinError) -> io::Error {
    io::Error::other(error)
}

/// Starts a thread.
pub(crate) fn thread(task: HostTask, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(task.name().into()).spawn(move || on_thread(task, work)).map(drop)
}

fn on_thread<T>(task: HostTask, work: impl FnOnce() -> T) -> T {
    NAME.sync_scope(task.name(), || {
        test_hooks::panic_in(task.name());
        work()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_task_has_a_name_of_its_own() {
        let own = HostTask::ALL.iter().map(|task| task.name());
        let names: Vec<_> = own.chain(ReplicaTask::ALL.iter().map(|task| task.name())).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }

    #[tokio::test]
    async fn a_task_knows_its_name_wherever_it_runs() {
        assert_eq!(named(HostTask::Console, async { current() }).await, "console");
        assert_eq!(blocking(HostTask::DiskProbe, current).await.unwrap(), "disk probe");
        let (said, heard) = std::sync::mpsc::sync_channel(1);
        thread(HostTask::ActivationLog, move || said.send(current()).unwrap()).unwrap();
        assert_eq!(heard.recv().unwrap(), "activation log");
    }

    #[tokio::test]
    async fn if_the_process_continues_a_panic_of_blocking_work_is_returned_to_its_caller() {
        let caller = tokio::spawn(blocking(HostTask::DiskProbe, || panic!("a defect")));
        assert!(caller.await.is_err_and(|error| error.is_panic()));
    }
}

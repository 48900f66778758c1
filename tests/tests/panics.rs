//! A panic in any task ends the process, and the log names the task and the reason.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    io::{ErrorKind, Write, pipe},
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use host::HostTask;
use quorate_tests::{Cluster, Plan, Product, Quorate, TIMEOUT, ZONE, cmid, eventually, free_port, now_ms, words};
use replication::ReplicaTask;
use rustix::{
    fs::{OFlags, fcntl_setfl},
    process::Signal,
};
use storage::WRITER_THREAD;
use tokio::{net::TcpStream, time::timeout};
use transport::{Folder, Subject};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const PRODUCT: &str = "workstation-professional-2";
/// Environment variable with the name of the task that panics.
const VARIABLE: &str = "QUORATE_TEST_PANIC";

/// The event that makes a task run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    /// The node starts.
    Start,
    /// A client sends a request to the node.
    Request,
    /// An administrator runs this command.
    Command(&'static str),
    /// An administrator makes a backup.
    Backup,
    /// A connection is opened to port 9688.
    Http,
    /// A certificate of the node is near its end.
    Certificate,
    /// The process receives SIGTERM.
    Stop,
    /// Other nodes call this node.
    Others,
    /// A client sends a request to a follower.
    RequestToFollower,
    /// A client sends a request to another node while this one is the leader.
    RequestToLead,
}

use Trigger::{Backup, Certificate, Command, Http, Others, Request, RequestToFollower, RequestToLead, Start, Stop};

impl Trigger {
    fn needs_others(self) -> bool {
        matches!(self, Others | RequestToFollower | RequestToLead)
    }
}

/// The trigger of each task of a replica. A new task does not compile without its line here.
fn of_replica(task: ReplicaTask) -> Trigger {
    match task {
        ReplicaTask::Batcher
        | ReplicaTask::Duties
        | ReplicaTask::Members
        | ReplicaTask::Elections
        | ReplicaTask::Profile
        | ReplicaTask::Hashes
        | ReplicaTask::Admission
        | ReplicaTask::HangingDisk
        | ReplicaTask::Confirmation
        | ReplicaTask::Formats
        | ReplicaTask::Failure => Start,
        ReplicaTask::Batch => Request,
        ReplicaTask::Forwarding => RequestToFollower,
        ReplicaTask::Submissions | ReplicaTask::Submission => RequestToLead,
        ReplicaTask::Shutdown => Stop,
    }
}

/// The trigger of each task of the daemon. A new task does not compile without its line here.
fn of_host(task: HostTask) -> Trigger {
    match task {
        HostTask::ClientPort
        | HostTask::PeerPort
        | HostTask::InProcessCall
        | HostTask::AdminPort
        | HostTask::HttpPort
        | HostTask::Console
        | HostTask::CertificateRenewal
        | HostTask::AuthorityKey
        | HostTask::KeyRegistry
        | HostTask::Joining
        | HostTask::JoinFile
        | HostTask::NodeKeys
        | HostTask::KeyFolder
        | HostTask::LiveSettings
        | HostTask::DistinctMachines
        | HostTask::SketchFolder
        | HostTask::LogLimit
        | HostTask::LogWriter
        | HostTask::LeaderChanges
        | HostTask::ClusterLife
        | HostTask::GatewayUpkeep
        | HostTask::GatewayChoice
        | HostTask::DnsPublishing
        | HostTask::DnsWatch
        | HostTask::DnsZone
        | HostTask::DnsServer
        | HostTask::ActivationLog
        | HostTask::StoreOpening => Start,
        HostTask::ClientConnection => Request,
        HostTask::PeerCall => Others,
        HostTask::AdminCall => Command("count"),
        HostTask::EventStream | HostTask::ActivationLogRead => Command("events"),
        HostTask::DiskProbe => Command("doctor"),
        HostTask::Computation => Backup,
        HostTask::HttpConnection => Http,
        HostTask::CertificateLoad => Certificate,
    }
}

fn table() -> Vec<(&'static str, Trigger)> {
    let replica = ReplicaTask::ALL.iter().map(|task| (task.name(), of_replica(*task)));
    let host = HostTask::ALL.iter().map(|task| (task.name(), of_host(*task)));
    replica.chain(host).chain([(WRITER_THREAD, Start)]).collect()
}

/// Asserts that the process aborted, and that the log names the task and the reason.
fn assert_aborted(task: &str, ended: ExitStatus, said: &str) {
    assert_eq!(ended.signal(), Some(Signal::ABORT.as_raw()), "{task}: {ended}\n{said}");
    let line = said.lines().find(|line| line.contains("a task panicked"));
    let line = line.unwrap_or_else(|| panic!("{task}: no line says that a task panicked:\n{said}"));
    for words in [format!("task=\"{task}\""), format!("a test injects a panic into {task}"), ".rs:".into()] {
        assert!(line.contains(&words), "{task}: `{words}` is not in {line}");
    }
}

/// Triggers the task repeatedly until the node ends.
async fn ends(cluster: &mut Cluster, node: u64, task: &str, trigger: Trigger, product: &Product) {
    let seen = cluster.said(node).len();
    let ended = eventually(&format!("a panic in {task} ends the process"), async || {
        if cluster.has_ended(node).is_none() {
            set_off(cluster, node, trigger, product, seen).await;
        }
        cluster.has_ended(node)
    })
    .await;
    assert_aborted(task, ended, &cluster.said(node)[seen..]);
}

/// Triggers the task; `seen` is the length of the node's log before.
async fn set_off(cluster: &Cluster, node: u64, trigger: Trigger, product: &Product, seen: usize) {
    match trigger {
        Start | Others | Certificate => {}
        Request | RequestToFollower => {
            let _no_answer = product.activate(cluster.node(node).clients, cmid(1)).await;
        }
        RequestToLead => {
            let other = cluster.numbers().into_iter().find(|other| *other != node).unwrap();
            let _may_lead_already =
                cluster.admin(other, &words!["cluster", "transfer", "--to", node.to_string()]).await;
            let _no_answer = product.activate(cluster.node(other).clients, cmid(1)).await;
        }
        Command(command) => {
            cluster.admin(node, &words![command]).await;
        }
        Backup => {
            cluster.admin(node, &words!["cluster", "backup", cluster.path("backup")]).await;
        }
        Http => drop(TcpStream::connect(cluster.node(node).metrics).await),
        Stop => {
            if cluster.said(node)[seen..].contains("the node runs") {
                cluster.process(node).terminate();
            }
        }
    }
}

#[tokio::test]
async fn a_panic_in_any_task_of_a_node_ends_its_process_and_the_log_names_task_and_reason() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    let server = free_port(cluster.loopback().address(1)).to_string();
    let name = format!("node1.{ZONE}");
    let dns = [
        ("QUORATE_DNS_TARGET", name.as_str()),
        ("QUORATE_DNS_PUBLISH", "false"),
        ("QUORATE_DNS_SERVE", &server),
        ("QUORATE_DNS_ZONE", ZONE),
    ];
    for (name, value) in dns {
        cluster.set_variable(1, name, value);
    }
    cluster.form().await;
    cluster.activate().await;
    let product = cluster.product(PRODUCT);
    assert_eq!(cluster.stop(1).await, Some(0));
    for (task, trigger) in table().into_iter().filter(|(_, trigger)| !trigger.needs_others()) {
        if trigger == Certificate {
            let lifetime = Duration::from_secs(6);
            let tls = Folder::at(&cluster.node(1).data.join("tls"));
            let key = tls.node_key().unwrap();
            let renewed = tls.authority().unwrap().renew(&Subject::Node(1), &key, now_ms(), lifetime);
            tls.renew_node(&renewed.unwrap()).unwrap();
            cluster.set_variable(1, "QUORATE_TEST_CERTIFICATE_LIFETIME_S", lifetime.as_secs().to_string());
        }
        cluster.set_variable(1, VARIABLE, task);
        cluster.start(1);
        ends(&mut cluster, 1, task, trigger, &product).await;
        cluster.unset_variable(1, VARIABLE);
    }
}

#[tokio::test]
async fn a_panic_in_a_task_that_works_for_other_nodes_ends_its_process_and_the_others_go_on() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    let product = cluster.product(PRODUCT);
    for (task, trigger) in table().into_iter().filter(|(_, trigger)| trigger.needs_others()) {
        let leader = cluster.settled(1).await.leader.unwrap();
        let node = cluster.numbers().into_iter().find(|node| *node != leader).unwrap();
        assert_eq!(cluster.stop(node).await, Some(0));
        cluster.set_variable(node, VARIABLE, task);
        cluster.start(node);
        ends(&mut cluster, node, task, trigger, &product).await;
        let other = cluster.numbers().into_iter().find(|other| *other != node).unwrap();
        eventually("the others answer", async || product.activate(cluster.node(other).clients, cmid(2)).await.ok())
            .await;
        cluster.unset_variable(node, VARIABLE);
        cluster.start(node);
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_does_not_keep_a_process_in_which_a_task_panicked() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.form().await;
    assert_eq!(cluster.stop(1).await, Some(0));
    let (_unread, mut full) = pipe().unwrap();
    fcntl_setfl(&full, OFlags::NONBLOCK).unwrap();
    let error = loop {
        if let Err(error) = full.write(&[b'.'; 4096]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    fcntl_setfl(&full, OFlags::empty()).unwrap();
    let mut command = Quorate::at(QUORATE).command(words!["host", "run", "--config", &cluster.node(1).config]);
    // The line about the panic is the first that the node writes.
    command.env("QUORATE_LOG", "off,host::tasks=error").env(VARIABLE, ReplicaTask::Batcher.name());
    let mut node = command.stdout(Stdio::null()).stderr(full).kill_on_drop(true).spawn().unwrap();
    let ended = timeout(TIMEOUT, node.wait()).await.expect("the process ends").unwrap();
    assert_eq!(ended.signal(), Some(Signal::ABORT.as_raw()));
}

#[tokio::test]
async fn an_entry_whose_application_panics_stops_the_node_with_that_reason() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    cluster.set_variable(3, "QUORATE_TEST_CHECK_INVARIANTS", "1");
    cluster.set_variable(3, VARIABLE, "apply");
    cluster.form().await;
    let ended = eventually("the node ends", async || cluster.has_ended(3)).await;
    let said = cluster.said(3);
    assert_eq!(ended.code(), Some(1), "{said}");
    for words in ["a panic was caught", "node 3 stopped: ", "panicked (a test injects a panic into apply)"] {
        assert!(said.contains(words), "`{words}` is not in {said}");
    }
}

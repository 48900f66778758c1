//! A reader of the log that stops reading does not stop the node; the log level comes from a flag, a variable, or the
//! configuration.

use std::{
    fs,
    io::{ErrorKind, PipeReader, PipeWriter, Write, pipe},
    os::unix::fs::MetadataExt,
    process::Stdio,
};

use quorate_tests::{Cluster, Network, Plan, Quorate, TIMEOUT, eventually, page, value, words};
use rustix::{
    fs::{OFlags, fcntl_setfl},
    process::{Pid, Signal, kill_process},
};
use tokio::{
    net::UnixDatagram,
    process::{Child, Command},
    time::timeout,
};

use crate::{PRODUCT, QUORATE};

/// How many requests are sent; each one writes a line to the log.
const REQUESTS: u64 = 200;

/// A full pipe whose other end is open and is not read.
fn unread_pipe() -> (PipeReader, PipeWriter) {
    let (unread, mut log) = pipe().unwrap();
    fcntl_setfl(&log, OFlags::NONBLOCK).unwrap();
    let error = loop {
        if let Err(error) = log.write(&[b'.'; 4096]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    fcntl_setfl(&log, OFlags::empty()).unwrap();
    (unread, log)
}

/// Checks that all services of a node work, and that it stops when it is told to.
async fn serves_and_stops(cluster: &Cluster, node: &mut Child) {
    let at = cluster.node(1);
    cluster.led(1).await;
    let product = cluster.product(PRODUCT);
    for machine in 1..=REQUESTS {
        product.count(at.clients, machine).await;
    }
    assert_eq!(page(at.metrics, "/livez").await, Some((200, "ok\n".into())));
    assert!(cluster.status(1).await.is_some(), "administration answers");
    let pid = Pid::from_raw(i32::try_from(node.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let ended = timeout(TIMEOUT, node.wait()).await.expect("the node ends").unwrap();
    assert_eq!(ended.code(), Some(0));
}

fn host_run(cluster: &Cluster) -> Command {
    let mut command = Quorate::at(QUORATE).command(words!["host", "run", "--config", &cluster.node(1).config]);
    command.stdout(Stdio::null());
    command
}

#[tokio::test]
async fn a_log_that_is_not_read_holds_nothing_up_and_what_is_dropped_is_counted() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    assert_eq!(cluster.stop(1).await, Some(0));
    let (_unread, log) = unread_pipe();
    let mut node = host_run(&cluster).env("QUORATE_LOG", "trace,openraft=trace").stderr(log).spawn().unwrap();
    cluster.led(1).await;
    let product = cluster.product(PRODUCT);
    let mut machine = 0;
    eventually("lines are dropped", async || {
        machine += 1;
        product.count(cluster.node(1).clients, machine).await;
        let (_, metrics) = page(cluster.node(1).metrics, "/metrics").await?;
        value(&metrics, "quorate_log_lines_dropped_total").filter(|dropped| *dropped > 0.0)
    })
    .await;
    serves_and_stops(&cluster, &mut node).await;
}

#[tokio::test]
async fn a_node_that_cannot_start_ends_although_its_last_line_is_not_read() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.form().await;
    let (_unread, log) = unread_pipe();
    // The ports of the node are in use.
    let mut second = host_run(&cluster).stderr(log).kill_on_drop(true).spawn().unwrap();
    let ended = timeout(TIMEOUT, second.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(2));
}

#[tokio::test]
async fn a_journal_that_does_not_read_holds_nothing_up() {
    let test = "logs::a_journal_that_does_not_read_holds_nothing_up";
    // The journal's socket has the same path on every machine; in this namespace it belongs to the test.
    let Some(_network) = Network::of(test).await else { return };
    fs::create_dir_all("/run/systemd/journal").unwrap();
    let _unread = UnixDatagram::bind("/run/systemd/journal/socket").unwrap();
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    assert_eq!(cluster.stop(1).await, Some(0));
    let log = fs::File::create(cluster.path("journal")).unwrap();
    let standing = log.metadata().unwrap();
    let mut command = host_run(&cluster);
    command.env("JOURNAL_STREAM", format!("{}:{}", standing.dev(), standing.ino()));
    let mut node = command.stderr(log).spawn().unwrap();
    serves_and_stops(&cluster, &mut node).await;
}

#[tokio::test]
async fn a_drain_and_a_stop_are_no_errors() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    cluster.settled(1).await;
    let leader = cluster.settled(1).await.leader.unwrap();
    let drained = cluster.admin(leader, &words!["host", "drain", "--wait", "0", "--force"]).await;
    assert_eq!(drained.code, Some(0), "{}", drained.stderr);
    assert_eq!(cluster.ended(leader).await, Some(0));
    let other = leader % 3 + 1;
    assert_eq!(cluster.stop(other).await, Some(0));
    for node in [leader, other] {
        let said = cluster.said(node);
        assert!(!said.contains("ERROR"), "node {node}: {said}");
        assert!(said.contains("stopping: finishing open requests"), "{said}");
    }
}

#[tokio::test]
async fn what_is_logged_is_chosen_by_flag_configuration_and_variables_in_this_order() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.form().await;
    assert_eq!(cluster.stop(1).await, Some(0));
    // For each set of variables, whether the log shows the start of the node, which is logged at level info.
    let cases: [(&[(&str, &str)], bool); 5] = [
        (&[], true),
        (&[("RUST_LOG", "error")], false),
        (&[("RUST_LOG", "error"), ("QUORATE_LOG", "info")], true),
        (&[("QUORATE_LOG", "info"), ("QUORATE_LOG_LEVEL", "error")], false),
        (&[("RUST_LOG", "error"), ("QUORATE_LOG_LEVEL", "warn,quorate=info")], true),
    ];
    for (variables, is_said) in cases {
        for (name, value) in variables {
            cluster.set_variable(1, name, *value);
        }
        let before = cluster.said(1).len();
        cluster.start(1);
        cluster.led(1).await;
        assert_eq!(cluster.stop(1).await, Some(0));
        assert_eq!(cluster.said(1)[before..].contains("the node runs"), is_said, "{variables:?}");
        variables.iter().for_each(|(name, _)| cluster.unset_variable(1, name));
    }
    let misspelt = cluster.run_host(&cluster.node(1).config, &["--log-level", "inof"]).await;
    assert_eq!(misspelt.code, Some(2));
    assert!(misspelt.stderr.contains("log.level") && misspelt.stderr.contains("debug"), "{}", misspelt.stderr);
}

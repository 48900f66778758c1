//! A low limit of open files: connections of clients never take the descriptors that the node itself needs.

use std::{fs, process::Stdio};

use quorate_tests::{Cluster, Plan, Quorate, TIMEOUT, eventually, finished, page, value, words};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};

use crate::{PRODUCT, QUORATE};

/// `host run` of node 1 with these limits of open files, soft and hard.
fn limited(cluster: &Cluster, limits: &str) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={limits}")).arg(QUORATE);
    command.args(words!["host", "run", "--config", &cluster.node(1).config]);
    let log = fs::File::options().append(true).open(&cluster.node(1).log).unwrap();
    command.stdout(Stdio::null()).stderr(log).kill_on_drop(true);
    command
}

/// Whether a page has arrived completely.
fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
    body.len() >= length.trim().parse::<usize>().unwrap()
}

async fn started(cluster: &Cluster, limits: &str) -> Child {
    let node = limited(cluster, limits).spawn().unwrap();
    cluster.led(1).await;
    node
}

#[tokio::test]
async fn the_limit_is_raised_to_the_most_that_there_may_be() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    assert_eq!(cluster.stop(1).await, Some(0));
    let node = started(&cluster, "64:4321").await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", node.id().unwrap())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<_> = line.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
    assert_eq!(numbers, ["4321", "4321"]);
    drop(node);
    let mut too_few = limited(&cluster, "100:100");
    let refused = finished(too_few.stderr(Stdio::piped())).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("only 100 files") && refused.stderr.contains("LimitNOFILE"), "{}", refused.stderr);
}

#[tokio::test]
async fn clients_and_strangers_leave_peers_administration_and_metrics_their_descriptors() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    assert_eq!(cluster.stop(1).await, Some(0));
    let _node = started(&cluster, "128:128").await;
    let at = cluster.node(1);
    let (clients, metrics_at) = (at.clients, at.metrics);
    let mut held = Vec::new();
    for _ in 0..200 {
        for port in [at.clients, at.admin, at.peers, at.metrics] {
            held.push(TcpStream::connect(port).await.unwrap());
        }
    }
    // One request of each kind is served while all of these connections are open.
    assert_eq!(page(metrics_at, "/livez").await, Some((200, "ok\n".into())));
    assert!(cluster.status(1).await.is_some(), "administration answers");
    cluster.product(PRODUCT).count(clients, 1).await;
    assert_eq!(cluster.stop(2).await, Some(0));
    cluster.start(2);
    cluster.settled(2).await;
    let (_, metrics) = page(metrics_at, "/metrics").await.unwrap();
    for port in ["clients", "peers", "admin", "metrics"] {
        let series = format!("quorate_connections_refused_total{{port=\"{port}\",limit=\"system\"}}");
        assert_eq!(value(&metrics, &series), Some(0.0), "{port}: {metrics}");
    }
    drop(held);
    let doctor = cluster.admin(1, &words!["doctor"]).await;
    let warned = doctor.stdout.contains("clients.connections_max") && doctor.stdout.contains("LimitNOFILE");
    assert!(warned, "{}{}", doctor.stdout, doctor.stderr);
    assert!(cluster.said(1).contains("the limit on open files is low"), "{}", cluster.said(1));
}

#[tokio::test]
async fn a_node_that_has_no_descriptor_left_waits_for_one_and_says_so_a_few_times() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    assert_eq!(cluster.stop(1).await, Some(0));
    let node = started(&cluster, "1024:2048").await;
    let at = cluster.node(1);
    let limit = async |soft: &str| {
        let pid = node.id().unwrap().to_string();
        let limited = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={soft}:")]).status().await;
        assert!(limited.unwrap().success());
    };
    // Opened before the limit is lowered, so that it needs no further descriptor.
    let mut probe = TcpStream::connect(at.metrics).await.unwrap();
    let mut scrape = async || {
        probe.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut text = String::new();
        while !is_whole(&text) {
            let mut part = vec![0; 65_536];
            let read = timeout(TIMEOUT, probe.read(&mut part)).await.expect("the node answers").unwrap();
            assert!(read > 0);
            text.push_str(&String::from_utf8_lossy(&part[..read]));
        }
        text
    };
    scrape().await;
    limit("10").await;
    let _waiting = TcpStream::connect(at.clients).await.unwrap();
    let series = "quorate_connections_refused_total{port=\"clients\",limit=\"system\"}";
    let refused = eventually("it has tried several times", async || {
        value(&scrape().await, series).filter(|refused| *refused >= 3.0)
    })
    .await;
    assert!(refused < 1000.0, "it does not try without a pause: {refused}");
    limit("1024").await;
    cluster.product(PRODUCT).count(at.clients, 1).await;
    let lines = cluster.said(1).matches("a connection could not be accepted").count();
    assert!((1..=10).contains(&lines), "{lines}");
}

//! Floods of connections on each port of three nodes, while client machines, an administrator, probes and the nodes
//! themselves continue.
//!
//! They take minutes, so the usual run leaves them out. `cargo xtask test hostile` runs them and prints a table: how
//! many requests were served and refused, the longest wait, and the memory of the nodes, before, during and after.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod honest;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use quorate_tests::{Cluster, Flood, Load, Plan, Quorate, ZONE, free_port};
use tokio::{
    net::UdpSocket,
    task::JoinSet,
    time::{Instant, interval},
};

use self::honest::{Honest, Measured, Phase, QUORATE};

/// By how many megabytes a flood may raise the memory of a node.
const MEMORY_MB_MAX: u64 = 64;

/// Source addresses for floods.
fn strangers(number: u8) -> Vec<Ipv4Addr> {
    (1..=number).map(|stranger| Ipv4Addr::new(127, 99, 1, stranger)).collect()
}

async fn three_nodes() -> Cluster {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    cluster.settled(1).await;
    cluster
}

/// Starts one flood for each node; `port` returns its parameters by the node's number.
async fn floods(cluster: &Cluster, port: impl Fn(u64) -> (SocketAddr, u8, usize, &'static [u8])) -> Vec<Flood> {
    let mut floods = Vec::new();
    for node in cluster.numbers() {
        let (target, sources, of_each, bytes) = port(node);
        floods.push(Flood::begin(target, &strangers(sources), of_each, bytes).await);
    }
    floods
}

/// A flood test; compares what honest callers get during the flood with what they get before.
struct Run {
    name: &'static str,
    honest: Honest,
    phases: Vec<Phase>,
}

impl Run {
    async fn begin(name: &'static str, cluster: &Cluster) -> Self {
        Self::begin_with_dns(name, cluster, Vec::new()).await
    }

    /// Begins a test with nodes that serve DNS at these addresses.
    async fn begin_with_dns(name: &'static str, cluster: &Cluster, servers: Vec<SocketAddr>) -> Self {
        honest::write_down(name, &[]);
        let mut run = Self { name, honest: Honest::new(cluster, servers).await, phases: Vec::new() };
        run.phase(cluster, "before", Vec::new()).await;
        run
    }

    async fn phase(&mut self, cluster: &Cluster, name: &'static str, more: Vec<(&'static str, Measured)>) {
        let mut phase = self.honest.ask(cluster, name).await;
        phase.asked.extend(more);
        self.phases.push(phase);
    }

    /// Measures once more after the flood.
    async fn end(mut self, cluster: &Cluster) {
        self.phase(cluster, "after", Vec::new()).await;
        honest::write_down(self.name, &self.phases);
        for phase in &self.phases {
            for (who, measured) in &phase.asked {
                assert_eq!(measured.refused, 0, "{who}, {}: {measured:?}", phase.name);
            }
            let grown_mb = phase.memory_mb.saturating_sub(self.phases[0].memory_mb);
            assert!(grown_mb < MEMORY_MB_MAX * 3, "{}: {grown_mb} MB", phase.name);
        }
    }
}

#[tokio::test]
async fn hostile_silent_connections_to_1688() {
    let cluster = three_nodes().await;
    let mut run = Run::begin("silent connections to 1688", &cluster).await;
    // One node gets more connections than a port accepts in total, the others as many as one or a few sources may
    // have.
    let floods = floods(&cluster, |node| {
        let (sources, of_each) = if node == 1 { (200, 22) } else { (4, 300) };
        (cluster.node(node).clients, sources, of_each, b"")
    });
    let floods = floods.await;
    run.phase(&cluster, "during", Vec::new()).await;
    drop(floods);
    run.end(&cluster).await;
}

#[tokio::test]
async fn hostile_half_open_connections_to_1689() {
    let mut cluster = three_nodes().await;
    let mut run = Run::begin("half-open connections to 1689", &cluster).await;
    let floods = floods(&cluster, |node| (cluster.node(node).peers, 9, 133, b"")).await;
    assert_eq!(cluster.stop(3).await, Some(0));
    let began = Instant::now();
    cluster.start(3);
    cluster.settled(3).await;
    let rejoined = Measured { served: 1, refused: 0, longest: began.elapsed() };
    run.phase(&cluster, "during", vec![("node 3 rejoins", rejoined)]).await;
    drop(floods);
    run.end(&cluster).await;
}

#[tokio::test]
async fn hostile_half_open_connections_to_1690() {
    let cluster = three_nodes().await;
    let mut run = Run::begin("half-open connections to 1690", &cluster).await;
    let floods = floods(&cluster, |node| (cluster.node(node).admin, 9, 133, b"")).await;
    run.phase(&cluster, "during", Vec::new()).await;
    drop(floods);
    run.end(&cluster).await;
}

#[tokio::test]
async fn hostile_half_requests_to_9688() {
    let cluster = three_nodes().await;
    let mut run = Run::begin("half requests to 9688", &cluster).await;
    let floods = floods(&cluster, |node| (cluster.node(node).metrics, 9, 66, b"GET /metrics HTTP/1.1\r\n")).await;
    run.phase(&cluster, "during", Vec::new()).await;
    drop(floods);
    run.end(&cluster).await;
}

#[tokio::test]
async fn hostile_requests_of_new_machines_to_1688() {
    let cluster = three_nodes().await;
    let mut run = Run::begin("requests of new machines to 1688", &cluster).await;
    let load = Load::start(&cluster, &run.honest.product, 16);
    load.more(1000).await;
    run.phase(&cluster, "during", Vec::new()).await;
    load.end().await;
    run.end(&cluster).await;
}

/// How many queries are sent to each address in each interval of [`ASKING`].
const QUESTIONS_AT_ONCE: usize = 10;
/// Pause between queries. It sets the pace of the attack; no test waits for it.
const ASKING: Duration = Duration::from_millis(5);

/// Sends queries to `servers` without reading the answers, until the result is dropped.
async fn questions(servers: &[SocketAddr], sources: &[Ipv4Addr]) -> JoinSet<()> {
    let mut asking = JoinSet::new();
    for source in sources {
        let socket = UdpSocket::bind((*source, 0)).await.unwrap();
        let (servers, question) = (servers.to_vec(), honest::question());
        asking.spawn(async move {
            let mut pace = interval(ASKING);
            loop {
                pace.tick().await;
                for server in servers.iter().cycle().take(QUESTIONS_AT_ONCE) {
                    let _full = socket.send_to(&question, server).await;
                }
            }
        });
    }
    asking
}

#[tokio::test]
async fn hostile_questions_to_the_dns_servers() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    let mut servers = Vec::new();
    for node in 1..=3_u8 {
        let server = free_port(cluster.loopback().address(node));
        let variables = [
            ("QUORATE_DNS_TARGET", format!("node{node}.{ZONE}")),
            ("QUORATE_DNS_PUBLISH_NODE", "false".to_owned()),
            ("QUORATE_DNS_SERVE", server.to_string()),
            ("QUORATE_DNS_ZONE", ZONE.to_owned()),
        ];
        for (name, value) in variables {
            cluster.set_variable(node.into(), name, value);
        }
        servers.push(server);
    }
    cluster.form().await;
    cluster.activate().await;
    cluster.settled(1).await;
    let mut run = Run::begin_with_dns("questions to the DNS servers", &cluster, servers.clone()).await;
    let flood = questions(&servers, &strangers(8)).await;
    run.phase(&cluster, "during", Vec::new()).await;
    drop(flood);
    run.end(&cluster).await;
}

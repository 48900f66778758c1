//! Floods of connections do not keep out administrators, nodes, probes and clients.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};

use quorate_tests::{
    Cluster, Finished, Flood, Plan, Quorate, TIMEOUT, cmid, connect_from, eventually, page, value, words,
};
use tokio::{io::AsyncReadExt, net::TcpStream};
use tonic::transport::{Channel, Endpoint};
use transport::{Folder, pinned};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const PRODUCT: &str = "server-standard-2";

/// Source addresses for floods. Connections of the tests themselves come from 127.0.0.1.
fn strangers(number: u8) -> Vec<Ipv4Addr> {
    (1..=number).map(|stranger| Ipv4Addr::new(127, 99, 0, stranger)).collect()
}

async fn one_node(variables: &[(&str, &str)]) -> Cluster {
    Cluster::activated(&Quorate::at(QUORATE), Plan { variables, ..Plan::of(1) }).await
}

/// Logs in with a token as a reader, and runs a command.
async fn logs_in_and_looks(cluster: &Cluster) {
    let made = cluster.administrate(1, &words!["cluster", "token", "--role", "reader", "--valid", "1h"]).await;
    let (token, address) = (made["token"].as_str().unwrap(), cluster.node(1).admin.to_string());
    let words = words!["cluster", "login", address, "--token", token, "--as", "Ada", "--context", "lab"];
    let login = command(cluster, &words).await;
    assert_eq!(login.code, Some(0), "{}", login.stderr);
    let looked = command(cluster, &words!["cluster", "status", "--admin", "lab"]).await;
    assert_eq!(looked.code, Some(0), "{}", looked.stderr);
}

async fn command(cluster: &Cluster, words: &[std::ffi::OsString]) -> Finished {
    let mut command = Quorate::at(QUORATE).command(words);
    quorate_tests::finished(command.env("XDG_CONFIG_HOME", cluster.path("config"))).await
}

async fn metric(cluster: &Cluster, series: &str) -> f64 {
    let (_, text) = page(cluster.node(1).metrics, "/metrics").await.unwrap();
    value(&text, series).unwrap_or_else(|| panic!("{series} is not in {text}"))
}

/// Opens connections on which this process sends nothing.
async fn silent(target: SocketAddr, number: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..number {
        streams.push(TcpStream::connect(target).await.unwrap());
    }
    streams
}

#[tokio::test]
async fn half_open_connections_keep_no_administrator_out() {
    let cluster = one_node(&[]).await;
    // Connections from the administrator's own address, and from other addresses, which open theirs again when they
    // are closed.
    let _silent = silent(cluster.node(1).admin, 563).await;
    let _flood = Flood::begin(cluster.node(1).admin, &strangers(9), 64, b"").await;
    logs_in_and_looks(&cluster).await;
    assert!(metric(&cluster, "quorate_connections_evicted_total{port=\"admin\"}").await > 0.0);
}

#[tokio::test]
async fn anonymous_connections_do_not_block_a_login() {
    let cluster = one_node(&[]).await;
    let authority = Folder::at(&cluster.node(1).data.join("tls")).authority().unwrap();
    let mut anonymous: Vec<Channel> = Vec::new();
    for _ in 0..100 {
        let connector = pinned(authority.fingerprint(), TIMEOUT).unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{}", cluster.node(1).admin)).unwrap();
        anonymous.push(endpoint.connect_with_connector(connector).await.unwrap());
    }
    logs_in_and_looks(&cluster).await;
}

#[tokio::test]
async fn a_node_rejoins_while_thousands_of_connections_to_all_nodes_are_half_open() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    assert_eq!(cluster.stop(2).await, Some(0));
    let mut floods = Vec::new();
    for node in [1, 3] {
        floods.push(Flood::begin(cluster.node(node).peers, &strangers(9), 200, b"").await);
    }
    cluster.start(2);
    let peers = cluster.node(2).peers;
    eventually("node 2 listens", async || TcpStream::connect(peers).await.ok()).await;
    floods.push(Flood::begin(peers, &strangers(9), 50, b"").await);
    cluster.settled(2).await;
    let product = cluster.product(PRODUCT);
    assert_eq!(product.count(cluster.node(2).clients, 1).await, 1);
    // The members keep their connections, while those of the flood are closed.
    floods[0].more(100).await;
    assert_eq!(product.count(cluster.node(2).clients, 2).await, 2);
}

#[tokio::test]
async fn silent_connections_do_not_silence_probes_and_scrapers() {
    let cluster = one_node(&[]).await;
    let http = cluster.node(1).metrics;
    let mut first = silent(http, 1).await;
    let _silent = silent(http, 200).await;
    let _flood = Flood::begin(http, &strangers(9), 30, b"GET /metrics HTTP/1.1\r\n").await;
    for path in ["/livez", "/readyz", "/metrics"] {
        let (status, text) = page(http, path).await.unwrap();
        assert_eq!(status, 200, "{path}: {text}");
    }
    let closed = eventually("the oldest silent connection is closed", async || first[0].read(&mut [0]).await.ok());
    assert_eq!(closed.await, 0);
    assert!(metric(&cluster, "quorate_connections_evicted_total{port=\"metrics\"}").await > 0.0);
}

#[tokio::test]
async fn r4_two_hundred_sources_do_not_fill_the_port_of_clients() {
    let cluster = one_node(&[("QUORATE_CLIENTS_CONNECTIONS_MAX", "400")]).await;
    let (clients, product) = (cluster.node(1).clients, cluster.product(PRODUCT));
    let mut session = product.session(clients).await.unwrap();
    let _flood = Flood::begin(clients, &strangers(200), 4, b"").await;
    // A client with an open connection keeps it, and a new client gets a connection.
    assert_eq!(product.ask(&mut session, cmid(1)).await.unwrap().answer.body.count, 1);
    for machine in 2..=9 {
        assert_eq!(product.count(clients, machine).await, machine);
    }
    assert!(metric(&cluster, "quorate_connections_evicted_total{port=\"clients\"}").await >= 400.0);
    assert!(metric(&cluster, "quorate_connections_open").await <= 500.0);
}

#[tokio::test]
async fn r4_clients_behind_one_balancer_are_all_served_and_keep_their_connections_where_it_is_exempt() {
    const CLIENTS: u64 = 300;
    let mut cluster = one_node(&[]).await;
    let product = cluster.product(PRODUCT);
    for (exempt, evicted) in [("192.0.2.0/24", 44.0), ("192.0.2.0/24,127.0.0.0/16", 0.0)] {
        assert_eq!(cluster.stop(1).await, Some(0));
        cluster.set_variable(1, "QUORATE_CLIENTS_EXEMPT", exempt);
        cluster.start(1);
        cluster.settled(1).await;
        let clients = cluster.node(1).clients;
        let mut sessions = Vec::new();
        for machine in 1..=CLIENTS {
            let mut session = product.session(clients).await.unwrap();
            product.ask(&mut session, cmid(machine)).await.unwrap();
            sessions.push(session);
        }
        assert_eq!(metric(&cluster, "quorate_connections_evicted_total{port=\"clients\"}").await, evicted, "{exempt}");
        let mut open = 0.0;
        for (session, machine) in sessions.iter_mut().zip(1..) {
            open += f64::from(u8::from(product.ask(session, cmid(machine)).await.is_ok()));
        }
        assert_eq!(open, 300.0 - evicted, "{exempt}");
    }
}

#[tokio::test]
async fn networks_that_are_not_listed_are_refused_on_each_port_and_lists_change_on_sighup() {
    let cluster = one_node(&[]).await;
    let node = cluster.node(1);
    let ports = [("clients", node.clients), ("peers", node.peers), ("admin", node.admin), ("metrics", node.metrics)];
    let written = std::fs::read_to_string(&node.config).unwrap();
    let with_lists = ports.iter().fold(written.clone(), |text, (section, _)| {
        // The address of Prometheus stays allowed.
        let more = if *section == "metrics" { ", \"127.0.0.1\"" } else { "" };
        text.replace(&format!("[{section}]\n"), &format!("[{section}]\nallow = [\"127.99.0.2/32\"{more}]\n"))
    });
    std::fs::write(&node.config, with_lists).unwrap();
    cluster.process(1).hang_up();
    let [stranger, listed] = [1, 2].map(|number| Ipv4Addr::new(127, 99, 0, number));
    for (port, address) in ports {
        let refused = format!("quorate_connections_refused_total{{port=\"{port}\",limit=\"network\"}}");
        eventually(&format!("a stranger is refused on the port of {port}"), async || {
            // Closed at once, so that the attempts before the list is in force do not add up to many open connections.
            drop(connect_from(stranger, address).await.unwrap());
            (metric(&cluster, &refused).await > 0.0).then_some(())
        })
        .await;
        let mut stream = connect_from(stranger, address).await.unwrap();
        assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)), "{port}");
        let before = metric(&cluster, &refused).await;
        let _open = connect_from(listed, address).await.unwrap();
        assert_eq!(metric(&cluster, &refused).await, before, "{port}: a listed network is not refused");
    }
    let product = cluster.product(PRODUCT);
    assert!(product.activate(node.clients, cmid(1)).await.is_err());
    // The local socket has no list of allowed networks.
    cluster.administrate(1, &words!["cluster", "status"]).await;
    let said = cluster.said(1);
    let lines: Vec<_> = said.lines().filter(|line| line.contains("a connection was refused")).collect();
    assert!(lines.iter().any(|line| line.contains("client_address=127.99.0.1")), "{said}");
    for (port, _) in ports {
        let of_port = lines.iter().filter(|line| line.contains(&format!("port=\"{port}\""))).count();
        assert!((1..=20).contains(&of_port), "{port}: {of_port} lines");
    }
    std::fs::write(&node.config, written).unwrap();
    cluster.process(1).hang_up();
    assert_eq!(
        eventually("clients are let in", async || product.activate(node.clients, cmid(1)).await.ok())
            .await
            .answer
            .body
            .count,
        1
    );
}

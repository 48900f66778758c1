//! Settings that take effect while nodes run, and stay in effect after a restart (R1, R7, R36, R38).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, net::SocketAddr};

use quorate_tests::{Cluster, Plan, Quorate, cmid, eventually, free_port, words};
use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpListener, net::TcpStream};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const PRODUCT: &str = "server-standard-2";

/// The niceness of every thread of a process.
fn niceness(pid: u32) -> BTreeSet<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")).ok());
    // The niceness is the 19th field. The second field may contain spaces, and ends with the last parenthesis.
    stats.map(|stat| stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn r36_a_nodes_port_changes_at_once_and_for_good_and_open_connections_stand() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    let (product, before) = (cluster.product(PRODUCT), cluster.node(2).clients);
    let mut open = product.session(before).await.unwrap();
    assert_eq!(product.ask(&mut open, cmid(1)).await.unwrap().answer.body.count, 1);

    let new = free_port(cluster.loopback().address(2));
    let port = new.port().to_string();
    // The command goes to another node.
    let set = words!["settings", "set", "clients.port", &port, "--node", "2"];
    cluster.administrate(1, &set).await;
    assert_eq!(product.count(new, 2).await, 2);
    assert!(TcpStream::connect(before).await.is_err(), "the old port is given back");
    assert_eq!(product.ask(&mut open, cmid(3)).await.unwrap().answer.body.count, 3);
    let shown = cluster.administrate(3, &words!["settings", "get", "--node", "2"]).await;
    let expected = json!({ "settings": { "clients.port": port, "process.low_priority": "false" } });
    assert_eq!(shown, expected);

    // The new port stays in use after a restart, even where another program has taken the configured port.
    drop(open);
    assert_eq!(cluster.stop(2).await, Some(0));
    let _other = TcpListener::bind(before).await.unwrap();
    cluster.start(2);
    cluster.settled(1).await;
    assert_eq!(product.count(new, 4).await, 4);
}

#[tokio::test]
async fn r36_a_port_that_is_taken_is_said_and_clients_are_served_where_they_were() {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    let (product, before) = (cluster.product(PRODUCT), cluster.node(1).clients);
    let taken = free_port(cluster.loopback().address(1));
    let other = TcpListener::bind(taken).await.unwrap();
    let port = taken.port().to_string();
    let set = cluster.admin(1, &words!["settings", "set", "clients.port", &port, "--node", "1"]).await;
    assert_eq!(set.code, Some(1), "{}", set.stdout);
    assert!(
        set.stderr.contains(&taken.to_string()) && set.stderr.contains("keeps its previous port"),
        "{}",
        set.stderr
    );
    assert_eq!(product.count(before, 1).await, 1);
    // The node tries again to bind the port.
    drop(other);
    eventually("the node serves clients on the port that is free now", async || TcpStream::connect(taken).await.ok())
        .await;
    assert_eq!(product.count(taken, 2).await, 2);
    for (words, code, error) in [
        (words!["settings", "set", "clients.port", "1700"].to_vec(), 2, "is a setting of one node"),
        (words!["settings", "set", "clients.port", "70000", "--node", "1"].to_vec(), 2, "0 to 65535"),
        (words!["settings", "set", "clients.port", "1700", "--node", "9"].to_vec(), 1, "member of this cluster"),
        (words!["settings", "get", "dns.ttl_s", "--node", "1"].to_vec(), 2, "whole cluster"),
    ] {
        let refused = cluster.admin(1, &words).await;
        assert_eq!(refused.code, Some(code), "{words:?}: {}", refused.stdout);
        assert!(refused.stderr.contains(error), "{}", refused.stderr);
    }
}

#[tokio::test]
async fn r7_the_processor_is_left_to_others_and_taken_back() {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    let pid = cluster.process(1).pid();
    let before = niceness(pid);
    assert_eq!(before.len(), 1);
    let set = async |value: &str| {
        cluster.administrate(1, &words!["settings", "set", "process.low_priority", value, "--node", "1"]).await
    };
    set("true").await;
    assert_eq!(niceness(pid), BTreeSet::from([10]));
    assert_eq!(cluster.product(PRODUCT).count(cluster.node(1).clients, 1).await, 1);
    set("false").await;
    assert_eq!(niceness(pid), before);
}

async fn first_of_three_connections_is_closed(address: SocketAddr) {
    eventually("the first of a source's three connections is closed", async || {
        let mut first = TcpStream::connect(address).await.unwrap();
        let _open = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let closed = tokio::time::timeout(std::time::Duration::from_millis(200), first.read(&mut [0])).await;
        matches!(closed, Ok(Ok(0) | Err(_))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_variable_with_a_settings_old_name_is_followed_with_a_warning() {
    let variables = [("QUORATE_CLIENTS_CONNECTIONS_PER_SOURCE_MAX", "2")];
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan { variables: &variables, ..Plan::of(1) }).await;
    first_of_three_connections_is_closed(cluster.node(1).clients).await;
    let log = fs::read_to_string(&cluster.node(1).log).unwrap();
    let warning = log.lines().find(|line| line.contains("former name")).unwrap_or_default();
    for named in
        ["WARN", "QUORATE_CLIENTS_CONNECTIONS_PER_SOURCE_MAX", "QUORATE_CLIENTS_CONNECTIONS_PER_SOURCE_DEFAULT"]
    {
        assert!(warning.contains(named), "{log}");
    }
}

#[tokio::test]
async fn connections_of_one_source_are_limited_as_the_cluster_says() {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    let address: SocketAddr = cluster.node(1).clients;
    cluster.administrate(1, &words!["settings", "set", "clients.connections_per_source_max", "2"]).await;
    // The command does not wait until each node applies a setting of the cluster.
    first_of_three_connections_is_closed(address).await;
    cluster.administrate(1, &words!["settings", "set", "clients.connections_per_source_max", "0"]).await;
    let mut sessions = Vec::new();
    let product = cluster.product(PRODUCT);
    for machine in 1..=4 {
        let mut session = eventually("all are taken again", async || {
            let mut session = product.session(address).await.ok()?;
            product.ask(&mut session, cmid(machine)).await.ok().map(|_| session)
        })
        .await;
        product.ask(&mut session, cmid(machine)).await.unwrap();
        sessions.push(session);
    }
}

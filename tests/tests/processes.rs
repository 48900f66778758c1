//! Three processes act as one host: one count on all nodes, kept through kills and restarts; and an error message for
//! every obstacle to a start.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{net::TcpListener, path::Path};

use quorate_tests::{Cluster, Plan, Product, Quorate, cmid, contents, copy_folder, eventually, wire, words};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const WORKSTATION: &str = "workstation-professional-2";

async fn cluster(nodes: u8) -> (Cluster, Product) {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(nodes)).await;
    let product = cluster.product(WORKSTATION);
    (cluster, product)
}

/// The count that administrators see on `node`.
async fn count(cluster: &Cluster, node: u64) -> u64 {
    let reply = cluster.administrate(node, &words!["count", "--application", "platform"]).await;
    reply.pointer("/applications/0/count").unwrap().as_u64().unwrap()
}

#[tokio::test]
async fn activation_through_each_of_three_processes_gives_one_count() {
    let (cluster, product) = cluster(3).await;
    let addresses = cluster.addresses();
    for (machine, &through) in (1..=9).zip(addresses.iter().cycle()) {
        assert_eq!(product.count(through, machine).await, machine, "machine {machine} through {through}");
    }
    for through in addresses {
        assert_eq!(product.count(through, 1).await, 9, "a renewal through {through}");
    }
    for node in cluster.numbers() {
        assert_eq!(count(&cluster, node).await, 9, "on node {node}");
    }
}

#[tokio::test]
async fn a_leader_that_is_killed_takes_no_count_with_it_and_catches_up_when_it_returns() {
    let (mut cluster, product) = cluster(3).await;
    for (machine, through) in (1..=6).zip(cluster.addresses().into_iter().cycle()) {
        product.count(through, machine).await;
    }
    let leader = cluster.settled(1).await.leader.unwrap();
    cluster.kill(leader).await;

    let survivors: Vec<_> = cluster.numbers().into_iter().filter(|node| *node != leader).collect();
    for (machine, survivor) in (7..).zip(&survivors) {
        let through = cluster.node(*survivor).clients;
        let answered = eventually("a survivor answers", async || product.activate(through, cmid(machine)).await.ok());
        assert_eq!(u64::from(answered.await.answer.body.count), machine, "through node {survivor}");
    }
    assert_eq!(product.count(cluster.node(survivors[0]).clients, 1).await, 8, "a renewal of before the kill");

    cluster.start(leader);
    let standing = cluster.settled(survivors[0]).await;
    assert_eq!(standing.members.len(), 3, "with the same state at the same entry");
    assert_eq!(count(&cluster, leader).await, 8);
    assert_eq!(product.count(cluster.node(leader).clients, 9).await, 9, "and it answers again");
}

#[tokio::test]
async fn a_request_that_was_forwarded_to_a_leader_that_froze_is_answered_by_the_next() {
    let quick = [
        ("QUORATE_RAFT_HEARTBEAT_MS", "50"),
        ("QUORATE_RAFT_ELECTION_TIMEOUT_MIN_MS", "150"),
        ("QUORATE_RAFT_ELECTION_TIMEOUT_MAX_MS", "300"),
    ];
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan { variables: &quick, ..Plan::of(3) }).await;
    let product = cluster.product(WORKSTATION);
    let leader = cluster.settled(1).await.leader.unwrap();
    let follower = cluster.numbers().into_iter().find(|node| *node != leader).unwrap();
    let through = cluster.node(follower).clients;
    product.count(through, 1).await;
    cluster.process(leader).freeze();
    // A single request gets its answer: its stream to the frozen leader stays open, and the request must not wait for
    // that leader.
    assert_eq!(product.count(through, 2).await, 2);
}

#[tokio::test]
async fn a_cluster_is_formed_once() {
    let (mut cluster, product) = cluster(3).await;
    product.count(cluster.node(1).clients, 1).await;
    assert_eq!(cluster.stop(2).await, Some(0));
    // A supervisor starts the node with the same arguments each time.
    cluster.start_bootstrapping(2);
    cluster.settled(1).await;
    assert_eq!(product.count(cluster.node(2).clients, 2).await, 2);
    assert!(cluster.said(2).contains("this node belongs to a cluster already"), "{}", cluster.said(2));

    // A node that lost its data must not form another cluster beside the existing one.
    assert_eq!(cluster.stop(2).await, Some(0));
    cluster.wipe(2);
    let config = cluster.node(2).config.clone();
    let refused = cluster.run_host(&config, &["--bootstrap"]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("already belongs to a cluster"), "{}", refused.stderr);
    assert!(refused.stderr.contains("start this node without --bootstrap"), "{}", refused.stderr);
}

#[tokio::test]
async fn a_leader_that_is_told_to_stop_hands_over_and_exits_with_zero() {
    let (mut cluster, product) = cluster(3).await;
    let leader = cluster.settled(1).await.leader.unwrap();
    let other = cluster.numbers().into_iter().find(|node| *node != leader).unwrap();
    let exit = cluster.stop(leader).await;
    assert_eq!(exit, Some(0));
    // The leader handed leadership over before it ended, so the other nodes know the new leader at once, without an
    // election.
    let successor = cluster.standing(other).await.unwrap().leader;
    assert!(successor.is_some_and(|successor| successor != leader), "{successor:?} after {leader}");
    assert_eq!(product.count(cluster.node(other).clients, 1).await, 1);
}

#[tokio::test]
async fn a_request_that_is_under_way_when_the_node_is_told_to_stop_is_answered() {
    let (mut cluster, product) = cluster(3).await;
    let leader = cluster.settled(1).await.leader.unwrap();
    let address = cluster.node(leader).clients;
    let request = wire::request(2, &product.request(cmid(1)).encode());
    let (half, rest) = request.split_at(request.len() / 2);
    let mut stream = TcpStream::connect(address).await.unwrap();
    // In one write with the bind, so that a node which has answered the bind has also read this half.
    stream.write_all(&[&wire::bind(), half].concat()).await.unwrap();
    assert_eq!(wire::read(&mut stream).await.unwrap(), Some(wire::Reply::BindAck));

    cluster.process(leader).terminate();
    eventually("the node takes no more connections", async || TcpStream::connect(address).await.err()).await;
    stream.write_all(rest).await.unwrap();
    let reply = wire::read(&mut stream).await.unwrap();
    assert!(matches!(&reply, Some(wire::Reply::Response(answer, 0)) if !answer.is_empty()), "{reply:?}");
    assert_eq!(cluster.ended(leader).await, Some(0));
}

/// An obstacle that keeps a node from starting.
struct Obstacle {
    name: &'static str,
    /// Creates the obstacle for the node with this configuration and this data folder.
    put: fn(&Path, &Path),
    /// What the error line must contain: the file or the key, and the fix.
    names: &'static [&'static str],
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has no {from:?}", file.display());
    std::fs::write(file, text.replacen(from, to, 1)).unwrap();
}

const OBSTACLES: &[Obstacle] = &[
    Obstacle {
        name: "an unknown key",
        put: |config, _| edit(config, "[clients]", "[clients]\nlissten = 1"),
        names: &["node.toml", "lissten", "[clients]", "known keys: listen"],
    },
    Obstacle {
        name: "a missing key",
        put: |config, _| edit(config, "\nnode = 1", ""),
        names: &["node.toml", "node: missing", "--node", "QUORATE_NODE"],
    },
    Obstacle {
        name: "a value of the wrong kind",
        put: |config, _| edit(config, "#heartbeat_ms = 0", "heartbeat_ms = \"often\""),
        names: &["node.toml", "raft.heartbeat_ms", "correct the value"],
    },
    Obstacle {
        name: "an impossible value",
        put: |config, _| edit(config, "#heartbeat_ms = 0", "heartbeat_ms = 500"),
        names: &["node.toml", "raft.election_timeout_min_ms", "must be below"],
    },
    Obstacle {
        name: "an unknown profile",
        put: |config, _| edit(config, "#profile =", "profile = \"wide\""),
        names: &["node.toml", "raft.profile", "expected near or far"],
    },
    Obstacle {
        name: "the data folder of another node",
        put: |config, _| {
            edit(config, "\nnode = 1", "\nnode = 2");
            edit(config, "\"1=", "\"2=");
        },
        names: &["data/tls", "belongs to node 1, not to node 2", "its own data folder"],
    },
    Obstacle {
        name: "a data folder from before there were certificates",
        put: |_, data| std::fs::remove_dir_all(data.join("tls")).unwrap(),
        names: &["data/tls", "no certificate", "--renew-identity"],
    },
    Obstacle {
        name: "a store of a newer version",
        put: |_, data| edit(&data.join("store").join("identity"), "format = 1", "format = 99"),
        names: &["data/store", "format 99", "run the newer version"],
    },
    Obstacle {
        name: "a damaged store",
        put: |_, data| {
            let database = data.join("store").join("sled").join("db");
            let mut bytes = std::fs::read(&database).unwrap();
            let middle = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 2;
            bytes[middle..middle + 64].fill(0xa5);
            std::fs::write(database, bytes).unwrap();
        },
        names: &["data/store", "is damaged", "restore"],
    },
    Obstacle {
        name: "a store without its database",
        put: |_, data| std::fs::remove_dir_all(data.join("store").join("sled")).unwrap(),
        names: &["data/store", "is damaged", "missing", "restore"],
    },
];

#[tokio::test]
async fn whatever_keeps_a_node_from_starting_is_one_clear_line_and_leaves_its_data_alone() {
    let (mut cluster, product) = cluster(1).await;
    for machine in 1..=20 {
        product.count(cluster.node(1).clients, machine).await;
    }
    assert_eq!(cluster.stop(1).await, Some(0));
    for obstacle in OBSTACLES {
        let folder = cluster.path(obstacle.name);
        let (config, data) = (folder.join("node.toml"), folder.join("data"));
        std::fs::create_dir(&folder).unwrap();
        copy_folder(&cluster.node(1).data, &data).unwrap();
        std::fs::copy(&cluster.node(1).config, &config).unwrap();
        edit(&config, &cluster.node(1).data.display().to_string(), &data.display().to_string());
        (obstacle.put)(&config, &data);
        refuses(&cluster, obstacle.name, &config, &data, obstacle.names).await;
    }
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_line_and_leaves_the_data_alone() {
    let (mut cluster, _) = cluster(1).await;
    assert_eq!(cluster.stop(1).await, Some(0));
    let node = cluster.node(1);
    let occupied = TcpListener::bind(node.clients).unwrap();
    let address = occupied.local_addr().unwrap().to_string();
    let named = ["clients.listen", &address, "choose another address"];
    refuses(&cluster, "a port in use", &node.config, &node.data, &named).await;
    let for_machines = cluster.run_host(&node.config, &["--log", "json"]).await.stderr;
    let event: serde_json::Value = serde_json::from_str(for_machines.lines().next().unwrap()).unwrap();
    assert_eq!((&event["fields"]["event"], &event["fields"]["status"]), (&12291.into(), &"0x80072740".into()));
}

#[tokio::test]
async fn a_second_process_on_the_data_of_one_that_runs_is_refused() {
    let (cluster, product) = cluster(1).await;
    let config = cluster.path("second.toml");
    std::fs::copy(&cluster.node(1).config, &config).unwrap();
    let elsewhere =
        ["--clients-listen=127.0.0.1:0", "--peers-listen=127.0.0.1:0", "--admin-listen=off", "--metrics-listen=off"];
    let finished = cluster.run_host(&config, &elsewhere).await;
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    assert!(finished.stderr.contains("another process has it open"), "{}", finished.stderr);
    assert_eq!(product.count(cluster.node(1).clients, 1).await, 1, "the first one is not disturbed");
}

async fn refuses(cluster: &Cluster, name: &str, config: &Path, data: &Path, named: &[&str]) {
    let before = contents(data);
    let finished = cluster.run_host(config, &[]).await;
    assert_eq!(finished.code, Some(2), "{name}: {}", finished.stderr);
    assert_eq!(finished.stderr.trim_end().lines().count(), 1, "{name}: {}", finished.stderr);
    for part in named {
        assert!(finished.stderr.contains(part), "{name}: {part:?} is not in {}", finished.stderr);
    }
    let after = contents(data);
    let changed: Vec<_> =
        before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(changed.is_empty(), "{name}: {changed:?} changed");
}

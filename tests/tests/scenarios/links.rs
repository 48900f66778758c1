//! Nodes that are far from each other.

use std::{fs, time::Duration};

use quorate_tests::{Cluster, Network, SlowLinks, eventually, page, value, words};

use serde_json::json;

use super::scene::{Scene, configured, network};

/// More than the profile `near` bears, and far below what `far` does.
const FAR: Duration = Duration::from_millis(160);

/// The variables of a scene say other election times: here the profile does.
const TIMES: [&str; 3] =
    ["QUORATE_RAFT_HEARTBEAT_MS", "QUORATE_RAFT_ELECTION_TIMEOUT_MIN_MS", "QUORATE_RAFT_ELECTION_TIMEOUT_MAX_MS"];

async fn linked(network: &Network) -> (Cluster, SlowLinks) {
    let mut cluster = configured(network, 3, 3).await;
    for node in cluster.numbers() {
        TIMES.iter().for_each(|name| cluster.set_variable(node, name, "0"));
    }
    let links = SlowLinks::between(network, &cluster).await;
    (cluster, links)
}

/// What a node's log, the doctor and the metrics say of its link to another one.
async fn link_is_named(scene: &Scene, node: u64, other: u64) {
    eventually("the log names the link", async || {
        scene.cluster.said(node).contains("raft.profile = \"far\"").then_some(())
    })
    .await;
    let doctor = scene.cluster.admin(node, &words!["doctor"]).await;
    let named = format!("between nodes {} and {}", node.min(other), node.max(other));
    assert!(doctor.stdout.contains(&named) && doctor.stdout.contains("raft.profile"), "{}", doctor.stdout);
    let status = scene.cluster.led(node).await;
    let slow = status["slow_links"].as_array().unwrap().iter().map(|link| link["nodes"].clone());
    assert!(slow.clone().any(|nodes| nodes == json!([node.min(other), node.max(other)])), "{status}");
    let (_, scraped) = page(scene.cluster.node(node).metrics, "/metrics").await.unwrap();
    let took = value(&scraped, &format!("quorate_peer_round_trip_seconds{{peer=\"{other}\"}}")).unwrap();
    assert!(took > value(&scraped, "quorate_peer_round_trip_limit_seconds").unwrap(), "{took}");
}

/// A far node that is made the leader gives way, and is named.
#[tokio::test]
async fn scenario_far_leader_gives_way() {
    let Some(network) = network("links::scenario_far_leader_gives_way").await else { return };
    let (cluster, links) = linked(&network).await;
    let scene = Scene::formed("scenario_far_leader_gives_way", network, cluster).await;
    scene.load.enters("node 3 is made the leader");
    scene.cluster.administrate(1, &words!["cluster", "transfer", "--to", "3"]).await;
    scene.seconds(1).await;
    scene.load.enters("node 3 is far from the others");
    links.set_round_trip(1, 3, FAR);
    links.set_round_trip(2, 3, FAR);
    eventually("a near node leads", async || scene.cluster.standing(1).await?.leader.filter(|leader| *leader != 3))
        .await;
    scene.seconds(3).await;
    link_is_named(&scene, 1, 3).await;
    scene.load.enters("node 3 is near again");
    links.set_round_trip(1, 3, Duration::ZERO);
    links.set_round_trip(2, 3, Duration::ZERO);
    scene.serves(1, 3).await;
    scene.ends().await;
}

/// Every link is slow: it is named, and with the profile for it the cluster counts and elects as usual.
#[tokio::test]
async fn scenario_far_sites() {
    let Some(network) = network("links::scenario_far_sites").await else { return };
    let (cluster, links) = linked(&network).await;
    let mut scene = Scene::formed("scenario_far_sites", network, cluster).await;
    scene.load.enters("every link is slow");
    for (one, other) in [(1, 2), (1, 3), (2, 3)] {
        links.set_round_trip(one, other, FAR);
    }
    link_is_named(&scene, 1, 2).await;
    link_is_named(&scene, 3, 2).await;
    scene.load.enters("node by node goes to the profile far");
    for node in 1..=3 {
        let config = scene.cluster.node(node).config.clone();
        let text = fs::read_to_string(&config).unwrap();
        let changed = text.replace("#profile = \"near\"", "profile = \"far\"");
        assert_ne!(changed, text, "the configuration names the profile");
        fs::write(&config, changed).unwrap();
        scene.cluster.stop(node).await;
        scene.cluster.start(node);
    }
    for node in 1..=3 {
        scene.serves(1, node).await;
    }
    scene.load.enters("every node has the profile far");
    scene.seconds(3).await;
    scene.load.enters("the leader is killed");
    let leader = scene.leader(1).await;
    let other = scene.others(leader)[0];
    scene.cluster.kill(leader).await;
    scene.seconds(2).await;
    scene.cluster.start(leader);
    scene.serves(other, leader).await;
    scene.ends().await;
}

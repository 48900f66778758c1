//! Nodes with slow links between them.

use std::{fs, time::Duration};

use quorate_tests::{Cluster, Network, SlowLinks, cmid, eventually, page, value, words};

use serde_json::json;

use super::scene::{Scene, configured, network};

/// A round trip that exceeds the profile `near`, and is far below the limit of `far`.
const FAR: Duration = Duration::from_millis(160);

/// A round trip that the profile `near` tolerates.
const BORNE: Duration = Duration::from_millis(60);

/// The variables of a scene set other election times; these scenarios remove them, so that the profile applies.
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

/// Waits until a node's log, the doctor and the metrics report its slow link to another node.
async fn link_is_named(scene: &Scene, node: u64, other: u64) {
    eventually("the log names the link", async || {
        scene.cluster.said(node).contains("`quorate settings set raft.profile far`").then_some(())
    })
    .await;
    let doctor = scene.cluster.admin(node, &words!["doctor"]).await;
    let named = format!("between nodes {} and {}", node.min(other), node.max(other));
    assert!(
        doctor.stdout.contains(&named) && doctor.stdout.contains("settings set raft.profile far"),
        "{}",
        doctor.stdout
    );
    let status = scene.cluster.led(node).await;
    let slow = status["slow_links"].as_array().unwrap().iter().map(|link| link["nodes"].clone());
    assert!(slow.clone().any(|nodes| nodes == json!([node.min(other), node.max(other)])), "{status}");
    let (_, scraped) = page(scene.cluster.node(node).metrics, "/metrics").await.unwrap();
    let took = value(&scraped, &format!("quorate_peer_round_trip_seconds{{peer=\"{other}\"}}")).unwrap();
    assert!(took > value(&scraped, "quorate_peer_round_trip_limit_seconds").unwrap(), "{took}");
}

/// A node with slow links that is made the leader hands leadership over, and its links are reported.
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

/// Waits until every node reports this profile.
async fn all_have(scene: &Scene, via: u64, profile: &str) {
    eventually(&format!("every node has the profile {profile}"), async || {
        let status = scene.cluster.status(via).await?;
        status["nodes"].as_array()?.iter().all(|node| node["profile"] == profile).then_some(())
    })
    .await;
}

/// Puts `line` in place of the profile's line in a node's configuration, and makes the node read it again.
fn give_profile(scene: &Scene, node: u64, from: &str, line: &str) {
    let config = scene.cluster.node(node).config.clone();
    let text = fs::read_to_string(&config).unwrap();
    let changed = text.replace(from, line);
    assert_ne!(changed, text, "the configuration names the profile");
    fs::write(&config, changed).unwrap();
    scene.cluster.process(node).hang_up();
}

/// All links are slow, and nothing can be committed. With the profile in the nodes' own configurations the cluster
/// counts and elects as usual, without a restart of any node.
#[tokio::test]
async fn scenario_far_sites() {
    let Some(network) = network("links::scenario_far_sites").await else { return };
    let (cluster, links) = linked(&network).await;
    let mut scene = Scene::formed("scenario_far_sites", network, cluster).await;
    let processes: Vec<_> = (1..=3).map(|node| scene.cluster.process(node).pid()).collect();
    scene.load.enters("every link is slow");
    for (one, other) in [(1, 2), (1, 3), (2, 3)] {
        links.set_round_trip(one, other, FAR);
    }
    link_is_named(&scene, 1, 2).await;
    link_is_named(&scene, 3, 2).await;
    scene.load.enters("every node is given the profile far");
    for node in 1..=3 {
        give_profile(&scene, node, "#profile =", "profile = \"far\"");
    }
    for node in 1..=3 {
        scene.serves(1, node).await;
    }
    all_have(&scene, 1, "far").await;
    assert_eq!((1..=3).map(|node| scene.cluster.process(node).pid()).collect::<Vec<_>>(), processes);
    scene.load.enters("the cluster's setting takes over");
    scene.cluster.administrate(2, &words!["settings", "set", "raft.profile", "far"]).await;
    for node in 1..=3 {
        give_profile(&scene, node, "profile = \"far\"", "#profile =");
    }
    scene.seconds(3).await;
    all_have(&scene, 1, "far").await;
    scene.load.enters("the leader is killed");
    let leader = scene.leader(1).await;
    let other = scene.others(leader)[0];
    scene.cluster.kill(leader).await;
    scene.seconds(2).await;
    scene.cluster.start(leader);
    scene.serves(other, leader).await;
    all_have(&scene, other, "far").await;
    scene.ends().await;
}

/// One command sets the election times for slower links and back, while the cluster counts.
#[tokio::test]
async fn scenario_far_by_setting() {
    let Some(network) = network("links::scenario_far_by_setting").await else { return };
    let (cluster, links) = linked(&network).await;
    let scene = Scene::formed("scenario_far_by_setting", network, cluster).await;
    let pairs = [(1, 2), (1, 3), (2, 3)];
    let product = scene.cluster.product("workstation-professional-2");
    let mut sessions = Vec::new();
    for node in 1..=3 {
        sessions.push(product.session(scene.cluster.node(node).clients).await.unwrap());
    }
    scene.load.enters("links are as slow as the profile near bears");
    pairs.iter().for_each(|(one, other)| links.set_round_trip(*one, *other, BORNE));
    scene.seconds(2).await;
    for (round_trip, profile, machine) in [(FAR, "far", 1_000_001), (Duration::ZERO, "near", 1_000_002)] {
        if profile == "near" {
            pairs.iter().for_each(|(one, other)| links.set_round_trip(*one, *other, round_trip));
        }
        scene.load.enters(format!("the cluster takes the profile {profile}"));
        scene.cluster.administrate(3, &words!["settings", "set", "raft.profile", profile]).await;
        all_have(&scene, 1, profile).await;
        scene.seconds(1).await;
        for session in &mut sessions {
            product.ask(session, cmid(machine)).await.expect("the connection stands, and is answered");
        }
        scene.load.enters(format!("links suit the profile {profile}"));
        pairs.iter().for_each(|(one, other)| links.set_round_trip(*one, *other, round_trip));
        scene.seconds(3).await;
    }
    scene.ends().await;
}

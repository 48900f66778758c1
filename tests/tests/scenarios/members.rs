//! Members that join, leave, and become the leader in turn.

use quorate_tests::{eventually, words};

use super::scene::{Scene, configured, network};

/// Starts a node that belongs to no cluster, and makes it a member that answers clients.
async fn join(scene: &mut Scene, via: u64, node: u64) {
    scene.cluster.start(node);
    eventually("it can be asked", async || scene.cluster.status(node).await).await;
    scene.cluster.add(via, node).await;
    scene.cluster.activate_members(via).await;
    scene.serves(via, node).await;
}

/// Drains a member and removes it from the cluster.
async fn leave(scene: &mut Scene, via: u64, node: u64) {
    let words = words!["cluster", "remove", node.to_string(), "--wait", "0"];
    scene.cluster.administrate(via, &words).await;
    assert_eq!(scene.cluster.ended(node).await, Some(0), "node {node}");
}

#[tokio::test]
async fn scenario_node_replaced() {
    let Some(network) = network("members::scenario_node_replaced").await else { return };
    let cluster = configured(&network, 4, 3).await;
    let mut scene = Scene::formed("scenario_node_replaced", network, cluster).await;
    let old = scene.leader(1).await;
    let other = scene.others(old)[0];
    scene.load.enters("the new one joins");
    join(&mut scene, other, 4).await;
    scene.seconds(1).await;
    scene.load.enters("the old one, which leads, leaves");
    leave(&mut scene, other, old).await;
    scene.seconds(1).await;
    scene.ends().await;
}

#[tokio::test]
async fn scenario_growth_to_six_and_back() {
    let Some(network) = network("members::scenario_growth_to_six_and_back").await else { return };
    let cluster = configured(&network, 6, 1).await;
    let mut scene = Scene::formed("scenario_growth_to_six_and_back", network, cluster).await;
    for node in 2..=6 {
        scene.load.enters(format!("node {node} joins"));
        join(&mut scene, node - 1, node).await;
        scene.seconds(1).await;
    }
    for node in 1..=5 {
        let leads = if scene.leader(6).await == node { ", which leads," } else { "" };
        scene.load.enters(format!("node {node}{leads} leaves"));
        leave(&mut scene, 6, node).await;
        scene.seconds(1).await;
    }
    scene.ends().await;
}

#[tokio::test]
async fn scenario_leader_transferred_again_and_again() {
    let Some(scene) = Scene::of("members::scenario_leader_transferred_again_and_again", 3).await else { return };
    for _ in 0..10 {
        let leader = scene.leader(1).await;
        let to = leader % 3 + 1;
        scene.load.enters("a transfer");
        scene.cluster.administrate(to, &words!["cluster", "transfer", "--to", to.to_string()]).await;
        // One transfer every two seconds, as measured by answers to clients.
        scene.seconds(2).await;
    }
    scene.ends().await;
}

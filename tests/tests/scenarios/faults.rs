//! Nodes that are killed, and nodes that are partitioned.

use quorate_tests::{cmid, eventually};

use super::scene::Scene;

/// Waits until another node than `before` is the leader, as a node in the majority reports.
async fn succeeded(scene: &Scene, via: u64, before: u64) {
    eventually("another one leads", async || {
        scene.cluster.standing(via).await?.leader.filter(|leader| *leader != before)
    })
    .await;
}

/// Checks that a machine which asks this node only gets no activation: the node answers that there is no leader, or
/// not at all.
async fn is_silent(scene: &Scene, node: u64) {
    let product = scene.cluster.product("workstation-professional-2");
    let answered = product.activate(scene.cluster.node(node).clients, cmid(u64::MAX)).await;
    assert!(answered.is_err(), "node {node} cannot know the count");
}

#[tokio::test]
async fn scenario_leader_isolated() {
    let Some(scene) = Scene::of("faults::scenario_leader_isolated", 3).await else { return };
    let leader = scene.leader(1).await;
    let others = scene.others(leader);
    scene.load.enters("the leader is cut off");
    scene.network.part(&[leader], &others).await;
    succeeded(&scene, others[0], leader).await;
    scene.seconds(3).await;
    is_silent(&scene, leader).await;
    scene.load.enters("it is back");
    scene.network.heal(&[1, 2, 3]).await;
    scene.serves(leader, leader).await;
    scene.seconds(1).await;
    scene.ends().await;
}

#[tokio::test]
async fn scenario_one_way_partition() {
    let Some(scene) = Scene::of("faults::scenario_one_way_partition", 3).await else { return };
    let leader = scene.leader(1).await;
    scene.load.enters("the leader hears nothing");
    scene.network.deafen(leader, &scene.others(leader)).await;
    succeeded(&scene, scene.others(leader)[0], leader).await;
    scene.seconds(3).await;
    scene.network.heal(&[leader]).await;
    scene.serves(leader, leader).await;

    let leader = scene.leader(leader).await;
    let others = scene.others(leader);
    scene.load.enters("nobody hears the leader");
    for &node in &others {
        scene.network.deafen(node, &[leader]).await;
    }
    succeeded(&scene, others[0], leader).await;
    scene.seconds(3).await;
    scene.network.heal(&others).await;
    scene.serves(leader, leader).await;
    scene.ends().await;
}

#[tokio::test]
async fn scenario_two_of_five_cut_off() {
    let Some(scene) = Scene::of("faults::scenario_two_of_five_cut_off", 5).await else { return };
    let leader = scene.leader(1).await;
    let others = scene.others(leader);
    let (with_it, rest) = others.split_first().unwrap();
    scene.load.enters("the leader and another one are cut off");
    scene.network.part(&[leader, *with_it], rest).await;
    succeeded(&scene, rest[0], leader).await;
    scene.seconds(3).await;
    for node in [leader, *with_it] {
        is_silent(&scene, node).await;
    }
    scene.load.enters("they are back");
    scene.network.heal(&[1, 2, 3, 4, 5]).await;
    for node in [leader, *with_it] {
        scene.serves(rest[0], node).await;
    }
    scene.seconds(1).await;
    scene.ends().await;
}

#[tokio::test]
async fn scenario_each_node_killed() {
    let Some(mut scene) = Scene::of("faults::scenario_each_node_killed", 3).await else { return };
    for node in 1..=3 {
        let other = scene.others(node)[0];
        let leads = if scene.leader(other).await == node { ", which leads" } else { "" };
        scene.load.enters(format!("node {node}{leads}, is killed"));
        scene.cluster.kill(node).await;
        scene.seconds(2).await;
        scene.load.enters(format!("node {node} is back"));
        scene.cluster.start(node);
        scene.serves(other, node).await;
        scene.seconds(1).await;
    }
    // Now the current leader is killed, whichever node that is.
    let leader = scene.leader(1).await;
    let other = scene.others(leader)[0];
    scene.load.enters("the leader is killed");
    scene.cluster.kill(leader).await;
    scene.seconds(2).await;
    scene.cluster.start(leader);
    scene.serves(other, leader).await;
    scene.ends().await;
}

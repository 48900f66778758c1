//! Nodes of two versions in one cluster, upwards and downwards.

use quorate_tests::{Cluster, Network, eventually, words};

use super::scene::{Scene, begins, configured, network};

/// A process with this stands for the version before, which knows one format less.
const PREVIOUS: &str = "QUORATE_TEST_PREVIOUS_FORMAT";

async fn set(scene: &Scene, format: &str) {
    let set = scene.cluster.admin(1, &words!["cluster", "format", "set", format]).await;
    assert_eq!(set.code, Some(0), "{}", set.stderr);
}

/// Drains every node in turn, and starts it as this version, or as the one before.
async fn roll(scene: &mut Scene, previous: bool) {
    for node in scene.cluster.numbers() {
        let other = scene.others(node)[0];
        let leads = if scene.leader(other).await == node { ", which leads," } else { "" };
        scene.load.enters(format!("node {node}{leads} is drained"));
        scene.drain(node).await;
        scene.seconds(1).await;
        if previous {
            scene.cluster.set_variable(node, PREVIOUS, "1");
        } else {
            scene.cluster.unset_variable(node, PREVIOUS);
        }
        scene.load.enters(format!("node {node} is back"));
        scene.cluster.start(node);
        scene.serves(other, node).await;
    }
}

/// The last one joins where so many do not vote.
async fn of_the_version_before(network: &Network, nodes: u8) -> Cluster {
    let forming = (nodes - 1) | 1;
    let mut cluster = configured(network, nodes, forming).await;
    for node in cluster.numbers() {
        cluster.set_variable(node, PREVIOUS, "1");
    }
    cluster.form().await;
    cluster.activate().await;
    for node in u64::from(forming) + 1..=u64::from(nodes) {
        cluster.start(node);
        eventually("it can be asked", async || {
            let status = cluster.admin(node, &words!["cluster", "status"]).await;
            (status.code == Some(0)).then_some(())
        })
        .await;
        cluster.add(1, node).await;
        cluster.activate_members(1).await;
    }
    cluster.settled(1).await;
    cluster
}

async fn up_and_down(test: &str, down: &str, nodes: u8) {
    begins(down);
    let Some(network) = network(test).await else { return };
    let cluster = of_the_version_before(&network, nodes).await;
    let mut scene = Scene::running(test, network, cluster).await;
    roll(&mut scene, false).await;
    scene.load.enters("the format is raised");
    set(&scene, "2").await;
    scene.cluster.administrate(1, &words!["settings", "set", "renewal.interval_minutes", "1440"]).await;
    let audit = scene.cluster.administrate(1, &words!["cluster", "audit", "--verify"]).await;
    assert_eq!(audit["entries"].as_array().unwrap().len(), 2, "{audit}");
    scene.seconds(1).await;
    let network = scene.network.again();
    let mut cluster = scene.ends().await;

    for node in cluster.numbers() {
        cluster.start(node);
    }
    eventually("it goes on", async || cluster.standing(1).await?.leader).await;
    cluster.settled(1).await;
    let mut scene = Scene::running(down, network, cluster).await;
    scene.load.enters("the format is lowered");
    set(&scene, "1").await;
    scene.seconds(1).await;
    roll(&mut scene, true).await;
    scene.ends_with_logs_cut().await;
}

#[tokio::test]
async fn scenario_upgrade_of_three() {
    up_and_down("upgrades::scenario_upgrade_of_three", "scenario_downgrade_of_three", 3).await;
}

#[tokio::test]
async fn scenario_upgrade_of_six() {
    up_and_down("upgrades::scenario_upgrade_of_six", "scenario_downgrade_of_six", 6).await;
}

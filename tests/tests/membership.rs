//! Nodes join and leave a cluster of real processes, with the commands that administrators use.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use quorate_tests::{Cluster, Load, Plan, Quorate, eventually, words};
use serde_json::{Value, json};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");

async fn members(cluster: &Cluster, via: u64) -> Value {
    let status = cluster.led(via).await;
    let role = |node: &Value| if node["role"] == "learner" { "learner" } else { "voter" };
    let nodes = status["nodes"].as_array().unwrap().iter();
    nodes.map(|node| (node["id"].to_string(), json!(role(node)))).collect::<serde_json::Map<_, _>>().into()
}

/// A cluster of node 1, and further nodes that run and belong to no cluster.
async fn first_of(nodes: u8) -> Cluster {
    let mut cluster = Cluster::activated(
        &Quorate::at(QUORATE),
        Plan { variables: &[("QUORATE_TEST_KEEP_LOG", "1")], ..Plan::first_of(nodes) },
    )
    .await;
    for node in 2..=u64::from(nodes) {
        cluster.start(node);
        eventually("it can be asked", async || cluster.status(node).await).await;
    }
    cluster
}

#[tokio::test]
async fn r38_a_cluster_grows_to_four_and_shrinks_to_one_under_load() {
    let mut cluster = first_of(4).await;
    let product = cluster.product("workstation-professional-2");
    let load = Load::start(&cluster, &product, 8);
    let roles = [json!({"1": "voter", "2": "learner"}), json!({"1": "voter", "2": "voter", "3": "voter"})];
    for (node, roles) in (2..).zip(roles) {
        cluster.add(1, node).await;
        cluster.activate_members(1).await;
        eventually("the votes are as they should be", async || (members(&cluster, node).await == roles).then_some(()))
            .await;
        load.more(100).await;
    }
    assert_eq!(cluster.add(2, 4).await, json!({"voters": [1, 2, 3], "learners": [4]}));
    cluster.activate_members(4).await;
    load.more(100).await;
    let standing = cluster.settled(4).await;
    assert_eq!(standing.members.len(), 4);

    // The first node, which may be the leader, leaves with its keys; then the others, until one is left.
    for (left, (node, via)) in [3, 2, 1].into_iter().zip([(1, 4), (2, 4), (3, 4)]) {
        let removed = cluster.administrate(via, &words!["cluster", "remove", node.to_string()]).await;
        let members = ["voters", "learners"].map(|role| removed[role].as_array().unwrap().len());
        assert_eq!(members.iter().sum::<usize>(), left, "{removed}");
        assert_eq!(cluster.ended(node).await, Some(0), "it has stopped by itself");
        load.more(100).await;
    }
    let answered = load.end().await;
    eprintln!("grown to four and shrunk to one: {answered}");
    let keys = cluster.administrate(4, &words!["key", "list"]).await;
    let activated = keys["keys"].as_array().unwrap().iter().flat_map(|key| key["activations"].as_array().unwrap());
    assert!(activated.clone().count() == 2 && activated.clone().all(|activation| activation["node"] == 4), "{keys}");
    assert_eq!(keys["pending_releases"].as_array().unwrap().len(), 6, "three nodes gave two activations back: {keys}");
    answered.is_kept_by(&mut cluster).await;

    let left = cluster.run_host(&cluster.node(1).config, &[]).await;
    assert_eq!(left.code, Some(2));
    assert!(left.stderr.contains("has left its cluster"), "{}", left.stderr);
}

#[tokio::test]
async fn r38_a_dead_node_is_taken_out_and_another_one_takes_its_place() {
    let mut cluster = first_of(3).await;
    for node in [2, 3] {
        cluster.add(1, node).await;
    }
    cluster.activate_members(1).await;
    cluster.settled(1).await;
    let lively = cluster.admin(1, &words!["cluster", "remove", "3", "--dead"]).await;
    assert_eq!(lively.code, Some(1));
    assert!(lively.stderr.contains("node 3 is running: `quorate cluster remove 3` drains it"), "{}", lively.stderr);
    cluster.kill(3).await;
    let silent = cluster.admin(1, &words!["cluster", "remove", "3"]).await;
    assert_eq!(silent.code, Some(1));
    assert!(silent.stderr.contains("--dead"), "{}", silent.stderr);
    cluster.administrate(1, &words!["cluster", "remove", "3", "--dead"]).await;
    assert_eq!(members(&cluster, 1).await.as_object().unwrap().len(), 2);

    // The node's data belongs to a former member, so it cannot join again with this data.
    cluster.start(3);
    let again = eventually("it can be asked", async || {
        let place = format!("3={}", cluster.node(3).peers);
        let again = cluster.admin(1, &words!["cluster", "add", &place]).await;
        (!again.stderr.contains("no node answers")).then_some(again)
    });
    let again = again.await;
    assert!(again.stderr.contains("belongs to a cluster already"), "{}", again.stderr);
    cluster.kill(3).await;
    cluster.wipe(3);
    cluster.start(3);
    eventually("it comes in with nothing", async || {
        let place = format!("3={}", cluster.node(3).peers);
        let added = cluster.admin(1, &words!["cluster", "add", &place]).await;
        (added.code == Some(0)).then_some(())
    })
    .await;
    cluster.activate_members(1).await;
    cluster.settled(1).await;
}

//! A disk that hangs stops neither the cluster nor the end of the node's process.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;

use quorate_tests::{Cluster, Plan, Quorate, cmid, eventually, page};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const WORKSTATION: &str = "workstation-professional-2";

/// Three nodes; the operation that `variable` selects hangs on a node while the file [`hangs`] of the node exists.
async fn cluster(variable: &str) -> Cluster {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    for node in cluster.numbers() {
        let file = hangs(&cluster, node);
        cluster.set_variable(node, variable, file);
    }
    cluster.form().await;
    cluster.activate().await;
    cluster
}

fn hangs(cluster: &Cluster, node: u64) -> std::path::PathBuf {
    cluster.path(&format!("hangs-{node}"))
}

/// Numbers of the leader and of a follower.
async fn leader_and_follower(cluster: &Cluster) -> (u64, u64) {
    let leader = cluster.settled(1).await.leader.unwrap();
    (leader, cluster.numbers().into_iter().find(|node| *node != leader).unwrap())
}

#[tokio::test]
async fn a_leader_whose_disk_hangs_hands_over_and_its_process_ends_with_the_reason() {
    let mut cluster = cluster("QUORATE_TEST_HANG_DISK").await;
    let product = cluster.product(WORKSTATION);
    let (leader, follower) = leader_and_follower(&cluster).await;
    let through = cluster.node(follower).clients;
    product.count(through, 1).await;
    fs::write(hangs(&cluster, leader), "").unwrap();
    let answered = eventually("another node leads", async || product.activate(through, cmid(2)).await.ok()).await;
    assert_eq!(answered.answer.body.count, 2);
    let metrics = cluster.node(leader).metrics;
    let text = eventually("it is not ready", async || {
        page(metrics, "/readyz").await.filter(|(status, _)| *status == 503).map(|(_, text)| text)
    });
    assert!(text.await.contains("its disk has not finished a write for 5 s"));
    assert_eq!(cluster.ended(leader).await, Some(1), "an exit code that makes the supervisor start it again");
    let said = cluster.said(leader);
    for words in [
        "the disk has not finished a write: leadership is transferred",
        &format!("node {leader} stopped: the disk did not finish a write within 10 s"),
    ] {
        assert!(said.contains(words), "`{words}` is not in {said}");
    }

    fs::remove_file(hangs(&cluster, leader)).unwrap();
    cluster.start(leader);
    cluster.settled(follower).await;
    assert_eq!(product.count(cluster.node(leader).clients, 3).await, 3);
}

#[tokio::test]
async fn a_node_whose_disk_hangs_still_ends_when_it_is_told_to() {
    let mut cluster = cluster("QUORATE_TEST_HANG_DISK").await;
    let product = cluster.product(WORKSTATION);
    let (leader, follower) = leader_and_follower(&cluster).await;
    fs::write(hangs(&cluster, follower), "").unwrap();
    product.count(cluster.node(leader).clients, 1).await;
    assert_eq!(cluster.stop(follower).await, Some(0), "{}", cluster.said(follower));
}

#[tokio::test]
async fn a_node_hands_leadership_over_before_it_waits_for_the_disk_of_its_activation_log() {
    let mut cluster = cluster("QUORATE_TEST_HANG_ACTIVATION_LOG").await;
    let product = cluster.product(WORKSTATION);
    let (leader, follower) = leader_and_follower(&cluster).await;
    fs::write(hangs(&cluster, leader), "").unwrap();
    product.count(cluster.node(leader).clients, 1).await;
    cluster.process(leader).terminate();
    eventually("another node leads", async || {
        let led_by = cluster.standing(follower).await?.leader?;
        (led_by != leader).then_some(())
    })
    .await;
    fs::remove_file(hangs(&cluster, leader)).unwrap();
    assert_eq!(cluster.ended(leader).await, Some(0));
}

#[tokio::test]
async fn an_activation_log_whose_disk_hangs_does_not_keep_the_process() {
    let mut cluster = cluster("QUORATE_TEST_HANG_ACTIVATION_LOG").await;
    let product = cluster.product(WORKSTATION);
    let (_, follower) = leader_and_follower(&cluster).await;
    fs::write(hangs(&cluster, follower), "").unwrap();
    product.count(cluster.node(follower).clients, 1).await;
    assert_eq!(cluster.stop(follower).await, Some(0));
    let said = cluster.said(follower);
    assert!(said.contains("the end of the activation log was not written in time"), "{said}");
}

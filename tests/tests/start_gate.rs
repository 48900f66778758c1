//! Nodes whose disk was set back in time, and copies of a data folder, with real processes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{fs, net::SocketAddr, path::Path};

use quorate_tests::{Cluster, Plan, Process, Product, Quorate, copy_folder, eventually, free_port, page, value, words};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const PRODUCT: &str = "workstation-professional-2";

async fn cluster_of_three() -> (Cluster, Product) {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    let product = cluster.product(PRODUCT);
    (cluster, product)
}

/// Asks a node until it counts the machine; returns the count.
async fn activate(cluster: &Cluster, product: &Product, node: u64, machine: u64) -> u32 {
    let answered = eventually("a client is answered", async || {
        product.activate(cluster.node(node).clients, quorate_tests::cmid(machine)).await.ok()
    });
    answered.await.answer.body.count
}

async fn is_quarantined(metrics: SocketAddr) -> String {
    let not_ready = eventually("the node is quarantined", async || {
        let (status, text) = page(metrics, "/readyz").await?;
        (status == 503 && text.contains("quarantined")).then_some(text)
    });
    let text = not_ready.await;
    let (_, scraped) = page(metrics, "/metrics").await.unwrap();
    assert_eq!(value(&scraped, "quorate_quarantined"), Some(1.0));
    text
}

#[tokio::test]
async fn a_voter_whose_folder_is_put_back_is_quarantined_and_says_what_to_do() {
    let (mut cluster, product) = cluster_of_three().await;
    activate(&cluster, &product, 2, 1).await;
    assert_eq!(cluster.stop(2).await, Some(0));
    let (data, kept) = (cluster.node(2).data.clone(), cluster.path("kept"));
    copy_folder(&data, &kept).unwrap();
    cluster.start(2);
    for machine in 2..=13 {
        activate(&cluster, &product, 2, machine).await;
    }
    cluster.settled(1).await;
    assert_eq!(cluster.stop(2).await, Some(0));
    fs::remove_dir_all(&data).unwrap();
    copy_folder(&kept, &data).unwrap();
    cluster.start(2);
    let why = is_quarantined(cluster.node(2).metrics).await;
    assert!(why.contains("went back in time"), "{why}");
    assert_eq!(activate(&cluster, &product, 1, 14).await, 14, "the others go on with all that was acknowledged");

    let doctor = cluster.admin(1, &words!["doctor"]).await;
    assert_eq!(doctor.code, Some(1));
    assert!(doctor.stdout.contains("node 2 is quarantined"), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("quorate cluster remove 2 --dead"), "{}", doctor.stdout);
    eventually("its log names the command", async || cluster.said(2).contains("quorate cluster remove").then_some(()))
        .await;

    // Without the third voter, no majority is left of voters that kept what they promised: nothing is counted
    // wrongly.
    cluster.kill(3).await;
    is_quarantined(cluster.node(2).metrics).await;
    for node in [1, 2] {
        let asked = product.activate(cluster.node(node).clients, quorate_tests::cmid(20)).await;
        assert!(asked.is_err(), "node {node} counted without a majority");
    }
    cluster.start(3);
    // Machine 20 may be counted: its request was written without an acknowledgement, and a majority may commit it
    // now.
    assert!((15..=16).contains(&activate(&cluster, &product, 1, 15).await));
    let refused = cluster.admin(1, &words!["cluster", "remove", "2"]).await;
    assert!(refused.stderr.contains("quorate cluster remove 2 --dead"), "{}", refused.stderr);
    // Its log is not sound, so that another node's state would not help.
    let refused = cluster.admin(1, &words!["cluster", "rejoin", "2"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("node 2 is quarantined"), "{}", refused.stderr);
    assert!(refused.stderr.contains("quorate cluster remove 2 --dead"), "{}", refused.stderr);
    // The node answers but takes no part in the cluster, so it is removed without a drain.
    let removed = cluster.admin(1, &words!["cluster", "remove", "2", "--dead"]).await;
    assert_eq!(removed.code, Some(0), "{}", removed.stderr);
    assert!((16..=17).contains(&activate(&cluster, &product, 3, 16).await));
}

/// The configuration for a copy of a node, with another folder and other addresses.
fn copied_config(cluster: &Cluster, number: u64, data: &Path) -> (String, [SocketAddr; 2]) {
    let node = cluster.node(number);
    let address = cluster.loopback().address(9);
    let others = [(); 4].map(|()| free_port(address));
    let mut config = fs::read_to_string(&node.config).unwrap();
    config = config.replace(node.data.to_str().unwrap(), data.to_str().unwrap());
    for (own, other) in [node.clients, node.peers, node.admin, node.metrics].iter().zip(others) {
        config = config.replace(&format!("listen = \"{own}\""), &format!("listen = \"{other}\""));
    }
    let [clients, _, _, metrics] = others;
    (config, [clients, metrics])
}

#[tokio::test]
async fn a_copied_folder_that_is_started_at_another_address_does_not_serve_and_never_leads() {
    let (mut cluster, product) = cluster_of_three().await;
    activate(&cluster, &product, 1, 1).await;
    assert_eq!(cluster.stop(3).await, Some(0));
    let data = cluster.path("copy");
    copy_folder(&cluster.node(3).data, &data).unwrap();
    let (text, [clients, metrics]) = copied_config(&cluster, 3, &data);
    let config = cluster.path("copy.toml");
    fs::write(&config, text).unwrap();
    cluster.start(3);
    let program = Quorate::at(QUORATE);
    let _copy =
        Process::start(&mut program.command(words!["host", "run", "--config", &config]), &cluster.path("copy.log"));
    is_quarantined(metrics).await;
    let standing = cluster.settled(1).await;
    assert_eq!(activate(&cluster, &product, 3, 2).await, 2, "node 3 itself goes on");

    let leader = standing.leader.unwrap();
    cluster.kill(leader).await;
    let left = (1..=3).find(|node| *node != leader).unwrap();
    assert_eq!(activate(&cluster, &product, left, 3).await, 3);
    let (status, _) = page(metrics, "/readyz").await.unwrap();
    assert_eq!(status, 503);
    assert!(product.activate(clients, quorate_tests::cmid(4)).await.is_err());
}

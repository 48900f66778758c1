//! Recovery after nodes are lost: from a backup, and with the only node that is left.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;

use quorate_tests::{Cluster, Load, Plan, Quorate, contents, eventually, words};
use serde_json::json;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const PRODUCT: &str = "workstation-professional-2";

async fn cluster(plan: Plan<'_>) -> Cluster {
    Cluster::activated(&Quorate::at(QUORATE), plan).await
}

/// The count of the platform on a node.
async fn count(cluster: &Cluster, node: u64) -> u64 {
    let counted = eventually("the node answers", async || {
        let reply = cluster.admin(node, &words!["count", "--application", "platform"]).await;
        (reply.code == Some(0)).then(|| reply.json())
    });
    counted.await.pointer("/applications/0/count").unwrap().as_u64().unwrap()
}

#[tokio::test]
async fn a_backup_of_a_serving_cluster_begins_another_one_elsewhere() {
    let mut cluster = cluster(Plan { forming: 3, ..Plan::of(4) }).await;
    let product = cluster.product(PRODUCT);
    for machine in 1..=30 {
        product.activate(cluster.node(1 + machine % 3).clients, quorate_tests::cmid(machine)).await.unwrap();
    }
    let load = Load::start(&cluster, &product, 4);
    load.more(50).await;
    let file = cluster.path("monday.backup");
    let written = cluster.administrate(2, &words!["cluster", "backup", &file]).await;
    assert!(written["log_index"].as_u64().unwrap() > 30, "{written}");
    load.more(50).await;
    load.end().await;
    let again = cluster.admin(2, &words!["cluster", "backup", &file]).await;
    assert_eq!(again.code, Some(1), "a backup is never overwritten");

    // The backup is restored on node 4, which has belonged to no cluster.
    let config = cluster.node(4).config.clone();
    let restore = async |file: &std::path::Path| {
        Quorate::at(QUORATE).run(words!["cluster", "restore", file, "--config", &config, "--json"]).await
    };
    let whole = fs::read(&file).unwrap();
    let (torn, altered) = (cluster.path("torn"), cluster.path("altered"));
    fs::write(&torn, &whole[..whole.len() - 1]).unwrap();
    fs::write(&altered, [&whole[..100], &[whole[100] ^ 1], &whole[101..]].concat()).unwrap();
    for damaged in [torn, altered] {
        let refused = restore(&damaged).await;
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("incomplete or altered"), "{}", refused.stderr);
        assert!(!cluster.node(4).data.join("store").exists(), "the data folder is as it was");
    }
    let restored = restore(&file).await;
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
    assert_eq!(restored.json(), json!({ "node": 4, "log_index": written["log_index"] }));
    cluster.start(4);
    assert_eq!(count(&cluster, 4).await, 50, "as many as are kept");
    let before = contents(&cluster.node(4).data.join("snapshots"));
    let occupied = restore(&file).await;
    assert_eq!(occupied.code, Some(1));
    assert!(occupied.stderr.contains("already"), "{}", occupied.stderr);
    assert_eq!(contents(&cluster.node(4).data.join("snapshots")), before);

    let not_activated = product.activate(cluster.node(4).clients, quorate_tests::cmid(1)).await;
    assert!(not_activated.is_err(), "another machine needs a certificate of its own");
    cluster.activate_members(4).await;
    let answered = product.activate(cluster.node(4).clients, quorate_tests::cmid(1)).await.unwrap();
    assert_eq!(answered.answer.body.count, 50);
}

#[tokio::test]
async fn the_node_that_is_left_goes_on_alone_when_an_administrator_accepts_the_loss() {
    let mut cluster = cluster(Plan::of(3)).await;
    let product = cluster.product(PRODUCT);
    for machine in 1..=30 {
        product.activate(cluster.node(1 + machine % 3).clients, quorate_tests::cmid(machine)).await.unwrap();
    }
    cluster.settled(1).await;
    let running = cluster.run_host_command(3, "recover", &["--accept-loss"]).await;
    assert_eq!(running.code, Some(1), "not while it runs: {}", running.stderr);
    for node in 1..=3 {
        cluster.kill(node).await;
    }
    let warned = cluster.run_host_command(3, "recover", &[]).await;
    assert_eq!(warned.code, Some(1));
    assert!(warned.stderr.contains("--accept-loss"), "{}", warned.stderr);
    let recovered = cluster.run_host_command(3, "recover", &["--accept-loss"]).await;
    assert_eq!(recovered.code, Some(0), "{}", recovered.stderr);
    cluster.start(3);
    assert_eq!(count(&cluster, 3).await, 30);
    let answered = eventually("clients are answered", async || {
        product.activate(cluster.node(3).clients, quorate_tests::cmid(31)).await.ok()
    });
    assert_eq!(answered.await.answer.body.count, 31, "with the certificate that it has");

    // A lost node joins again with an empty disk.
    cluster.wipe(1);
    cluster.start(1);
    eventually("it comes in", async || {
        let place = format!("1={}", cluster.node(1).peers);
        let added = cluster.admin(3, &words!["cluster", "add", &place]).await;
        (added.code == Some(0)).then_some(())
    })
    .await;
    assert_eq!(count(&cluster, 1).await, 31);
}

//! A member that moves to another address, and a node restored from a backup while the cluster of that backup still
//! runs.

use std::net::SocketAddr;

use quorate_tests::{Cluster, Plan, Quorate, eventually, words};

use super::QUORATE;

#[tokio::test]
async fn a_member_that_moved_to_another_address_is_told_to_the_cluster_by_adding_it_again() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    let before = cluster.settled(1).await;
    assert_eq!(cluster.stop(3).await, Some(0));
    let moved = SocketAddr::from((cluster.loopback().address(9), cluster.node(3).peers.port()));
    cluster.set_variable(3, "QUORATE_PEERS_LISTEN", moved.to_string());
    cluster.start(3);
    eventually("it runs, and the others do not find it", async || {
        let member = cluster.standing(1).await?.members.get(&3)?.clone();
        (!member.reachable && cluster.said(3).matches("the node runs").count() == 2).then_some(())
    })
    .await;
    let added = cluster.administrate(1, &words!["cluster", "add", format!("3={moved}")]).await;
    assert_eq!(added["voters"].as_array().unwrap().len(), 3, "{added}");
    let after = cluster.settled(1).await;
    assert_eq!(after.members.keys().collect::<Vec<_>>(), before.members.keys().collect::<Vec<_>>());
    // The member keeps its number, its data and its activation.
    assert_eq!(cluster.product("server-standard-2").count(cluster.node(3).clients, 1).await, 1);
}

#[tokio::test]
async fn a_node_restored_beside_its_old_cluster_says_once_that_the_others_mean_another_store() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    let backup = cluster.path("monday.backup");
    cluster.administrate(1, &words!["cluster", "backup", &backup]).await;
    cluster.kill(3).await;
    cluster.wipe(3);
    let restored = cluster.run(&words!["cluster", "restore", &backup, "--config", &cluster.node(3).config]).await;
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
    let log = cluster.said(3).len();
    cluster.start(3);
    let refusals = |cluster: &Cluster, node| {
        cluster.said(node)[if node == 3 { log } else { 0 }..]
            .lines()
            .filter(|line| line.contains("call was refused"))
            .count()
    };
    eventually("the others call, and are refused", async || (refusals(&cluster, 3) > 0).then_some(())).await;
    eventually("it leads a cluster of its own", async || {
        cluster.standing(3).await?.leader.filter(|leader| *leader == 3)
    })
    .await;
    // Meanwhile the other nodes have called many times.
    for machine in 1..=20 {
        let product = cluster.product("server-standard-2");
        product.activate(cluster.node(1).clients, quorate_tests::cmid(machine)).await.unwrap();
        cluster.led(1).await;
    }
    let lines = refusals(&cluster, 3);
    assert!(lines <= 4, "{lines} lines: {}", cluster.said(3));
}

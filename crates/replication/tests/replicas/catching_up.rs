//! A node that was away comes back to the same state: from the others' log, or from a snapshot.

use std::fs;

use futures::{StreamExt, stream};
use replication::{Pace, StartError};

use crate::{
    cluster::{Cluster, Node, SETTINGS, count, eventually, pace},
    world,
};

/// Snapshots after few entries.
fn quick_snapshots() -> Pace {
    Pace { snapshot_every_entries: 100, ..pace() }
}

/// Appends `entries` entries that differ from each other.
async fn append(node: &Node, entries: u64) {
    let replica = node.replica().clone();
    node.on(async move |_| {
        stream::iter(0..entries)
            .for_each_concurrent(32, |number| {
                let replica = replica.clone();
                async move {
                    // One key, over and over: the number of keys is bounded.
                    let command = world::install_key(world::host_key(number % 7));
                    replica.propose(&command).await.unwrap();
                }
            })
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_node_catches_up_through_the_log() {
    let mut cluster = Cluster::activated(3).await;
    let away = cluster.follower().await;
    cluster.node_mut(away).stop_hard().await;
    let there = cluster.leader().await;
    for machine in 1..=20 {
        cluster.node(there).submit(machine).await.unwrap();
    }
    cluster.node_mut(away).start().await;
    cluster.assert_equal_states().await;
    assert_eq!(cluster.node(away).known_machines(), 20);
    assert!(cluster.node(away).replica().command_at(2).is_some(), "from the log: the first entries are there");
    assert!(!cluster.node(away).folder().join("snapshot").exists());
}

#[tokio::test]
async fn a_node_catches_up_through_a_snapshot() {
    let mut cluster = Cluster::activated_at(3, SETTINGS, quick_snapshots()).await;
    for machine in 1..=20 {
        cluster.node(1).submit(machine).await.unwrap();
    }
    let away = cluster.follower().await;
    cluster.node_mut(away).stop_hard().await;
    let there = cluster.leader().await;
    append(cluster.node(there), 500).await;
    eventually("the log is purged past what the node has", || async {
        cluster.node(there).replica().command_at(100).is_none()
    })
    .await;
    cluster.node_mut(away).start().await;
    cluster.assert_equal_states().await;
    assert_eq!(cluster.node(away).known_machines(), 20);
    assert!(cluster.node(away).replica().command_at(100).is_none(), "from a snapshot: these entries never came");
}

#[tokio::test]
async fn a_node_starts_from_its_own_snapshot_and_the_log_behind_it() {
    let mut cluster = Cluster::activated_at(1, SETTINGS, quick_snapshots()).await;
    append(cluster.node(1), 350).await;
    eventually("the log is purged", || async { cluster.node(1).replica().command_at(2).is_none() }).await;
    for machine in 1..=9 {
        cluster.node(1).submit(machine).await.unwrap();
    }
    let before = cluster.settled_hashes().await;
    cluster.node_mut(1).stop_hard().await;
    cluster.node_mut(1).start().await;
    cluster.leader().await;
    assert_eq!(cluster.settled_hashes().await, before);
    assert_eq!(count(&cluster.node(1).submit(10).await.unwrap()), 10);
}

#[tokio::test]
async fn a_node_does_not_start_without_the_snapshot_that_its_log_begins_after() {
    let mut cluster = Cluster::activated_at(1, SETTINGS, quick_snapshots()).await;
    append(cluster.node(1), 350).await;
    eventually("the log is purged", || async { cluster.node(1).replica().command_at(2).is_none() }).await;
    // What was purged is noted with the next write.
    cluster.node(1).submit(1).await.unwrap();
    cluster.node_mut(1).stop_hard().await;
    let snapshot = cluster.node(1).folder().join("snapshot");
    let content = fs::read(&snapshot).unwrap();

    fs::remove_file(&snapshot).unwrap();
    let missing = cluster.node_mut(1).try_start().await;
    assert!(matches!(missing, Err(StartError::Gap { snapshot: 0, .. })), "{:?}", missing.err());

    let mut damaged = content.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&snapshot, &damaged).unwrap();
    let refused = cluster.node_mut(1).try_start().await;
    assert!(matches!(refused, Err(StartError::State(_))), "{:?}", refused.err());
    assert_eq!(fs::read(&snapshot).unwrap(), damaged, "a damaged snapshot is left as it is");

    fs::write(&snapshot, content).unwrap();
    cluster.node_mut(1).start().await;
    cluster.leader().await;
    assert_eq!(count(&cluster.node(1).submit(2).await.unwrap()), 2);
}

//! A node that was absent catches up to the same state: from the others' log, or from a snapshot.

use std::{fs, path::PathBuf};

use api::log::v1 as proto;
use futures::{StreamExt, stream};
use prost::Message;
use replication::{Failure, Pace, StartError};
use tokio::time::timeout;

use crate::{
    cluster::{Cluster, Node, SETTINGS, TIMEOUT, count, eventually, hanging_disk::Refused, pace},
    world,
};

/// A pace with a snapshot after few entries.
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
                    // Seven keys in turn: the number of keys is limited.
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
    let (mut cluster, away) = with_one_that_needs_a_snapshot(quick_snapshots()).await;
    cluster.node_mut(away).start().await;
    cluster.assert_equal_states().await;
    assert_eq!(cluster.node(away).known_machines(), 20);
    assert!(cluster.node(away).replica().command_at(100).is_none(), "from a snapshot: these entries were not sent");
}

/// A cluster of three, and the number of a node that was absent until the others purged entries that it lacks.
async fn with_one_that_needs_a_snapshot(pace: Pace) -> (Cluster, u64) {
    let mut cluster = Cluster::activated_at(3, SETTINGS, pace).await;
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
    (cluster, away)
}

#[tokio::test]
async fn a_snapshot_transfer_resumes_where_the_connection_broke() {
    const BREAK_AFTER_BYTES: usize = 1500;
    let (mut cluster, away) =
        with_one_that_needs_a_snapshot(Pace { snapshot_chunk_bytes: 200, ..quick_snapshots() }).await;
    let snapshot = cluster.node(cluster.leader().await).folder().join("snapshot");
    assert!(fs::metadata(snapshot).unwrap().len() > 2 * BREAK_AFTER_BYTES as u64, "no call carries all of it");
    cluster.node_mut(away).break_snapshots_after(BREAK_AFTER_BYTES);
    cluster.node_mut(away).start().await;
    cluster.assert_equal_states().await;
    assert_eq!(cluster.node(away).known_machines(), 20);
    assert!(cluster.node(away).replica().command_at(100).is_none(), "from a snapshot: these entries were not sent");
    eventually("nothing of the transfer is left", || async { partial_of(cluster.node(away)).is_none() }).await;
}

/// The file with the part of a snapshot that a node has received, if there is one.
fn partial_of(node: &Node) -> Option<PathBuf> {
    let mut files = fs::read_dir(node.folder()).unwrap().map(|file| file.unwrap().path());
    files.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("partial-"))
}

#[tokio::test]
async fn a_damaged_part_of_a_snapshot_is_received_again() {
    let (mut cluster, away) = with_one_that_needs_a_snapshot(quick_snapshots()).await;
    let leader = cluster.leader().await;
    let file = fs::read(cluster.node(leader).folder().join("snapshot")).unwrap();
    let snapshot = proto::Snapshot::decode(file.as_slice()).unwrap();
    let last = snapshot.last.unwrap();
    let digest: String = snapshot.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("partial-{}-{}-{}-{digest}", last.term, last.leader, last.index);
    let mut held = snapshot.state[..snapshot.state.len() / 2].to_vec();
    held[7] ^= 1;
    fs::write(cluster.node(away).folder().join(name), held).unwrap();
    fs::write(cluster.node(away).folder().join("partial-of-another"), "x").unwrap();
    cluster.node_mut(away).start().await;
    cluster.assert_equal_states().await;
    eventually("nothing of the transfer is left", || async { partial_of(cluster.node(away)).is_none() }).await;
}

#[tokio::test]
async fn a_node_that_cannot_store_a_snapshot_fails_and_catches_up_once_it_can() {
    let (mut cluster, away) = with_one_that_needs_a_snapshot(quick_snapshots()).await;
    cluster.node(away).refuse(Some(Refused::Parts));
    cluster.node_mut(away).start().await;
    let failed = timeout(TIMEOUT, cluster.node(away).on(async |replica| replica.failed().await)).await;
    let Ok(Failure::Storage(why)) = failed else { panic!("{failed:?}") };
    assert!(why.contains("cannot write snapshot"), "{why}");

    cluster.node_mut(away).stop_hard().await;
    cluster.node(away).refuse(None);
    cluster.node_mut(away).start().await;
    cluster.assert_equal_states().await;
    assert_eq!(cluster.node(away).known_machines(), 20);
}

#[tokio::test]
async fn a_node_of_the_version_before_gets_a_snapshot_in_one_go() {
    let (mut cluster, away) = with_one_that_needs_a_snapshot(quick_snapshots()).await;
    cluster.node_mut(away).serve_as_older_version();
    cluster.node_mut(away).start().await;
    cluster.assert_equal_states().await;
    assert!(cluster.node(away).replica().command_at(100).is_none(), "from a snapshot: these entries were not sent");
}

#[tokio::test]
async fn a_node_starts_from_its_own_snapshot_and_the_log_after_it() {
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
    // The purge becomes durable with the next write.
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

//! A new cluster from a backup, or from one node's data after the other nodes are lost.

use std::collections::BTreeMap;

use replication::{Backup, BackupError, BeginError};
use tokio::time::Instant;

use crate::cluster::{Cluster, SETTINGS, TIMEOUT, count, pace};

async fn backup(cluster: &Cluster, node: u64) -> Vec<u8> {
    cluster.node(node).on(async |replica| replica.backup().await).await.unwrap().to_vec()
}

async fn submit(cluster: &Cluster, node: u64, machine: u64) -> u32 {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match cluster.node(node).submit(machine).await {
            Ok(recorded) => return count(&recorded),
            Err(why) => assert!(Instant::now() < deadline, "node {node} does not answer: {why}"),
        }
    }
}

#[tokio::test]
async fn a_backup_taken_while_serving_forms_another_cluster_with_the_same_count() {
    let old = Cluster::activated(3).await;
    for machine in 1..=20 {
        old.node(1 + machine % 3).submit(machine).await.unwrap();
    }
    let follower = old.follower().await;
    let file = backup(&old, follower).await;
    old.node(1).submit(21).await.unwrap();

    let mut new = Cluster::unformed(3, SETTINGS, pace()).await;
    new.node_mut(1).stop_hard().await;
    new.node_mut(1).wipe();
    let read = Backup::read(&file).unwrap();
    let (disk, address) = (new.node(1).open_disk().await, new.node(1).address());
    let begun = read.restore(disk, &address).await.unwrap();
    assert!(begun.log_index > 20, "{begun:?}");
    new.node_mut(1).start().await;
    assert_eq!(submit(&new, 1, 22).await, 21, "20 machines, without the one after the backup, and this one");
    for node in [2, 3] {
        let address = new.node(node).address();
        new.node(1).on(async move |replica| replica.add(node, &address).await).await.unwrap();
    }
    assert_eq!(submit(&new, 3, 23).await, 22);
    new.assert_equal_states().await;
    assert_eq!(submit(&old, 2, 22).await, 22, "the old cluster continues with its own count");
}

#[tokio::test]
async fn an_incomplete_or_altered_backup_is_refused() {
    let cluster = Cluster::activated(1).await;
    for machine in 1..=5 {
        cluster.node(1).submit(machine).await.unwrap();
    }
    let file = backup(&cluster, 1).await;
    Backup::read(&file).unwrap();
    for length in 0..file.len() {
        let torn = Backup::read(&file[..length]).unwrap_err();
        assert!(matches!(torn, BackupError::Unknown | BackupError::Damaged), "cut at {length}: {torn}");
    }
    for place in 0..file.len() {
        let mut altered = file.clone();
        altered[place] ^= 1 << (place % 8);
        let altered = Backup::read(&altered).unwrap_err();
        assert!(matches!(altered, BackupError::Unknown | BackupError::Damaged), "changed at {place}: {altered}");
    }
    let newer = [b"quorate-backup 2\n", file.get(17..).unwrap()].concat();
    assert!(matches!(Backup::read(&newer), Err(BackupError::Unknown)));
}

#[tokio::test]
async fn the_last_of_three_nodes_recovers_alone_and_the_lost_nodes_cannot_return() {
    let mut cluster = Cluster::activated(3).await;
    for machine in 1..=30 {
        cluster.node(1 + machine % 3).submit(machine).await.unwrap();
    }
    cluster.settled_hashes().await;
    for node in 1..=3 {
        cluster.node_mut(node).stop_hard().await;
    }
    let (disk, address) = (cluster.node(3).open_disk().await, cluster.node(3).address());
    let before = cluster.node(3).folder().join("snapshot").exists();
    assert!(!before, "all is in the log");
    replication::recover(disk, &address).await.unwrap();
    cluster.node_mut(3).start().await;
    assert_eq!(submit(&cluster, 3, 31).await, 31, "30 machines, and this one");
    let view = cluster.node(3).replica().cluster();
    assert_eq!((view.voters.clone(), view.members.len()), (vec![3], 1));

    // The two lost nodes are a majority of the old cluster: both clusters continue independently.
    cluster.node_mut(1).start().await;
    cluster.node_mut(2).start().await;
    assert_eq!(submit(&cluster, 1, 40).await, 31, "the lost ones count on their own");
    assert_eq!(submit(&cluster, 3, 41).await, 32, "and get no answer");
    assert_eq!(cluster.node(3).replica().cluster().leader, Some(3));
    let again = cluster.node(1).address();
    let refused = cluster.node(3).on(async move |replica| replica.add(1, &again).await).await.unwrap_err();
    assert!(refused.to_string().contains("belongs to a cluster already"), "{refused}");
}

#[tokio::test]
async fn an_interrupted_recovery_admits_no_earlier_member_and_is_completed_when_repeated() {
    let mut cluster = Cluster::activated(3).await;
    for machine in 1..=10 {
        cluster.node(1).submit(machine).await.unwrap();
    }
    cluster.settled_hashes().await;
    cluster.node_mut(3).stop_hard().await;
    let (folder, address) = (cluster.node(3).folder().to_owned(), cluster.node(3).address());
    // The snapshot is first written to this path.
    let obstacle = folder.join("snapshot.new");
    std::fs::create_dir(&obstacle).unwrap();
    let broken = replication::recover(cluster.node(3).open_disk().await, &address).await;
    assert!(matches!(broken, Err(BeginError::Write(_))), "{broken:?}");
    cluster.node_mut(3).start().await;
    let refused =
        cluster.node(1).on(async |replica| replica.legacy_ask(3, "who".into(), TIMEOUT).await).await.unwrap_err();
    assert!(refused.message().contains("lost its data"), "it is another one already: {refused}");
    assert!(cluster.node(3).submit(11).await.is_err(), "and no cluster yet");

    cluster.node_mut(3).stop_hard().await;
    std::fs::remove_dir(&obstacle).unwrap();
    replication::recover(cluster.node(3).open_disk().await, &address).await.unwrap();
    cluster.node_mut(3).start().await;
    assert_eq!(submit(&cluster, 3, 11).await, 11, "10 machines, and this one");
}

#[tokio::test]
async fn a_node_that_never_belonged_to_a_cluster_cannot_be_recovered() {
    let mut cluster = Cluster::unformed(1, SETTINGS, pace()).await;
    cluster.node_mut(1).stop_hard().await;
    let refused = replication::recover(cluster.node(1).open_disk().await, "127.0.0.1:1").await;
    assert!(matches!(refused, Err(BeginError::Empty)), "{refused:?}");
    cluster.node_mut(1).start().await;
    let alone = BTreeMap::from([(1, cluster.node(1).address())]);
    cluster.node(1).on(async move |replica| replica.bootstrap(&alone, TIMEOUT).await).await.unwrap();
}

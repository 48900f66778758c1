//! The state's hash is logged, and a node whose state has diverged is detected.

use std::{fs, path::Path};

use activation::{
    limits::STATE_HASH_INTERVAL_ENTRIES,
    state::{Command, Format, State},
};
use api::log::v1 as proto;
use bytes::Bytes;
use futures::{StreamExt, stream};
use prost::Message;
use replication::{BeginError, Failure, Health, Pace, ProposeError, Unavailable, recover};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::{
    cluster::{Cluster, SETTINGS, TIMEOUT, eventually, hanging_disk::Refused, pace},
    world,
};

/// Appends enough entries for a state hash to become due.
async fn append_until_a_hash_is_due(cluster: &Cluster) {
    let leader = cluster.leader().await;
    cluster
        .node(leader)
        .on(async move |replica| {
            stream::iter(0..STATE_HASH_INTERVAL_ENTRIES)
                .for_each_concurrent(64, |number| {
                    let replica = replica.clone();
                    async move {
                        let command = world::install_key(world::host_key(number % 3));
                        match replica.propose(&command).await {
                            // A leader whose own state has diverged may detect it in the meantime.
                            Ok(_) | Err(ProposeError::Unknown | ProposeError::Unavailable(Unavailable::Diverged)) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
                .await;
        })
        .await;
}

/// The logged hashes in a node's log: the indexes that they are for.
fn logged_hashes(cluster: &Cluster, node: u64) -> Vec<u64> {
    let replica = cluster.node(node).replica();
    let commands = (0..=replica.cluster().last_index).filter_map(|index| replica.command_at(index));
    commands
        .filter_map(|command| match Command::decode(&command) {
            Ok(Command::StateHash { index, .. }) => Some(index),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn every_1024_entries_the_leader_logs_its_hash_and_equal_nodes_keep_serving() {
    let cluster = Cluster::activated(3).await;
    append_until_a_hash_is_due(&cluster).await;
    eventually("every node has the hash in its log", || async {
        (1..=3).all(|node| logged_hashes(&cluster, node) == [STATE_HASH_INTERVAL_ENTRIES])
    })
    .await;
    cluster.assert_equal_states().await;
    for node in cluster.running() {
        assert_eq!(node.replica().health(), Health::Running, "node {}", node.number());
        node.submit(node.number()).await.unwrap();
    }
}

/// Three nodes, one of which was started on an altered snapshot, and the number of that node.
async fn with_an_altered_follower() -> (Cluster, u64) {
    let quick = Pace { snapshot_every_entries: 100, ..pace() };
    let mut cluster = Cluster::activated_at(3, SETTINGS, quick).await;
    let altered = cluster.follower().await;
    let there = cluster.leader().await;
    for machine in 1..=150 {
        eventually("the machine is counted", || async { cluster.node(there).submit(machine).await.is_ok() }).await;
    }
    let snapshot = cluster.node(altered).folder().join("snapshot");
    eventually("the node has a snapshot", || async { snapshot.exists() }).await;
    cluster.node_mut(altered).stop_hard().await;
    alter(&snapshot);
    // No later snapshot may replace the altered state.
    cluster.node_mut(altered).set_pace(pace());
    cluster.node_mut(altered).start().await;
    (cluster, altered)
}

async fn append_until_found_out(cluster: &Cluster, altered: u64) {
    append_until_a_hash_is_due(cluster).await;
    eventually("the divergence is detected", || async {
        matches!(cluster.node(altered).replica().health(), Health::Diverged(_))
    })
    .await;
}

#[tokio::test]
async fn a_node_whose_state_was_altered_is_detected_and_stops_answering() {
    let (mut cluster, altered) = with_an_altered_follower().await;
    assert_eq!(cluster.node(altered).replica().health(), Health::Running, "no node has detected it yet");

    append_until_found_out(&cluster, altered).await;
    assert_eq!(cluster.node(altered).submit(200).await.unwrap_err(), Unavailable::Diverged);
    for node in cluster.running().filter(|node| node.number() != altered) {
        assert_eq!(node.replica().health(), Health::Running);
        node.submit(200).await.unwrap();
    }

    // The node does not lead, also not after a restart.
    let leader = cluster.leader().await;
    cluster.node(leader).on(async move |replica| replica.transfer_leader(altered).await).await.unwrap_err();
    cluster.node_mut(altered).stop_hard().await;
    cluster.node_mut(altered).start().await;
    assert!(matches!(cluster.node(altered).replica().health(), Health::Diverged(_)));
    cluster.node_mut(leader).stop_hard().await;
    eventually("the other sound node does not lead without a majority that elects it, or leads", || async {
        let others = cluster.running().filter(|node| node.number() != altered);
        let leaders: Vec<_> = others.filter_map(|node| node.replica().cluster().leader).collect();
        !leaders.is_empty() && leaders.iter().all(|leader| *leader != altered)
    })
    .await;
    assert_eq!(cluster.node(altered).submit(201).await.unwrap_err(), Unavailable::Diverged);

    // Its counts are wrong: no cluster is formed from them.
    cluster.node_mut(altered).stop_hard().await;
    let recovered = recover(cluster.node(altered).open_disk().await, &cluster.node(altered).address()).await;
    assert!(matches!(recovered, Err(BeginError::Diverged { .. })), "{recovered:?}");
}

#[tokio::test]
async fn a_leader_whose_state_was_altered_transfers_leadership_and_the_majority_keeps_serving() {
    let (cluster, altered) = with_an_altered_follower().await;
    eventually("it leads: no node has detected it yet", || async {
        let leader = cluster.leader().await;
        leader == altered
            || cluster.node(leader).on(async move |replica| replica.transfer_leader(altered).await).await.is_ok()
    })
    .await;

    append_until_a_hash_is_due(&cluster).await;
    eventually("it has detected that its state differs, and another node leads", || async {
        matches!(cluster.node(altered).replica().health(), Health::Diverged(_)) && cluster.leader().await != altered
    })
    .await;
    for node in cluster.running().filter(|node| node.number() != altered) {
        assert_eq!(node.replica().health(), Health::Running, "node {}: the majority is right", node.number());
        node.submit(200).await.unwrap();
    }
}

/// Proposes through the node `via` that `node` takes over the majority's state.
async fn rejoin(cluster: &Cluster, via: u64, node: u64) -> Result<u64, ProposeError> {
    cluster.node(via).on(async move |replica| replica.rejoin(node).await).await
}

/// Asserts that the node serves with the same state as the others, and may lead.
async fn is_sound(cluster: &Cluster, node: u64) {
    assert_eq!(cluster.node(node).replica().health(), Health::Running);
    cluster.node(node).submit(300).await.unwrap();
    cluster.assert_equal_states().await;
    let leader = cluster.leader().await;
    if leader != node {
        cluster.node(leader).on(async move |replica| replica.transfer_leader(node).await).await.unwrap();
    }
    cluster.node(node).submit(301).await.unwrap();
    cluster.assert_equal_states().await;
}

#[tokio::test]
async fn a_diverged_node_takes_over_the_state_that_a_majority_confirms_and_serves_under_its_number() {
    let (mut cluster, altered) = with_an_altered_follower().await;
    append_until_found_out(&cluster, altered).await;
    // The command goes to a follower, which forwards it to the leader.
    let leader = cluster.leader().await;
    let via = (1..=3).find(|node| ![altered, leader].contains(node)).unwrap();
    // Entries are appended while the confirmed state is sent.
    let appended = async {
        for machine in 400..=500 {
            cluster.node(via).submit(machine).await.unwrap();
        }
    };
    let (rejoined, ()) = tokio::join!(rejoin(&cluster, via, altered), appended);
    rejoined.unwrap();
    assert_eq!(cluster.node(altered).replica().health(), Health::Running, "on return");

    // The state on its disk is the majority's too.
    cluster.node_mut(altered).stop_hard().await;
    let (file, _) = read_snapshot(&cluster.node(altered).folder().join("snapshot"));
    assert!(file.last.unwrap().index > STATE_HASH_INTERVAL_ENTRIES, "the snapshot is not the old one");
    cluster.node_mut(altered).start().await;
    is_sound(&cluster, altered).await;
    let confirmed = logged_hashes(&cluster, via).last().copied();
    assert!(confirmed > Some(STATE_HASH_INTERVAL_ENTRIES), "{confirmed:?}");
    rejoin(&cluster, via, altered).await.unwrap();
    assert_eq!(logged_hashes(&cluster, via).last().copied(), confirmed, "if no state differs nothing is done");
}

#[tokio::test]
async fn a_state_that_could_not_be_written_leaves_the_node_marked_and_it_is_repeated() {
    let (mut cluster, altered) = with_an_altered_follower().await;
    append_until_found_out(&cluster, altered).await;
    let leader = cluster.leader().await;
    cluster.node(altered).refuse(Some(Refused::Snapshots));
    let asked = cluster.node(leader).handle().spawn({
        let replica = cluster.node(leader).replica().clone();
        async move { replica.rejoin(altered).await }
    });
    let failed = timeout(TIMEOUT, cluster.node(altered).on(async |replica| replica.failed().await)).await;
    assert!(matches!(failed, Ok(Failure::Storage(_))), "{failed:?}");
    cluster.node_mut(altered).stop_hard().await;
    cluster.node(altered).refuse(None);
    cluster.node_mut(altered).start().await;
    // The same command retries until it succeeds.
    timeout(TIMEOUT, asked).await.expect("it is repeated").unwrap().unwrap();
    is_sound(&cluster, altered).await;
}

#[tokio::test]
async fn a_diverged_node_that_a_leader_sent_a_snapshot_to_serves_only_once_a_majority_confirmed_its_state() {
    let (mut cluster, altered) = with_an_altered_follower().await;
    append_until_found_out(&cluster, altered).await;
    cluster.node_mut(altered).stop_hard().await;
    let quick = Pace { snapshot_every_entries: 100, ..pace() };
    for node in (1..=3).filter(|node| *node != altered) {
        cluster.node_mut(node).stop_hard().await;
        cluster.node_mut(node).set_pace(quick);
        cluster.node_mut(node).start().await;
    }
    let leader = cluster.leader().await;
    let last = cluster.node(leader).replica().cluster().last_index;
    append_until_a_hash_is_due(&cluster).await;
    eventually("the log is purged past what the node has", || async {
        cluster.node(leader).replica().command_at(last).is_none()
    })
    .await;
    cluster.node_mut(altered).start().await;
    cluster.assert_equal_states().await;
    assert!(cluster.node(altered).replica().command_at(last).is_none(), "from a snapshot");
    assert!(matches!(cluster.node(altered).replica().health(), Health::Diverged(_)));
    rejoin(&cluster, leader, altered).await.unwrap();
    is_sound(&cluster, altered).await;
}

#[tokio::test]
async fn a_state_that_cannot_be_confirmed_is_refused_with_the_remedy() {
    let refused = async |cluster: &Cluster, node| match rejoin(cluster, cluster.leader().await, node).await {
        Err(ProposeError::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    let cluster = Cluster::activated(1).await;
    let why = refused(&cluster, 9).await;
    assert!(why.contains("node 9 is not a member"), "{why}");
    let why = refused(&cluster, 1).await;
    assert!(why.contains("0 of 1 voters are not a majority") && why.contains("cluster remove 1 --dead"), "{why}");
    let format = Command::SetFormat { format: Format::new(2).unwrap() };
    let leader = cluster.leader().await;
    cluster.node(leader).on(async move |replica| replica.propose(&format).await).await.unwrap();
    let why = refused(&cluster, 1).await;
    assert!(why.contains("the cluster writes format 2") && why.contains("cluster format set 3"), "{why}");
}

/// A snapshot file, and the state in it.
fn read_snapshot(path: &Path) -> (proto::Snapshot, State) {
    let file = proto::Snapshot::decode(fs::read(path).unwrap().as_slice()).unwrap();
    let state = State::decode_snapshot(&file.state).unwrap();
    (file, state)
}

/// Adds a key to the state in a snapshot that no command installed, and updates the file's digest.
fn alter(path: &Path) {
    let (mut file, mut state) = read_snapshot(path);
    state.apply(1, &world::install_key(world::host_key(99)).encode());
    file.state = state.encode_snapshot().into();
    file.digest = Sha256::digest(&file.state).to_vec().into();
    // Without a seal, as versions before the seal wrote it.
    file.seal = Bytes::new();
    fs::write(path, file.encode_to_vec()).unwrap();
}

//! The state's hash goes into the log, and a node whose own differs is found out.

use std::fs;

use activation::{
    limits::STATE_HASH_INTERVAL_ENTRIES,
    state::{Command, State},
};
use api::log::v1 as proto;
use bytes::Bytes;
use futures::{StreamExt, stream};
use prost::Message;
use replication::{Health, Pace, ProposeError, Unavailable};
use sha2::{Digest, Sha256};

use crate::{
    cluster::{Cluster, SETTINGS, eventually, pace},
    world,
};

/// Appends so many entries that a hash of the state becomes due.
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
                            // A leader whose own state is the wrong one finds it out on the way.
                            Ok(_) | Err(ProposeError::Unknown | ProposeError::Unavailable(Unavailable::Diverged)) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
                .await;
        })
        .await;
}

/// The logged hashes of a node's log: the index they are for.
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
async fn every_1024_entries_the_leader_logs_its_hash_and_equal_nodes_go_on() {
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

/// Three nodes, one of which was started on a snapshot that was altered; its number.
async fn with_an_altered_follower() -> (Cluster, u64) {
    let quick = Pace { snapshot_every_entries: 100, ..pace() };
    let mut cluster = Cluster::activated_at(3, SETTINGS, quick).await;
    let altered = cluster.follower().await;
    let there = cluster.leader().await;
    for machine in 1..=150 {
        cluster.node(there).submit(machine).await.unwrap();
    }
    let snapshot = cluster.node(altered).folder().join("snapshot");
    eventually("the node has a snapshot", || async { snapshot.exists() }).await;
    cluster.node_mut(altered).stop_hard().await;
    alter(&snapshot);
    // With no other snapshot to come that would set it right.
    cluster.node_mut(altered).set_pace(pace());
    cluster.node_mut(altered).start().await;
    (cluster, altered)
}

#[tokio::test]
async fn a_node_whose_state_was_altered_is_found_out_and_answers_no_more() {
    let (mut cluster, altered) = with_an_altered_follower().await;
    assert_eq!(cluster.node(altered).replica().health(), Health::Running, "nobody knows yet");

    append_until_a_hash_is_due(&cluster).await;
    eventually("the node is found out", || async {
        matches!(cluster.node(altered).replica().health(), Health::Diverged(_))
    })
    .await;
    assert_eq!(cluster.node(altered).submit(200).await.unwrap_err(), Unavailable::Diverged);
    for node in cluster.running().filter(|node| node.number() != altered) {
        assert_eq!(node.replica().health(), Health::Running);
        node.submit(200).await.unwrap();
    }

    // It does not lead, and knows that after a restart, too.
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
}

#[tokio::test]
async fn a_leader_whose_state_was_altered_hands_over_and_the_majority_goes_on() {
    let (cluster, altered) = with_an_altered_follower().await;
    eventually("it leads: nobody knows yet", || async {
        let leader = cluster.leader().await;
        leader == altered
            || cluster.node(leader).on(async move |replica| replica.transfer_leader(altered).await).await.is_ok()
    })
    .await;

    append_until_a_hash_is_due(&cluster).await;
    eventually("it knows that its state is the wrong one, and another node leads", || async {
        matches!(cluster.node(altered).replica().health(), Health::Diverged(_)) && cluster.leader().await != altered
    })
    .await;
    for node in cluster.running().filter(|node| node.number() != altered) {
        assert_eq!(node.replica().health(), Health::Running, "node {}: the majority is right", node.number());
        node.submit(200).await.unwrap();
    }
}

/// Adds a key that nobody installed to the state in a snapshot, and makes the file whole again.
fn alter(path: &std::path::Path) {
    let mut file = proto::Snapshot::decode(fs::read(path).unwrap().as_slice()).unwrap();
    let mut state = State::decode_snapshot(&file.state).unwrap();
    state.apply(1, &world::install_key(world::host_key(99)).encode());
    file.state = state.encode_snapshot().into();
    file.digest = Sha256::digest(&file.state).to_vec().into();
    // As a version before the seal wrote it.
    file.seal = Bytes::new();
    fs::write(path, file.encode_to_vec()).unwrap();
}

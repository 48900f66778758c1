//! The start gate: which nodes are admitted, and which are quarantined.

use replication::{Health, Unavailable};
use storage::Batch;
use tokio::time::Instant;

use crate::cluster::{Cluster, Node, TIMEOUT, count, eventually};

/// Repeats the request until it is answered; returns the count.
async fn submit(node: &Node, machine: u64) -> u32 {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match node.submit(machine).await {
            Ok(recorded) => return count(&recorded),
            Err(why) => assert!(Instant::now() < deadline, "node {} does not answer: {why}", node.number()),
        }
    }
}

/// Three voters, and node 4 as a learner.
async fn with_a_learner() -> Cluster {
    let cluster = Cluster::unformed(4, crate::cluster::SETTINGS, crate::cluster::pace()).await;
    let mut voters = cluster.addresses();
    voters.remove(&4);
    cluster.node(1).on(async move |replica| replica.bootstrap(&voters, TIMEOUT).await).await.unwrap();
    for command in crate::world::activation(1..=4) {
        cluster.node(1).on(async move |replica| replica.propose(&command).await).await.unwrap();
    }
    let address = cluster.node(4).address();
    cluster.node(1).on(async move |replica| replica.add(4, &address).await).await.unwrap();
    cluster
}

async fn is_quarantined(node: &Node) -> String {
    let mut reason = None;
    eventually("the node is quarantined", || {
        if let Health::Quarantined(why) = node.replica().health() {
            reason = Some(why);
        }
        std::future::ready(reason.is_some())
    })
    .await;
    assert_eq!(node.submit(99).await.unwrap_err(), Unavailable::Quarantined);
    let read = node.on(async |replica| replica.read_point().await).await;
    assert_eq!(read.unwrap_err(), Unavailable::Quarantined);
    let proposed = node.on(async |replica| replica.accept_clock(replica.request_id()).await).await;
    assert!(proposed.unwrap_err().to_string().contains("--dead"), "the error names the remedy");
    reason.unwrap()
}

/// Stops `node`, copies its folder, lets it count twelve more machines, and restores the older folder.
async fn roll_back(cluster: &mut Cluster, node: u64) {
    let kept = cluster.path("kept");
    cluster.node_mut(node).stop_hard().await;
    cluster.node(node).copy_folder(&kept).await;
    cluster.node_mut(node).start().await;
    for machine in 2..=13 {
        submit(cluster.node(node), machine).await;
    }
    cluster.settled_hashes().await;
    cluster.node_mut(node).stop_hard().await;
    cluster.node_mut(node).put_folder_back(&kept).await;
    cluster.node_mut(node).start().await;
}

async fn a_rolled_back_node_is_quarantined(mut cluster: Cluster, node: u64) {
    let other = (1..=3).find(|other| *other != node).unwrap();
    submit(cluster.node(node), 1).await;
    roll_back(&mut cluster, node).await;
    let reason = is_quarantined(cluster.node(node)).await;
    assert!(reason.contains("went back in time"), "{reason}");
    assert_eq!(submit(cluster.node(other), 14).await, 14, "the others keep serving, with all that was acknowledged");

    cluster.node_mut(node).stop_hard().await;
    cluster.node_mut(node).start().await;
    assert_eq!(is_quarantined(cluster.node(node)).await, reason, "it stays so after another start");
    assert_eq!(submit(cluster.node(other), 15).await, 15);
    for sound in cluster.running().filter(|sound| sound.number() != node) {
        assert_eq!(sound.replica().health(), Health::Running, "node {}", sound.number());
    }
}

#[tokio::test]
async fn a_voter_whose_disk_went_back_in_time_is_quarantined_and_the_others_keep_serving() {
    let cluster = Cluster::activated(3).await;
    let follower = cluster.follower().await;
    a_rolled_back_node_is_quarantined(cluster, follower).await;
}

#[tokio::test]
async fn a_leader_whose_disk_went_back_in_time_is_quarantined_and_the_others_keep_serving() {
    let cluster = Cluster::activated(3).await;
    let leader = cluster.leader().await;
    a_rolled_back_node_is_quarantined(cluster, leader).await;
}

#[tokio::test]
async fn a_learner_whose_disk_went_back_in_time_is_quarantined_and_the_others_keep_serving() {
    a_rolled_back_node_is_quarantined(with_a_learner().await, 4).await;
}

/// As when an image of a running machine is restored: there was no start in between, and only the number of writes
/// reveals it.
#[tokio::test]
async fn a_disk_that_lost_writes_since_the_last_start_is_detected_by_its_number_of_writes() {
    let mut cluster = Cluster::activated(3).await;
    let node = cluster.follower().await;
    let kept = cluster.path("kept");
    submit(cluster.node(node), 1).await;
    cluster.node_mut(node).stop_hard().await;
    cluster.node(node).copy_folder(&kept).await;
    cluster.node_mut(node).start().await;
    for machine in 2..=12 {
        submit(cluster.node(node), machine).await;
    }
    cluster.settled_hashes().await;
    let generation = cluster.node(node).replica().generation();
    cluster.node_mut(node).stop_hard().await;
    cluster.node_mut(node).put_folder_back(&kept).await;
    let mut batch = Batch::default();
    batch.put(b"g", generation.to_be_bytes()).unwrap();
    storage::commit(&*cluster.node(node).open_disk().await, batch).await.unwrap();
    cluster.node_mut(node).start().await;
    let reason = is_quarantined(cluster.node(node)).await;
    assert!(reason.contains("writes"), "{reason}");
}

#[tokio::test]
async fn a_copy_at_another_address_is_quarantined_and_the_node_keeps_serving() {
    let mut cluster = Cluster::activated(3).await;
    submit(cluster.node(1), 1).await;
    let copied = cluster.follower().await;
    cluster.node_mut(copied).stop_hard().await;
    let mut copy = cluster.node(copied).copied_to(cluster.path("copy")).await;
    cluster.node_mut(copied).start().await;
    submit(cluster.node(copied), 2).await;
    copy.start().await;
    let reason = is_quarantined(&copy).await;
    assert!(reason.contains("copy"), "{reason}");
    assert_eq!(submit(cluster.node(copied), 3).await, 3);
    assert_eq!(cluster.node(copied).replica().health(), Health::Running);

    let leader = cluster.leader().await;
    cluster.node_mut(leader).stop_hard().await;
    let left = cluster.running().next().unwrap();
    assert_eq!(submit(left, 4).await, 4, "two of three, without the copy");
    assert!(copy.submit(5).await.is_err());
}

#[tokio::test]
async fn of_two_processes_of_one_node_the_one_at_its_address_is_admitted_whichever_started_first() {
    let mut cluster = Cluster::activated(3).await;
    submit(cluster.node(1), 1).await;
    let copied = cluster.follower().await;
    cluster.node_mut(copied).stop_hard().await;
    let mut copy = cluster.node(copied).copied_to(cluster.path("copy")).await;
    copy.start().await;
    // The copy must not answer while no member can reach it at the node's registered address.
    assert_eq!(copy.submit(2).await.unwrap_err(), Unavailable::NoLeader);
    assert!(!copy.replica().is_admitted());
    cluster.node_mut(copied).start().await;
    assert_eq!(submit(cluster.node(copied), 2).await, 2);
    is_quarantined(&copy).await;
    assert_eq!(cluster.node(copied).replica().health(), Health::Running);
}

#[tokio::test]
async fn nodes_that_restart_one_by_one_or_all_together_are_admitted() {
    let mut cluster = with_a_learner().await;
    let mut machines = 0;
    for round in 0..3 {
        for node in 1..=4 {
            cluster.node_mut(node).stop_hard().await;
            cluster.node_mut(node).start().await;
            machines += 1;
            assert_eq!(submit(cluster.node(node), machines).await, u32::try_from(machines).unwrap(), "round {round}");
        }
        for node in 1..=4 {
            cluster.node_mut(node).stop_hard().await;
        }
        for node in 1..=4 {
            cluster.node_mut(node).start().await;
        }
        for node in 1..=4 {
            machines += 1;
            assert_eq!(submit(cluster.node(node), machines).await, u32::try_from(machines).unwrap(), "round {round}");
        }
    }
    for node in cluster.running() {
        assert_eq!(node.replica().health(), Health::Running, "node {}", node.number());
        assert!(node.replica().is_admitted());
    }
}

#[tokio::test]
async fn a_majority_of_the_voters_comes_up_without_the_third() {
    let mut cluster = Cluster::activated(3).await;
    submit(cluster.node(1), 1).await;
    for node in 1..=3 {
        cluster.node_mut(node).stop_hard().await;
    }
    cluster.node_mut(1).start().await;
    assert_eq!(cluster.node(1).submit(2).await.unwrap_err(), Unavailable::NoLeader);
    assert!(!cluster.node(1).replica().is_admitted(), "no member has recognised it yet");
    cluster.node_mut(2).start().await;
    assert_eq!(submit(cluster.node(1), 2).await, 2);
}

#[tokio::test]
async fn nodes_of_a_version_without_hello_count_as_agreeing() {
    let mut cluster = Cluster::activated(3).await;
    submit(cluster.node(1), 1).await;
    for node in [2, 3] {
        cluster.node_mut(node).stop_hard().await;
        cluster.node_mut(node).serve_as_older_version();
    }
    cluster.node_mut(1).stop_hard().await;
    for node in 1..=3 {
        cluster.node_mut(node).start().await;
    }
    for (node, machine) in (1..=3).zip(2..) {
        assert_eq!(submit(cluster.node(node), machine).await, u32::try_from(machine).unwrap());
    }
}

#[tokio::test]
async fn a_recovery_ends_the_quarantine() {
    let mut cluster = Cluster::activated(3).await;
    submit(cluster.node(1), 1).await;
    let node = cluster.follower().await;
    roll_back(&mut cluster, node).await;
    is_quarantined(cluster.node(node)).await;
    for stopped in 1..=3 {
        cluster.node_mut(stopped).stop_hard().await;
    }
    let (disk, address) = (cluster.node(node).open_disk().await, cluster.node(node).address());
    replication::recover(disk, &address).await.unwrap();
    cluster.node_mut(node).start().await;
    assert_eq!(submit(cluster.node(node), 20).await, 2, "machine 1, and this one");
    assert_eq!(cluster.node(node).replica().health(), Health::Running);
}

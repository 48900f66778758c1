//! Disks that hang: a write returns neither success nor an error.

use std::time::Duration;

use replication::{Failure, Health};
use tokio::time::timeout;

use crate::cluster::{Cluster, Node, TIMEOUT, count, eventually};

/// Waits until the other nodes follow one of themselves.
async fn led_by_another(cluster: &Cluster, hung: u64) -> u64 {
    let mut leader = None;
    eventually("another node leads", || {
        let others = cluster.running().filter(|node| node.number() != hung);
        let mut known = others.map(|node| node.replica().cluster().leader);
        let first = known.next().flatten();
        leader = first.filter(|&first| first != hung && known.all(|next| next == Some(first)));
        std::future::ready(leader.is_some())
    })
    .await;
    leader.unwrap()
}

/// Repeats the request until it is answered; returns the count.
async fn submit(node: &Node, machine: u64) -> u32 {
    let answered = async {
        loop {
            if let Ok(recorded) = node.submit(machine).await {
                return count(&recorded);
            }
        }
    };
    timeout(TIMEOUT, answered).await.expect("the node answers")
}

#[tokio::test]
async fn a_leader_whose_disk_hangs_transfers_leadership_before_it_fails_and_recovers_with_the_disk() {
    let cluster = Cluster::activated(3).await;
    let hung = cluster.leader().await;
    let follower = cluster.follower().await;
    submit(cluster.node(follower), 1).await;
    cluster.node(hung).hang_disk();
    // A disk hangs only when something is written.
    let (leader, counted) = tokio::join!(led_by_another(&cluster, hung), submit(cluster.node(follower), 2));
    assert_eq!(cluster.node(hung).replica().health(), Health::Running, "it handed over, and has not failed yet");
    assert!(cluster.node(hung).replica().is_disk_hanging(), "so it is not ready");
    assert_eq!((counted, submit(cluster.node(leader), 3).await), (2, 3));

    cluster.node(hung).free_disk().await;
    assert_eq!(submit(cluster.node(hung), 4).await, 4, "it answers again");
    eventually("it is ready again", || async { !cluster.node(hung).replica().is_disk_hanging() }).await;
    cluster.assert_equal_states().await;
    assert_eq!(cluster.node(hung).replica().health(), Health::Running);
}

#[tokio::test]
async fn a_node_whose_disk_keeps_hanging_fails_and_logs_the_reason() {
    let mut cluster = Cluster::activated(3).await;
    let hung = cluster.follower().await;
    let leader = cluster.leader().await;
    cluster.node(hung).hang_disk();
    assert_eq!(submit(cluster.node(leader), 1).await, 1, "the others are a majority");
    let failed = timeout(TIMEOUT, cluster.node(hung).on(async |replica| replica.failed().await)).await;
    let failure = failed.expect("a disk that hangs ends the node");
    assert_eq!(cluster.node(hung).replica().health(), Health::Failed(failure.clone()));
    let Failure::Storage(why) = failure else { panic!("{failure:?}") };
    assert!(why.contains("the disk did not finish a write within 10 s"), "{why}");

    cluster.node(hung).free_disk().await;
    cluster.node_mut(hung).stop_hard().await;
    cluster.node_mut(hung).start().await;
    assert_eq!(submit(cluster.node(hung), 2).await, 2);
    cluster.assert_equal_states().await;
}

#[tokio::test]
async fn a_disk_that_hangs_briefly_causes_no_leader_change() {
    let cluster = Cluster::activated(3).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    let term = cluster.node(follower).replica().cluster().term;
    cluster.node(leader).hang_disk();
    let asked = submit(cluster.node(follower), 1);
    let freed = async {
        let hangs = || std::future::ready(cluster.node(leader).hanging_for() > Duration::from_secs(1));
        eventually("the write hangs for a second", hangs).await;
        cluster.node(leader).free_disk().await;
    };
    assert_eq!(tokio::join!(asked, freed).0, 1);
    assert_eq!(cluster.leader().await, leader);
    assert_eq!(cluster.node(follower).replica().cluster().term, term);
}

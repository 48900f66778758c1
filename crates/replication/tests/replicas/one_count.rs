//! Three nodes keep one count, and only the loss of a majority loses it.

use std::collections::BTreeSet;

use futures::future::join_all;
use replication::Unavailable;

use crate::{
    cluster::{Cluster, count, eventually},
    world,
};

#[tokio::test]
async fn client_machines_of_different_nodes_share_one_count() {
    let cluster = Cluster::activated(3).await;
    for machine in 1..=12 {
        let node = u64::from(machine % 3 + 1);
        let recorded = cluster.node(node).submit(machine.into()).await.unwrap();
        assert_eq!(count(&recorded), machine, "machine {machine} asked node {node}");
    }
    cluster.assert_equal_states().await;
}

#[tokio::test]
async fn every_node_answers_a_renewal_with_the_same_count() {
    let cluster = Cluster::activated(3).await;
    for machine in 1..=5 {
        cluster.node(1).submit(machine).await.unwrap();
    }
    for node in 1..=3 {
        let recorded = cluster.node(node).submit(3).await.unwrap();
        assert_eq!(count(&recorded), 5, "node {node}");
    }
}

#[tokio::test]
async fn an_answer_names_the_log_position_of_its_request() {
    let cluster = Cluster::activated(3).await;
    let nodes: Vec<_> = (0..200).map(|machine| (machine % 3 + 1, machine)).collect();
    let answers = join_all(nodes.iter().map(|&(node, machine)| cluster.node(node).submit(machine))).await;
    let mut places = BTreeSet::new();
    cluster.settled_hashes().await;
    for (&(_, machine), answer) in nodes.iter().zip(answers) {
        let answer = answer.unwrap();
        assert!(places.insert((answer.log_index, answer.offset)), "two answers name the same log position");
        for node in cluster.running() {
            let command = node.replica().command_at(answer.log_index).expect("the entry is in every node's log");
            let batch = match activation::state::Command::decode(&command).unwrap() {
                activation::state::Command::Batch(batch) => batch,
                other => panic!("the answer names {other:?}"),
            };
            assert_eq!(batch.records[answer.offset as usize].cmid, world::cmid(machine));
        }
    }
}

#[tokio::test]
async fn a_read_sees_every_request_that_was_answered_before_it() {
    let cluster = Cluster::activated(3).await;
    for machine in 1..=6 {
        cluster.node(1).submit(machine).await.unwrap();
        for node in 1..=3 {
            cluster.node(node).on(async |replica| replica.read_point().await).await.unwrap();
            assert_eq!(u64::from(cluster.node(node).known_machines()), machine, "node {node}");
        }
    }
}

#[tokio::test]
async fn after_a_crash_of_the_leader_the_others_answer_and_no_count_is_lost() {
    let mut cluster = Cluster::activated(3).await;
    for machine in 1..=10 {
        cluster.node(machine % 3 + 1).submit(machine).await.unwrap();
    }
    let leader = cluster.leader().await;
    cluster.node_mut(leader).stop_hard().await;
    let other = cluster.follower().await;
    assert_eq!(count(&cluster.node(other).submit(11).await.unwrap()), 11, "the first answer after the failure");
    assert_eq!(count(&cluster.node(other).submit(1).await.unwrap()), 11, "a machine from before is still known");
    cluster.node_mut(leader).start().await;
    eventually("the node that returned answers", || async { cluster.node(leader).submit(12).await.is_ok() }).await;
    cluster.assert_equal_states().await;
    assert_eq!(cluster.node(leader).known_machines(), 12);
}

#[tokio::test]
async fn requests_in_flight_when_the_leader_crashes_are_answered_and_counted_once() {
    let mut cluster = Cluster::activated(3).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    let clock_ms = cluster.node(follower).clock_ms();
    let replica = cluster.node(follower).replica().clone();
    let asking = tokio::spawn(async move {
        let record = |machine| world::record(follower, machine, clock_ms);
        let rounds = (0..40).map(|round| (round * 10..round * 10 + 10).map(record).collect::<Vec<_>>());
        for records in rounds {
            let answers = join_all(records.iter().map(|record| replica.submit(record))).await;
            assert!(answers.iter().all(Result::is_ok), "a request was not answered within its deadline");
        }
    });
    eventually("some requests are answered", || async { cluster.node(follower).known_machines() > 10 }).await;
    cluster.node_mut(leader).stop_hard().await;
    asking.await.unwrap();
    cluster.node_mut(leader).start().await;
    cluster.assert_equal_states().await;
    // 400 machines sent requests; the application keeps the last `world::CACHE_LIMIT` of them.
    assert_eq!(cluster.node(follower).known_machines(), world::CACHE_LIMIT);
}

#[tokio::test]
async fn a_cluster_whose_nodes_all_crash_continues_from_its_count() {
    let mut cluster = Cluster::activated(3).await;
    for machine in 1..=7 {
        cluster.node(1).submit(machine).await.unwrap();
    }
    for node in 1..=3 {
        cluster.node_mut(node).stop_hard().await;
    }
    for node in 1..=3 {
        cluster.node_mut(node).start().await;
    }
    cluster.leader().await;
    assert_eq!(count(&cluster.node(2).submit(8).await.unwrap()), 8);
}

#[tokio::test]
async fn a_node_without_a_majority_answers_that_it_is_unavailable() {
    let mut cluster = Cluster::activated(3).await;
    let alone = cluster.follower().await;
    for node in (1..=3).filter(|&node| node != alone) {
        cluster.node_mut(node).stop_hard().await;
    }
    assert_eq!(cluster.node(alone).submit(1).await.unwrap_err(), Unavailable::NoLeader);
    let read = cluster.node(alone).on(async |replica| replica.read_point().await).await;
    assert_eq!(read.unwrap_err(), Unavailable::NoLeader);
}

#[tokio::test]
async fn a_leader_that_lost_its_majority_answers_that_it_is_unavailable() {
    let mut cluster = Cluster::activated(3).await;
    let leader = cluster.leader().await;
    for node in (1..=3).filter(|&node| node != leader) {
        cluster.node_mut(node).stop_hard().await;
    }
    assert_eq!(cluster.node(leader).submit(1).await.unwrap_err(), Unavailable::NoLeader);
    let read = cluster.node(leader).on(async |replica| replica.read_point().await).await;
    assert_eq!(read.unwrap_err(), Unavailable::NoLeader);
}

#[tokio::test]
async fn leadership_is_transferred_on_request_and_no_answer_is_lost_meanwhile() {
    let cluster = Cluster::activated(3).await;
    let from = cluster.leader().await;
    let to = cluster.follower().await;
    let (transferred, answers) = tokio::join!(
        cluster.node(from).on(async move |replica| replica.transfer_leader(to).await),
        join_all((1..=30).map(|machine| cluster.node(machine % 3 + 1).submit(machine))),
    );
    transferred.unwrap();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(cluster.leader().await, to);
    cluster.assert_equal_states().await;
    assert_eq!(cluster.node(from).known_machines(), 30);
}

#[tokio::test]
async fn a_leader_that_is_stopped_gracefully_transfers_leadership_first() {
    let mut cluster = Cluster::activated(3).await;
    let leader = cluster.leader().await;
    let term = cluster.node(leader).replica().cluster().term;
    cluster.node_mut(leader).stop().await;
    let successor = cluster.leader().await;
    assert_ne!(successor, leader);
    assert_eq!(cluster.node(successor).replica().cluster().term, term + 1, "one election, not a contest");
}

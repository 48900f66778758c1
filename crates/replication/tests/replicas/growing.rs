//! Members are added and removed, and an odd number of them votes.

use std::collections::BTreeMap;

use replication::ProposeError;

use crate::{
    cluster::{Cluster, SETTINGS, TIMEOUT, count, eventually, pace},
    world,
};

/// The expected voters of a cluster of one node, two, three and so on.
const VOTERS: [&[u64]; 6] = [&[1], &[1], &[1, 2, 3], &[1, 2, 3], &[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5]];

/// This many nodes. The first alone is a cluster; all of them are activated there.
async fn first_of(nodes: u64) -> Cluster {
    let cluster = Cluster::unformed(nodes, SETTINGS, pace()).await;
    let alone = BTreeMap::from([(1, cluster.node(1).address())]);
    cluster.node(1).on(async move |replica| replica.bootstrap(&alone, TIMEOUT).await).await.unwrap();
    for command in world::activation(1..=nodes) {
        cluster.node(1).on(async move |replica| replica.propose(&command).await).await.unwrap();
    }
    cluster
}

async fn grown_to(nodes: u64) -> Cluster {
    let cluster = first_of(nodes).await;
    for node in 2..=nodes {
        add(&cluster, 1, node).await.unwrap();
        voters_become(&cluster, 1, VOTERS[usize::try_from(node).unwrap() - 1]).await;
    }
    cluster
}

async fn add(cluster: &Cluster, via: u64, node: u64) -> Result<u64, ProposeError> {
    let address = cluster.node(node).address();
    cluster.node(via).on(async move |replica| replica.add(node, &address).await).await
}

async fn remove(cluster: &Cluster, via: u64, node: u64) -> Result<u64, ProposeError> {
    cluster.node(via).on(async move |replica| replica.remove(node).await).await
}

fn voters(cluster: &Cluster, via: u64) -> Vec<u64> {
    cluster.node(via).replica().cluster().voters
}

async fn voters_become(cluster: &Cluster, via: u64, expected: &[u64]) {
    eventually(&format!("nodes {expected:?} vote"), || async { voters(cluster, via) == expected }).await;
}

#[tokio::test]
async fn a_cluster_grows_from_one_to_six_and_shrinks_back_while_it_keeps_counting() {
    let cluster = first_of(6).await;
    let mut machines = 0;
    for (node, expected) in (1..).zip(VOTERS).skip(1) {
        // The command may go to any node, also to a new one.
        add(&cluster, node - 1, node).await.unwrap();
        voters_become(&cluster, node, expected).await;
        machines += 1;
        assert_eq!(u64::from(count(&cluster.node(node).submit(machines).await.unwrap())), machines);
    }
    cluster.assert_equal_states().await;
    for left in (1..=5_usize).rev() {
        // The leader is removed: before that, the other nodes give its vote to another member.
        let leader = cluster.node(6).replica().cluster();
        let goes = leader
            .leader
            .filter(|leader| *leader != 6)
            .unwrap_or_else(|| *leader.members.keys().find(|node| **node != 6).unwrap());
        remove(&cluster, 6, goes).await.unwrap();
        eventually("the node is removed", || async {
            let view = cluster.node(6).replica().cluster();
            view.members.len() == left && !view.members.contains_key(&goes) && view.leader.is_some()
        })
        .await;
        eventually("the number of voters fits the number of nodes", || async {
            voters(&cluster, 6).len() == VOTERS[left - 1].len()
        })
        .await;
        machines += 1;
        assert_eq!(u64::from(count(&cluster.node(6).submit(machines).await.unwrap())), machines);
    }
    let last = remove(&cluster, 6, 6).await.unwrap_err().to_string();
    assert!(last.contains("the last member"), "{last}");
}

#[tokio::test]
async fn a_learner_replaces_a_dead_voter_which_returns_as_a_learner() {
    let mut cluster = grown_to(4).await;
    let leader = cluster.leader().await;
    let dead = (1..=3).find(|node| *node != leader).unwrap();
    cluster.node_mut(dead).stop_hard().await;
    let expected: Vec<_> = (1..=4).filter(|node| *node != dead).collect();
    voters_become(&cluster, leader, &expected).await;
    cluster.node_mut(dead).start().await;
    eventually("it is a learner", || async {
        let (back, others) = (cluster.node(dead).replica().cluster(), cluster.node(leader).replica().cluster());
        back.voters == expected && back.last_index == others.last_index && back.members.len() == 4
    })
    .await;
    cluster.assert_equal_states().await;
}

#[tokio::test]
async fn a_drained_voter_that_announced_its_return_stays_a_voter() {
    let mut cluster = grown_to(6).await;
    let leader = cluster.leader().await;
    let followers: Vec<_> = (1..=5).filter(|node| *node != leader).collect();
    let (away, dead) = (followers[0], followers[1]);
    cluster.node(away).on(async |replica| replica.say_farewell().await).await;
    cluster.node_mut(away).stop_hard().await;
    cluster.node_mut(dead).stop_hard().await;
    // The returning node is absent for no longer than the dead one.
    let expected: Vec<_> = (1..=6).filter(|node| *node != dead).collect();
    voters_become(&cluster, leader, &expected).await;
    cluster.node_mut(away).start().await;
    cluster.node_mut(dead).start().await;
    cluster.assert_equal_states().await;
}

#[tokio::test]
async fn a_node_that_may_not_become_a_member_is_refused_with_the_reason() {
    let mut cluster = grown_to(3).await;
    let theirs = Cluster::activated(1).await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let wiped = cluster.follower().await;
    cluster.node_mut(wiped).stop_hard().await;
    cluster.node_mut(wiped).wipe();
    cluster.node_mut(wiped).start().await;
    let via = cluster.running().map(|node| node.number()).find(|node| *node != wiped).unwrap();
    let cases = [
        ("a wiped node under its old number", wiped, cluster.node(wiped).address(), "another store"),
        ("another node there", 4, cluster.node(wiped).address(), "there is node"),
        ("a member of another cluster", 1, theirs.node(1).address(), "another store"),
        ("no node there", 4, silent, "no node answers"),
    ];
    for (case, node, address, words) in cases {
        let refused = cluster.node(via).on(async move |replica| replica.add(node, &address).await).await;
        let refused = refused.expect_err(case).to_string();
        assert!(refused.contains(words), "{case}: {refused}");
    }
}

#[tokio::test]
async fn an_administrator_can_promote_a_learner_in_place_of_a_voter() {
    let cluster = grown_to(4).await;
    let leader = cluster.leader().await;
    let promote = async |instead_of| {
        let promoted = cluster.node(4).on(async move |replica| replica.promote(4, instead_of).await).await;
        promoted.map_err(|error| error.to_string())
    };
    eventually("one more voter requires one fewer", || async {
        promote(None).await.is_err_and(|why| why.contains("--instead-of"))
    })
    .await;
    assert!(promote(Some(leader)).await.unwrap_err().contains("is the leader"));
    let out = (1..=3).find(|node| *node != leader).unwrap();
    promote(Some(out)).await.unwrap();
    let expected: Vec<_> = (1..=4).filter(|node| *node != out).collect();
    voters_become(&cluster, 4, &expected).await;
    assert_eq!(cluster.node(leader).replica().cluster().members.len(), 4, "it stays a learner");
}

#[tokio::test]
async fn a_node_under_the_number_of_the_first_voter_follows_and_forms_no_separate_cluster() {
    // The log is long enough that the new node 1 can be observed while it applies the entries that the old node 1
    // wrote alone.
    let mut cluster = first_of(3).await;
    for machine in 1..=500 {
        cluster.node(1).submit(machine % 3 + 1).await.unwrap();
    }
    for node in [2, 3] {
        add(&cluster, 1, node).await.unwrap();
    }
    voters_become(&cluster, 1, &[1, 2, 3]).await;
    remove(&cluster, 2, 1).await.unwrap();
    eventually("node 1 is removed", || async { !cluster.node(2).replica().cluster().members.contains_key(&1) }).await;
    cluster.node_mut(1).stop_hard().await;
    cluster.node_mut(1).wipe();
    cluster.node_mut(1).start().await;
    // The log that it receives begins with a membership whose only voter is node 1, but another one, with another
    // store.
    add(&cluster, 2, 1).await.unwrap();
    assert_eq!(count(&cluster.node(1).submit(4).await.unwrap()), 4);
    cluster.assert_equal_states().await;
}

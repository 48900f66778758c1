//! A cluster is formed once, from nodes whose numbers match the list.

use std::{collections::BTreeMap, time::Duration};

use replication::{BootstrapError, ProposeError};

use crate::{
    cluster::{Cluster, SETTINGS, TIMEOUT, eventually, pace},
    world,
};

const SHORT: Duration = Duration::from_millis(300);

async fn bootstrap(cluster: &Cluster, node: u64, addresses: BTreeMap<u64, String>) -> Result<(), BootstrapError> {
    cluster.node(node).on(async move |replica| replica.bootstrap(&addresses, SHORT).await).await
}

#[tokio::test]
async fn a_cluster_is_formed_once() {
    let cluster = Cluster::activated(3).await;
    for node in 1..=3 {
        assert!(cluster.node(node).on(async |replica| replica.is_initialised().await).await);
        let again = bootstrap(&cluster, node, cluster.addresses()).await;
        assert!(matches!(again, Err(BootstrapError::AlreadyInitialised { .. })), "node {node}: {again:?}");
    }
}

#[tokio::test]
async fn a_member_of_another_cluster_is_not_added() {
    let theirs = Cluster::activated(1).await;
    let ours = Cluster::unformed(3, SETTINGS, pace()).await;
    let mut addresses = ours.addresses();
    addresses.insert(1, theirs.node(1).address());
    let refused = bootstrap(&ours, 2, addresses).await;
    assert!(matches!(refused, Err(BootstrapError::AlreadyInitialised { node: 1 })), "{refused:?}");
    assert!(!ours.node(2).on(async |replica| replica.is_initialised().await).await);
}

#[tokio::test]
async fn a_wrong_peer_list_is_refused_with_the_reason() {
    let cluster = Cluster::unformed(3, SETTINGS, pace()).await;
    let address = |node| cluster.node(node).address();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let cases = [
        (
            "nodes swapped",
            BTreeMap::from([(1, address(1)), (2, address(3)), (3, address(2))]),
            "the peer lists of the two nodes disagree",
        ),
        ("a silent node", BTreeMap::from([(1, address(1)), (2, silent), (3, address(3))]), "did not answer"),
        ("an even number", BTreeMap::from([(1, address(1)), (2, address(2))]), "1, 3 or 5 nodes"),
        ("without this node", BTreeMap::from([(2, address(2)), (3, address(3))]), "not in the list of peers"),
    ];
    for (case, addresses, words) in cases {
        let refused = bootstrap(&cluster, 1, addresses).await.expect_err(case).to_string();
        assert!(refused.contains(words), "{case}: {refused}");
    }
    bootstrap(&cluster, 1, cluster.addresses()).await.expect("none of the refusals prevents forming the cluster");
}

#[tokio::test]
async fn a_wiped_node_under_its_old_number_is_refused_and_the_others_keep_serving() {
    let mut cluster = Cluster::activated(3).await;
    for machine in 1..=4 {
        cluster.node(1).submit(machine).await.unwrap();
    }
    let wiped = cluster.follower().await;
    cluster.node_mut(wiped).stop_hard().await;
    cluster.node_mut(wiped).wipe();
    cluster.node_mut(wiped).start().await;
    let leader = cluster.running().map(|node| node.number()).find(|&node| node != wiped).unwrap();
    let refused =
        cluster.node(leader).on(async move |replica| replica.legacy_ask(wiped, "disk".into(), TIMEOUT).await).await;
    let refused = refused.unwrap_err();
    let refused = refused.message();
    assert!(refused.contains("lost its data") && refused.contains("new number"), "{refused}");
    for machine in 5..=20 {
        cluster.node(leader).submit(machine).await.unwrap();
    }
    let wiped = cluster.node(wiped);
    assert!(!wiped.on(async |replica| replica.is_initialised().await).await, "it is not initialised");
    assert_eq!((wiped.known_machines(), wiped.replica().cluster().last_index), (0, 0), "its log is empty");
    assert!(wiped.submit(21).await.is_err(), "it answers no request");
}

#[tokio::test]
async fn every_node_returns_the_reason_for_a_command_that_the_state_machine_refuses() {
    let cluster = Cluster::activated(3).await;
    let key = activation::key::TypedKey::generate(activation::key::KeyKind::Setup, 1, [1; 16]);
    let command = world::install_key(key);
    for node in 1..=3 {
        let command = command.clone();
        let refused = cluster.node(node).on(async move |replica| replica.propose(&command).await).await;
        assert!(matches!(&refused, Err(ProposeError::Refused(words)) if !words.is_empty()), "{refused:?}");
    }
}

#[tokio::test]
async fn a_node_knows_all_members_and_their_stores() {
    let cluster = Cluster::activated(3).await;
    eventually("every node knows every member", || async {
        cluster.running().all(|node| node.replica().cluster().members.len() == 3)
    })
    .await;
    for node in cluster.running() {
        let view = node.replica().cluster();
        assert_eq!((view.node, view.voters), (node.number(), vec![1, 2, 3]));
        for (number, member) in view.members {
            let known = cluster.node(number);
            assert_eq!((member.address, member.store), (known.address(), known.replica().identity().store));
        }
    }
}

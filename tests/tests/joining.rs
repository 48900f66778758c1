//! Nodes join with a token, with which they add themselves, and by file.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use api::{
    admin::v1::{CountRequest, admin_client::AdminClient},
    node::v1::{JoinRequest, StatusRequest, joining_client::JoiningClient, node_client::NodeClient},
    peer::v1::{IdentifyRequest, peer_client::PeerClient},
};
use quorate_tests::{Cluster, Plan, Quorate, TIMEOUT, copy_folder, eventually, free_port, join, words};
use serde_json::{Value, json};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use transport::{Folder, PresentedIdentity, connector};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");

/// A cluster of node 1, in which keys must be registered, and files of further nodes.
async fn first_of(nodes: u8, variables: &[(&str, &str)]) -> Cluster {
    let plan = Plan { variables, ..Plan::first_of(nodes) };
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), plan).await;
    cluster.form().await;
    eventually("keys must be registered", async || {
        let registry = cluster.administrate(1, &words!["cluster", "revoke", "--list"]).await;
        (registry["in_force"] == true).then_some(())
    })
    .await;
    cluster
}

async fn numbers(cluster: &Cluster, via: u64) -> Option<Vec<u64>> {
    let status = cluster.status(via).await?;
    Some(status["nodes"].as_array()?.iter().filter_map(|node| node["id"].as_u64()).collect())
}

async fn is_member(cluster: &Cluster, via: u64, node: u64) {
    eventually(&format!("node {node} is a member"), async || {
        numbers(cluster, via).await?.contains(&node).then_some(())
    })
    .await;
}

async fn says(cluster: &Cluster, node: u64, words: &str) {
    eventually(words, async || cluster.said(node).contains(words).then_some(())).await;
}

async fn acts(cluster: &Cluster, via: u64) -> Vec<(String, String)> {
    let audit = cluster.administrate(via, &words!["cluster", "audit", "--all"]).await;
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
    audit["entries"].as_array().unwrap().iter().map(|entry| (text(entry, "who"), text(entry, "act"))).collect()
}

/// A channel with the certificate in a node's folder.
async fn channel(data: &Path, address: impl std::fmt::Display) -> Channel {
    let identity = Folder::at(&data.join("tls")).identity().unwrap();
    let connector = connector(Arc::new(PresentedIdentity::new(identity)), TIMEOUT);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect_with_connector(connector).await.unwrap()
}

async fn join_as(data: &Path, address: impl std::fmt::Display, own: &str) -> Result<(), Code> {
    let mut members = JoiningClient::new(channel(data, address).await);
    let asked = JoinRequest { address: own.into(), port: 0 };
    members.join(asked).await.map(drop).map_err(|status| status.code())
}

#[tokio::test]
async fn nodes_with_a_token_each_add_themselves_when_they_first_run() {
    let mut cluster = first_of(3, &[]).await;
    for node in [2, 3] {
        join(&cluster, 1, node).await;
        let plan = cluster.node(node).data.join("joining.toml");
        assert_eq!(fs::metadata(&plan).unwrap().permissions().mode() & 0o777, 0o600);
    }
    for node in [2, 3] {
        cluster.start(node);
    }
    for node in [2, 3] {
        is_member(&cluster, 1, node).await;
        says(&cluster, node, "this node is a member of its cluster").await;
        eventually("the file is gone", async || (!cluster.node(node).data.join("joining.toml").exists()).then_some(()))
            .await;
    }
    // `cluster add` by an administrator reports that they are members already.
    let added = cluster.admin(1, &words!["cluster", "add", format!("3={}", cluster.node(3).peers)]).await;
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    assert_eq!(added.json()["already_member"], true, "{}", added.stdout);
    cluster.activate().await;
    cluster.settled(1).await;
    let acts = acts(&cluster, 1).await;
    for node in [2, 3] {
        let added = (format!("node {node}, with a token"), format!("add node {node} at {}", cluster.node(node).peers));
        assert!(acts.contains(&added), "{added:?}: {acts:?}");
    }
    // A restart changes nothing.
    assert_eq!(cluster.stop(2).await, Some(0));
    cluster.start(2);
    cluster.settled(2).await;
}

#[tokio::test]
async fn a_node_that_joins_reaches_nothing_else_and_a_second_use_is_refused() {
    let mut cluster = first_of(2, &[]).await;
    join(&cluster, 1, 2).await;
    let data = cluster.node(2).data.clone();
    let (peers, admin) = (cluster.node(1).peers, cluster.node(1).admin);
    let mut peer = PeerClient::new(channel(&data, peers).await);
    let denied = peer.identify(IdentifyRequest {}).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied, "{denied}");
    let denied = NodeClient::new(channel(&data, peers).await).status(StatusRequest {}).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied, "{denied}");
    let denied = AdminClient::new(channel(&data, admin).await).count(CountRequest::default()).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied, "{denied}");
    // If no node answers at the address, none is added, and the right stays.
    let nobody = free_port(cluster.loopback().address(9)).to_string();
    assert_eq!(join_as(&data, peers, &nobody).await, Err(Code::FailedPrecondition));
    assert_eq!(join_as(&data, peers, "nowhere").await, Err(Code::InvalidArgument));
    assert_eq!(numbers(&cluster, 1).await, Some(vec![1]));

    let copy = cluster.path("copy");
    copy_folder(&data, &copy).unwrap();
    cluster.start(2);
    is_member(&cluster, 1, 2).await;
    says(&cluster, 2, "this node is a member of its cluster").await;
    eventually("the right is spent", async || {
        acts(&cluster, 1).await.iter().any(|(who, act)| who == "node 1" && act.contains("node 2")).then_some(())
    })
    .await;
    assert_eq!(join_as(&data, peers, &cluster.node(2).peers.to_string()).await, Ok(()), "a member already");
    cluster.administrate(1, &words!["cluster", "remove", "2"]).await;
    assert_eq!(cluster.ended(2).await, Some(0));
    eventually("its key is registered no more", async || {
        let held = cluster.administrate(1, &words!["cluster", "revoke", "--list"]).await;
        (!held["keys"].to_string().contains("node 2")).then_some(())
    })
    .await;

    // The node's files from after it used the token and before it ran.
    fs::remove_dir_all(&data).unwrap();
    copy_folder(&copy, &data).unwrap();
    cluster.start(2);
    says(&cluster, 2, "the cluster refused to add this node").await;
    assert!(cluster.said(2).contains("it already joined once"), "{}", cluster.said(2));
    assert_eq!(numbers(&cluster, 1).await, Some(vec![1]));
}

#[tokio::test]
async fn a_node_that_first_runs_too_late_or_was_revoked_is_added_by_an_administrator_only() {
    let mut cluster = first_of(3, &[("QUORATE_TEST_JOINING_MS", "1")]).await;
    join(&cluster, 1, 2).await;
    cluster.start(2);
    says(&cluster, 2, "the time limit for this node to add itself has passed").await;
    assert_eq!(numbers(&cluster, 1).await, Some(vec![1]));
    cluster.add(1, 2).await;
    assert_eq!(numbers(&cluster, 1).await, Some(vec![1, 2]));

    join(&cluster, 1, 3).await;
    cluster.administrate(1, &words!["cluster", "revoke", "node:3"]).await;
    cluster.start(3);
    says(&cluster, 3, "it already joined once, was revoked").await;
    assert_eq!(numbers(&cluster, 1).await, Some(vec![1, 2]));
}

#[tokio::test]
async fn a_node_that_does_not_reach_port_1690_joins_by_file() {
    let mut cluster = first_of(2, &[]).await;
    let [request, other, answer] = ["node2.csr", "node9.csr", "node2.pem"].map(|name| cluster.path(name));
    let (config, data) = (cluster.node(2).config.clone(), cluster.node(2).data.clone());
    fs::remove_dir_all(data.join("tls")).unwrap();
    let written = fs::read_to_string(&config).unwrap();
    fs::remove_file(&config).unwrap();
    let peers = cluster.node(2).peers.to_string();
    let init = words!["host", "init", "--config", &config, "--data", &data, "--peers-listen", &peers, "--node", "2"];
    let with_request = [&init[..], &words!["--request", &request]].concat();
    let made = cluster.run(&with_request).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stdout.contains("quorate cluster certify"), "{}", made.stdout);
    for secret in [request.clone(), data.join("tls/node.key")] {
        assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600, "{}", secret.display());
    }
    assert!(!data.join("tls/authority.key").exists() && !data.join("tls/node.pem").exists());
    // Neither file is replaced.
    fs::remove_file(&config).unwrap();
    let again = cluster.run(&with_request).await;
    assert!(again.code == Some(1) && again.stderr.contains("it exists already"), "{}", again.stderr);
    fs::write(&config, &written).unwrap();
    let waiting = cluster.run_host(&config, &[]).await;
    assert!(waiting.code == Some(2) && waiting.stderr.contains("--certificate"), "{}", waiting.stderr);

    let certify = |request: &Path, out: &Path| words!["cluster", "certify", request, "--out", out].to_vec();
    let certified = cluster.administrate(1, &certify(&request, &answer)).await;
    assert_eq!(certified["node"], 2, "{certified}");
    assert_eq!(certified["members"], json!([{ "node": 1, "address": cluster.node(1).peers.to_string() }]));
    assert!(acts(&cluster, 1).await.iter().any(|(_, act)| act.starts_with("certify node 2")));
    // A request for the number of a member.
    let taken = words!["host", "init", "--config", cluster.path("other.toml"), "--data", cluster.path("other")];
    let taken = [&taken[..], &words!["--peers-listen", &peers, "--node", "1", "--request", &other]].concat();
    assert_eq!(cluster.run(&taken).await.code, Some(0));
    let refused = cluster.admin(1, &certify(&other, &cluster.path("other.pem"))).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("node 1 is a member already"), "{}", refused.stderr);
    let not_one = cluster.admin(1, &certify(&config, &cluster.path("other.pem"))).await;
    assert!(not_one.code == Some(1) && not_one.stderr.contains("certificate signing request"), "{}", not_one.stderr);

    let complete =
        |config: &Path, answer: &Path| words!["host", "init", "--config", config, "--certificate", answer].to_vec();
    let of_another = cluster.run(&complete(&cluster.path("other.toml"), &answer)).await;
    assert!(of_another.code == Some(1) && of_another.stderr.contains("node 2"), "{}", of_another.stderr);
    let no_answer = cluster.run(&complete(&config, &request)).await;
    assert!(no_answer.code == Some(1) && no_answer.stderr.contains("cannot use"), "{}", no_answer.stderr);
    let completed = cluster.run(&complete(&config, &answer)).await;
    assert_eq!(completed.code, Some(0), "{}", completed.stderr);
    assert!(completed.stdout.contains("quorate cluster add 2=HOST:PORT"), "{}", completed.stdout);
    let twice = cluster.run(&complete(&config, &answer)).await;
    assert!(twice.code == Some(1) && twice.stderr.contains("was not changed"), "{}", twice.stderr);

    cluster.start(2);
    eventually("it can be asked", async || cluster.status(2).await).await;
    assert_eq!(numbers(&cluster, 1).await, Some(vec![1]), "a certificate alone makes no member");
    assert_eq!(join_as(&data, cluster.node(1).peers, &peers).await, Err(Code::PermissionDenied));
    assert_eq!(cluster.add(1, 2).await["learners"], json!([2]));
}

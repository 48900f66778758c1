//! `/readyz` for rollouts and for probes, each with its own purpose.

use quorate_tests::{Cluster, Plan, Quorate, eventually, page};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::QUORATE;

/// Status and body of `/readyz` with this query.
async fn readyz(cluster: &Cluster, query: &str) -> (u16, Value) {
    let (status, body) = page(cluster.node(1).metrics, &format!("/readyz{query}")).await.unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

fn named(report: &Value) -> Vec<&str> {
    report["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_rollout_goes_on_before_the_node_is_activated_and_before_there_is_a_leader() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    cluster.start(1);
    eventually("the node runs", async || {
        page(cluster.node(1).metrics, "/livez").await.filter(|(status, _)| *status == 200)
    })
    .await;
    // Only one of the three nodes runs that are to form the cluster.
    let (status, report) = readyz(&cluster, "?for=host").await;
    assert_eq!((status, named(&report)), (200, vec!["state", "quarantine"]), "{report}");
    let (status, report) = readyz(&cluster, "?for=cluster").await;
    assert_eq!((status, named(&report)), (503, vec!["state", "quarantine", "leader", "caught_up"]), "{report}");
    assert_eq!(readyz(&cluster, "?for=service").await.0, 503);

    cluster.start(3);
    cluster.start_bootstrapping(2);
    cluster.led(1).await;
    eventually("a member of a cluster", async || (readyz(&cluster, "?for=cluster").await.0 == 200).then_some(())).await;
    assert_eq!(readyz(&cluster, "?for=service").await.0, 503, "no key is installed");
    let (status, report) = readyz(&cluster, "").await;
    assert_eq!(status, 503, "without a purpose it is the service: {report}");
    cluster.activate().await;
    eventually("the service is ready", async || (readyz(&cluster, "?for=service").await.0 == 200).then_some(())).await;
}

#[tokio::test]
async fn a_purpose_that_this_version_does_not_know_passes_no_probe() {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    for query in ["?for=gateways", "?for=", "?for=hosts", "?fro=host", "?for=service&for=x"] {
        let (status, report) = readyz(&cluster, query).await;
        assert_eq!(status, 400, "{query}: {report}");
        assert!(report["error"].as_str().unwrap().contains("unknown"), "{query}: {report}");
    }
}

#[tokio::test]
async fn a_node_lives_without_a_majority_and_while_every_connection_of_clients_and_probes_is_taken() {
    let limits = [("QUORATE_CLIENTS_CONNECTIONS_MAX", "8")];
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan { variables: &limits, ..Plan::of(3) }).await;
    for node in [2, 3] {
        cluster.kill(node).await;
    }
    let at = cluster.node(1);
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(at.metrics).await.unwrap());
        silent.push(TcpStream::connect(at.clients).await.unwrap());
    }
    for _ in 0..10 {
        assert_eq!(page(at.metrics, "/livez").await, Some((200, "ok\n".into())));
        assert_eq!(readyz(&cluster, "?for=host").await.0, 200);
    }
}

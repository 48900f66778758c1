//! The reports of a cluster on its own health: nothing is reported as good that is not known to be good.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use quorate_tests::{Cluster, Plan, Quorate, eventually, page, value, words};
use serde_json::Value;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
/// Checks of the doctor that need a leader.
const LED_CHECKS: [&str; 8] = ["quorum", "lag", "activation", "keys", "clocks", "certificates", "count", "settings"];

/// The doctor's exit code, and the worst state of each check.
async fn doctor(cluster: &Cluster, via: u64) -> (Option<i32>, BTreeMap<String, String>) {
    let finished = cluster.admin(via, &words!["doctor"]).await;
    let reply = finished.json();
    let mut states: BTreeMap<String, String> = BTreeMap::new();
    let badness = |state: &str| ["ok", "unknown", "warning", "failure"].iter().position(|known| *known == state);
    for check in reply["checks"].as_array().unwrap() {
        let [name, state] = ["name", "state"].map(|name| check[name].as_str().unwrap().to_owned());
        assert!(badness(&state).is_some(), "{check}");
        let worst = states.entry(name).or_insert_with(|| state.clone());
        if badness(&state) > badness(worst) {
            *worst = state;
        }
    }
    (finished.code, states)
}

async fn metric(cluster: &Cluster, node: u64, name: &str) -> Option<f64> {
    let (_, text) = page(cluster.node(node).metrics, "/metrics").await?;
    value(&text, name)
}

/// A field of `cluster status`, by node.
fn field(status: &Value, name: &str) -> BTreeMap<u64, Value> {
    let nodes = status["nodes"].as_array().unwrap().iter();
    nodes.map(|node| (node["id"].as_u64().unwrap(), node[name].clone())).collect()
}

/// Waits until a node knows that there is no leader, and checks that all its reports agree with that.
async fn knows_no_leader(cluster: &Cluster, node: u64) {
    let status = eventually("no leader is known", async || {
        cluster.status(node).await.filter(|status| status["leader"].is_null())
    })
    .await;
    assert_eq!(status["failure_tolerance"], 0, "{status}");
    assert!(field(&status, "match_index").values().all(Value::is_null), "{status}");
    assert!(field(&status, "state").values().all(|state| *state != "ok"), "{status}");
    assert_eq!(metric(cluster, node, "quorate_raft_leader_known").await, Some(0.0));
    assert_eq!(metric(cluster, node, "quorate_ready").await, Some(0.0));
    assert_eq!(metric(cluster, node, "quorate_raft_voters_caught_up").await, Some(0.0));
    let (status, text) = page(cluster.node(node).metrics, "/readyz").await.unwrap();
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("no leader is known"), "{text}");
    let (code, states) = doctor(cluster, node).await;
    assert_eq!((code, states["leader"].as_str()), (Some(1), "failure"), "{states:?}");
    let ok: Vec<_> = LED_CHECKS.iter().filter(|name| states[**name] == "ok").collect();
    assert!(ok.is_empty(), "{ok:?} of {states:?}");
}

#[tokio::test]
async fn a_learner_whose_only_voter_is_gone_says_everywhere_that_there_is_no_leader() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::first_of(2)).await;
    cluster.start(2);
    eventually("it can be asked", async || cluster.status(2).await).await;
    cluster.add(1, 2).await;
    cluster.activate_members(1).await;
    let status = eventually("the learner has caught up", async || {
        let status = cluster.status(2).await?;
        (field(&status, "state").values().all(|state| *state == "ok")).then_some(status)
    })
    .await;
    assert!(field(&status, "match_index").values().all(Value::is_u64), "{status}");
    assert!(field(&status, "generation").values().all(Value::is_u64), "{status}");
    assert_eq!(status["slow_links"], serde_json::json!([]));
    cluster.kill(1).await;
    knows_no_leader(&cluster, 2).await;
    let (_, states) = doctor(&cluster, 2).await;
    assert_eq!(states["quorum"], "failure", "{states:?}");
}

#[tokio::test]
async fn a_voter_that_is_left_of_three_says_that_the_majority_is_lost() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    cluster.kill(1).await;
    cluster.kill(2).await;
    knows_no_leader(&cluster, 3).await;
    let (_, states) = doctor(&cluster, 3).await;
    assert_eq!((states["quorum"].as_str(), states["nodes"].as_str()), ("failure", "failure"), "{states:?}");
    let status = cluster.status(3).await.unwrap();
    assert_eq!(field(&status, "state")[&1], "unreachable", "{status}");

    cluster.start(1);
    cluster.start(2);
    cluster.settled(3).await;
    eventually("the majority is back", async || (doctor(&cluster, 3).await.1["quorum"] == "ok").then_some(())).await;
}

#[tokio::test]
async fn a_node_that_belongs_to_no_cluster_finds_nothing_to_be_ok() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.start(1);
    let status = eventually("it can be asked", async || cluster.status(1).await).await;
    assert_eq!(status["nodes"], Value::Array(Vec::new()));
    let (code, states) = doctor(&cluster, 1).await;
    assert_eq!((code, states["leader"].as_str()), (Some(1), "failure"));
    let ok: Vec<_> = states.iter().filter(|(_, state)| *state == "ok").collect();
    assert!(ok.is_empty(), "{ok:?}");
}

#[tokio::test]
async fn a_cluster_without_dns_is_well_but_for_dns_of_which_nothing_is_known() {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    let expected = |states: &BTreeMap<String, String>| {
        states.iter().all(|(name, state)| *state == if name == "dns" { "unknown" } else { "ok" } || name == "disk")
    };
    eventually("all but DNS is well", async || {
        let (code, states) = doctor(&cluster, 1).await;
        (expected(&states) && code == Some(4)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_that_was_drained_is_a_warning_and_no_failure() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    let leader = cluster.led(1).await["leader"].as_u64().unwrap();
    let other = cluster.numbers().into_iter().find(|node| *node != leader).unwrap();
    cluster.administrate(other, &words!["host", "drain", "--wait", "0"]).await;
    assert_eq!(cluster.ended(other).await, Some(0));
    let status = eventually("it is known to have stopped", async || {
        let status = cluster.status(leader).await?;
        (field(&status, "state")[&other] == "stopped").then_some(status)
    })
    .await;
    assert_eq!(status["failure_tolerance"], 0, "{status}");
    let (code, states) = doctor(&cluster, leader).await;
    assert_eq!((states["nodes"].as_str(), states["quorum"].as_str()), ("warning", "warning"), "{states:?}");
    assert_eq!(code, Some(4), "{states:?}");
    for (name, expected) in [("quorate_raft_members_drained", 1.0), ("quorate_raft_voters_drained", 1.0)] {
        assert_eq!(metric(&cluster, leader, name).await, Some(expected), "{name}");
    }
    let drained = format!("quorate_raft_peer_drained{{peer=\"{other}\"}}");
    assert_eq!(metric(&cluster, leader, &drained).await, Some(1.0));

    cluster.start(other);
    cluster.settled(leader).await;
    eventually("it counts again", async || {
        (metric(&cluster, leader, "quorate_raft_members_drained").await == Some(0.0)).then_some(())
    })
    .await;
}

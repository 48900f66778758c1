//! The doctor finds what was planted, and its advice, carried out, makes it pass.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use quorate_tests::{Cluster, Plan, Quorate, eventually, words};
use serde_json::Value;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
/// The C library's clock, replaced.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// Exit code, and what it says of one check: state, finding, fix.
async fn doctor(cluster: &Cluster, via: u64, name: &str) -> (Option<i32>, Vec<(String, String, String)>) {
    let finished = cluster.admin(via, &words!["doctor"]).await;
    let reply = finished.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checks = reply["checks"].as_array().unwrap().iter().filter(|check| check["name"] == name);
    let told = checks.map(|check| (text(&check["state"]), text(&check["finding"]), text(&check["fix"])));
    (finished.code, told.collect())
}

async fn is_well(cluster: &Cluster, via: u64, name: &str) {
    eventually(&format!("{name} is well"), async || {
        let (_, told) = doctor(cluster, via, name).await;
        (told.len() == 1 && told[0].0 == "ok").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_dead_node_is_found_and_starting_it_is_the_cure() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    for name in
        ["leader", "nodes", "quorum", "activation", "keys", "clocks", "ports", "certificates", "count", "settings"]
    {
        let (_, told) = doctor(&cluster, 1, name).await;
        assert_eq!(told.iter().map(|check| check.0.as_str()).collect::<Vec<_>>(), ["ok"], "{name}: {told:?}");
    }
    cluster.kill(3).await;
    let (code, told) = doctor(&cluster, 1, "nodes").await;
    assert_eq!((code, told.len()), (Some(1), 1));
    assert_eq!(told[0].0, "failure");
    assert!(told[0].1.starts_with("node 3 does not answer") && told[0].2.contains("start it"), "{told:?}");
    let (_, quorum) = doctor(&cluster, 1, "quorum").await;
    assert_eq!(quorum[0].0, "failure", "{quorum:?}");
    cluster.start(3);
    for name in ["nodes", "quorum", "activation"] {
        is_well(&cluster, 1, name).await;
    }
}

#[tokio::test]
async fn a_wrong_clock_and_a_missing_activation_are_found_and_mended() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    for (name, value) in [("LD_PRELOAD", FAKETIME), ("FAKETIME", "+2h"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")] {
        cluster.set_variable(3, name, value);
    }
    cluster.form().await;
    let (code, told) = doctor(&cluster, 1, "activation").await;
    assert_eq!(code, Some(1));
    assert!(told[0].1.contains("no host key is installed") && told[0].2.contains("quorate key install"), "{told:?}");
    cluster.activate().await;
    is_well(&cluster, 2, "activation").await;

    let (_, told) = doctor(&cluster, 1, "clocks").await;
    assert_eq!((told.len(), told[0].0.as_str()), (1, "warning"), "{told:?}");
    assert!(told[0].1.starts_with("the clock of node 3 is 7"), "{told:?}");
    assert_eq!(cluster.stop(3).await, Some(0));
    for name in ["LD_PRELOAD", "FAKETIME"] {
        cluster.unset_variable(3, name);
    }
    cluster.start(3);
    is_well(&cluster, 1, "clocks").await;
}

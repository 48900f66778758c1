//! What machines asked and were answered: every node's log, merged, and one machine's story.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use quorate_tests::{Cluster, Plan, Quorate, cmid, eventually, words};
use serde_json::Value;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const PRODUCT: &str = "server-standard-2";

async fn events(cluster: &Cluster, via: u64, more: &[&str]) -> Vec<Value> {
    let mut words = words!["events"].to_vec();
    words.extend(more.iter().map(Into::into));
    cluster.administrate(via, &words).await["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn r8_every_request_is_an_event_of_the_node_that_answered_and_any_node_shows_all() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    let product = cluster.product(PRODUCT);
    for machine in 1..=6 {
        product.count(cluster.node(machine % 3 + 1).clients, machine).await;
    }
    // Written beside the answers, a moment later.
    let all =
        eventually("all are noted", async || Some(events(&cluster, 2, &[]).await).filter(|events| events.len() == 6))
            .await;
    for (event, machine) in all.iter().zip(1_u64..) {
        assert_eq!(
            (&event["event"], &event["count"], &event["required_count"]),
            (&12290.into(), &machine.into(), &5.into())
        );
        assert_eq!((&event["node"], &event["product"]), (&(machine % 3 + 1).into(), &PRODUCT.into()));
        assert_eq!(event["cmid"], cmid(machine).to_string());
    }
    let one = events(&cluster, 3, &["--cmid", &cmid(4).to_string(), "--since", "1h"]).await;
    assert_eq!(one.as_slice(), &all[3..4]);
    let name = all[0]["machine_name"].as_str().unwrap();
    assert_eq!(events(&cluster, 1, &["--machine", &name.to_uppercase()]).await.len(), 6, "one machine plays all");

    // A node that is gone is named, and one that is back has what it had.
    cluster.kill(2).await;
    let told = cluster.administrate(1, &words!["events"]).await;
    assert_eq!(told["events"].as_array().unwrap().len(), 4);
    assert!(told["passed_over"][0].as_str().unwrap().starts_with("node 2:"), "{told}");
    cluster.start(2);
    cluster.settled(2).await;
    assert_eq!(events(&cluster, 2, &[]).await, all);
}

#[tokio::test]
async fn a_machines_story_says_what_it_was_answered_and_what_to_do() {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    let product = cluster.product(PRODUCT);
    let explain = async |who: &str| cluster.admin(1, &words!["explain", who]).await;
    let unknown = explain(&cmid(9).to_string()).await;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("has not reached the cluster"), "{}", unknown.stderr);
    product.count(cluster.node(1).clients, 1).await;
    let below = eventually("it is noted", async || {
        Some(explain(&cmid(1).to_string()).await).filter(|told| told.code == Some(0))
    });
    let below = below.await.json();
    assert!(below["meaning"].as_str().unwrap().contains("1 of 5 machines"), "{below}");
    assert!(below["fix"].as_str().unwrap().contains("quorate count"), "{below}");
    for machine in 2..=5 {
        product.count(cluster.node(1).clients, machine).await;
    }
    let met = eventually("it is noted", async || {
        Some(explain(&cmid(5).to_string()).await).filter(|told| told.code == Some(0))
    });
    let met = met.await.json();
    assert!(met["meaning"].as_str().unwrap().contains("activated for 180 days") && met["fix"].is_null(), "{met}");
    let other = cluster.product("suite-no-such-thing");
    assert!(other.activate(cluster.node(1).clients, cmid(7)).await.is_err());
    let refused = eventually("it is noted", async || {
        Some(explain(&cmid(7).to_string()).await).filter(|told| told.code == Some(0))
    });
    let refused = refused.await.json();
    assert!(refused["meaning"].as_str().unwrap().starts_with("No key of node 1 covers"), "{refused}");
}

//! Clocks that were wrong when a node started, and clocks that are not synchronised, with real processes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use quorate_tests::{Cluster, Plan, Product, Quorate, cmid, eventually, page, value, words};
use serde_json::Value;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const PRODUCT: &str = "workstation-professional-2";
/// The library that replaces the C library's clock.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// An activated node whose operating system does not synchronise its clock.
async fn node() -> (Cluster, Product) {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.set_variable(1, "QUORATE_TEST_CLOCK_SYNCHRONISED", "no");
    cluster.form().await;
    cluster.activate().await;
    let product = cluster.product(PRODUCT);
    (cluster, product)
}

/// Stops the node, and starts it with a clock that is this many hours ahead.
async fn starts_ahead(cluster: &mut Cluster, hours: u64) {
    assert_eq!(cluster.stop(1).await, Some(0));
    for name in ["LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC"] {
        cluster.unset_variable(1, name);
    }
    if hours > 0 {
        cluster.set_variable(1, "LD_PRELOAD", FAKETIME);
        cluster.set_variable(1, "FAKETIME", format!("+{hours}h"));
        cluster.set_variable(1, "FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    cluster.start(1);
    cluster.led(1).await;
}

/// The count in the answer to a machine whose clock is this far ahead.
async fn count(cluster: &Cluster, product: &Product, machine: u64, ahead_ms: u64) -> u32 {
    let answered = eventually("the machine is counted", async || {
        let mut request = product.request(cmid(machine));
        request.client_time_ms += ahead_ms;
        product.send(cluster.node(1).clients, &request).await.ok()
    });
    answered.await.answer.body.count
}

/// How many machines the node counts.
async fn counted(cluster: &Cluster) -> u64 {
    let counts = cluster.administrate(1, &words!["count"]).await;
    let applications = counts["applications"].as_array().unwrap();
    applications.iter().find(|counted| counted["application"] == "platform").unwrap()["count"].as_u64().unwrap()
}

async fn metric(cluster: &Cluster, name: &str) -> Option<f64> {
    let (_, text) = page(cluster.node(1).metrics, "/metrics").await?;
    value(&text, name)
}

async fn alarm(cluster: &Cluster) -> Option<String> {
    let status = cluster.led(1).await;
    status["clock"]["alarm"].as_str().map(str::to_owned)
}

/// Waits until there is an alarm with these words, and checks everything that reports it.
async fn is_alarmed(cluster: &Cluster, words: &str) {
    eventually(&format!("an alarm: {words}"), async || alarm(cluster).await.filter(|alarm| alarm.contains(words)))
        .await;
    eventually("the metric", async || metric(cluster, "quorate_clock_alarm").await.filter(|alarm| *alarm == 1.0)).await;
    eventually("a line in the log", async || cluster.said(1).contains(words).then_some(())).await;
    let doctor = cluster.admin(1, &words!["doctor"]).await;
    let clocks: Vec<Value> =
        doctor.json()["checks"].as_array().unwrap().iter().filter(|check| check["name"] == "clocks").cloned().collect();
    assert!(clocks.iter().all(|check| check["state"] != "ok"), "{clocks:?}");
    assert!(clocks.iter().any(|check| check["finding"].as_str().unwrap().contains(words)), "{clocks:?}");
}

async fn is_no_alarm_left(cluster: &Cluster) {
    eventually("no alarm", async || alarm(cluster).await.is_none().then_some(())).await;
    eventually("the metric", async || metric(cluster, "quorate_clock_alarm").await.filter(|alarm| *alarm == 0.0)).await;
}

#[tokio::test]
async fn machines_that_renewed_while_a_jump_of_the_clock_waited_count_after_it_is_accepted() {
    let (mut cluster, product) = node().await;
    for machine in 1..=6 {
        assert_eq!(u64::from(count(&cluster, &product, machine, 0).await), machine);
    }
    for (days, machines) in [(3, 1..=5), (34, 1..=5)] {
        starts_ahead(&mut cluster, days * 24).await;
        is_alarmed(&cluster, "the nodes' clocks jumped").await;
        for machine in machines {
            let counted = count(&cluster, &product, machine, days * DAY_MS).await;
            assert_eq!(counted, 6, "machine {machine} on day {days}: none is forgotten meanwhile");
        }
    }
    cluster.administrate(1, &words!["cluster", "clock", "accept"]).await;
    is_no_alarm_left(&cluster).await;
    assert_eq!(counted(&cluster).await, 5, "the one that did not renew is forgotten, and no other");
    assert_eq!(count(&cluster, &product, 1, 34 * DAY_MS).await, 5);
}

#[tokio::test]
async fn a_clock_that_was_hours_ahead_at_one_start_refuses_no_machine_afterwards_and_the_doctor_says_so() {
    let (mut cluster, product) = node().await;
    starts_ahead(&mut cluster, 8).await;
    assert_eq!(count(&cluster, &product, 1, 8 * HOUR_MS).await, 1);
    starts_ahead(&mut cluster, 0).await;
    assert_eq!(count(&cluster, &product, 2, 0).await, 2, "compared with the clock, which is right");
    is_alarmed(&cluster, "ahead of the nodes' clocks").await;
    let ahead_s = metric(&cluster, "quorate_cluster_time_ahead_seconds").await.unwrap();
    assert!((ahead_s - 8.0 * 3600.0).abs() < 600.0, "{ahead_s}");
    cluster.administrate(1, &words!["cluster", "clock", "reset"]).await;
    is_no_alarm_left(&cluster).await;
    assert_eq!(count(&cluster, &product, 3, 0).await, 3);
}

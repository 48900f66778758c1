//! Fleets of client machines over months, on a virtual clock (R9, R13, R14).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, time::Duration};

use quorate_tests::Quorate;
use serde_json::Value;
use tokio::time::timeout;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");

/// Months of a fleet take longer than other commands.
const TIMEOUT: Duration = Duration::from_secs(200);

async fn fleet(machines: u64, days: u64) -> Value {
    fleet_within(TIMEOUT, machines, days).await
}

async fn fleet_within(patience: Duration, machines: u64, days: u64) -> Value {
    let (machines, days) = (machines.to_string(), days.to_string());
    let words = ["bench", "fleet", "--machines", &machines, "--days", &days, "--json"];
    let output =
        timeout(patience, Quorate::at(QUORATE).command(words).output()).await.expect("the fleet ends").unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    assert_eq!(stderr, "", "nothing is said beside the report");
    serde_json::from_str(&stdout).unwrap()
}

fn number(report: &Value, key: &str) -> u64 {
    report[key].as_u64().unwrap_or_else(|| panic!("{key} is no number in {report}"))
}

/// Asserts that all requests were answered, and that all machines are licensed at the end of every day.
fn assert_all_went_well(report: &Value) {
    assert_eq!(report["licensed_share_min_after_day_1"], 1.0, "{report}");
    assert_eq!(report["answered"], report["requests"], "{report}");
}

#[tokio::test]
async fn r14_thirty_machines_on_a_cold_cluster_are_all_licensed_within_the_guides_times() {
    let report = fleet(30, 1).await;
    let fields = [
        "machines",
        "days",
        "licensed_share_min_after_day_1",
        "requests",
        "answered",
        "peak_per_hour",
        "all_licensed_after_minutes",
        "licensed_share_by_day",
        "requests_by_day",
    ];
    let found: BTreeSet<_> = report.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, BTreeSet::from(fields));
    assert_all_went_well(&report);
    // All machines ask within a minute. The first 24 answers are below the threshold: those machines ask again within
    // two hours, and no machine asks a third time.
    assert!(number(&report, "all_licensed_after_minutes") <= 1 + 120, "{report}");
    assert_eq!(number(&report, "requests"), 30 + 24, "{report}");
}

#[tokio::test]
async fn r9_twenty_four_machines_ask_every_two_hours_and_are_never_licensed() {
    let report = fleet(24, 2).await;
    assert_eq!(report["licensed_share_by_day"], serde_json::json!([0.0, 0.0]));
    assert_eq!((&report["all_licensed_after_minutes"], &report["answered"]), (&Value::Null, &report["requests"]));
    let requests = number(&report, "requests");
    assert!((24 * 24..=24 * 28).contains(&requests), "every 108 to 120 minutes for two days: {requests}");
}

#[tokio::test]
async fn machine_ten_thousand_machines_over_three_weeks_stay_licensed_and_come_spread() {
    let report = fleet(10_000, 21).await;
    assert_all_went_well(&report);
    let requests = number(&report, "requests");
    // Three renewals in three weeks, each up to a tenth early, so that some machines renew a fourth time.
    assert!((10_000 * 3..10_000 * 5).contains(&requests), "{requests}");
    let by_day: Vec<u64> =
        report["requests_by_day"].as_array().unwrap().iter().map(|day| day.as_u64().unwrap()).collect();
    assert!(by_day[0] < 10_000 + 100, "the first round suffices for all but the first: {by_day:?}");
    assert!(by_day[14..].iter().all(|of_day| *of_day < 8_000), "the third renewals come over days: {by_day:?}");
}

#[tokio::test]
async fn machine_r13_fifty_machines_are_licensed_through_four_hundred_days() {
    let report = fleet(50, 400).await;
    assert_all_went_well(&report);
    let requests = number(&report, "requests");
    assert!((50 * 57..50 * 66).contains(&requests), "every 6.3 to 7 days, and some a little earlier: {requests}");
    assert_eq!(report["licensed_share_by_day"].as_array().unwrap().len(), 400);
}

#[tokio::test]
async fn soak_r13_ten_thousand_machines_are_licensed_through_four_hundred_days() {
    let report = fleet_within(Duration::from_secs(60 * 60), 10_000, 400).await;
    assert_all_went_well(&report);
    let requests = number(&report, "requests");
    assert!(
        (10_000 * 57..10_000 * 66).contains(&requests),
        "every 6.3 to 7 days, and some a little earlier: {requests}"
    );
    let by_day: Vec<_> =
        report["requests_by_day"].as_array().unwrap().iter().map(|day| day.as_u64().unwrap()).collect();
    // After forty-five renewals, each up to 16.8 hours early, the machines are spread by 33 hours (one standard
    // deviation).
    let busiest = by_day[300..].iter().max().unwrap();
    assert!(*busiest < 3_500, "chance has spread those that started together: {busiest}");
}

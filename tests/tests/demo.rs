//! The tour, with output for people and for programs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use quorate_tests::Quorate;
use serde_json::Value;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
/// Size limit of a request or answer PDU, in bytes (R2).
const PDU_BYTES_MAX: u64 = 256;

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

fn number(object: &Value, key: &str) -> u64 {
    object[key].as_u64().unwrap_or_else(|| panic!("{key} is no number in {object}"))
}

#[tokio::test]
async fn the_tour_for_machines_has_every_field_and_every_count() {
    let tour = Quorate::at(QUORATE).json(["demo", "--exit"]).await;
    let fields = ["ok", "nodes", "requests", "failover", "state_hashes", "request_pdu_bytes", "response_pdu_bytes"];
    assert_eq!(keys(&tour), BTreeSet::from(fields));
    assert_eq!(tour["ok"], true);
    assert_eq!(tour["nodes"], 3);

    let requests = tour["requests"].as_array().unwrap();
    for (request, ordinal) in requests.iter().zip(1..) {
        assert_eq!(keys(request), BTreeSet::from(["cmid", "product", "node", "count", "threshold", "activated"]));
        let activated = number(request, "count") >= number(request, "threshold");
        assert_eq!(request["activated"], activated, "the count decides: {request}");
        assert_eq!(number(request, "count"), u64::min(ordinal, 26), "request {ordinal}: {request}");
        assert_eq!(activated, ordinal >= 25, "request {ordinal}: {request}");
    }
    let thresholds: Vec<_> = requests.iter().take(26).map(|request| number(request, "threshold")).collect();
    assert_eq!(thresholds, [vec![25; 25], vec![5]].concat(), "25 client machines, then a server");
    let machines: BTreeSet<_> = requests.iter().map(|request| request["cmid"].as_str().unwrap()).collect();
    assert_eq!(machines.len(), 26, "the rest are renewals");
    let nodes: BTreeSet<_> = requests.iter().map(|request| number(request, "node")).collect();
    assert_eq!(nodes, BTreeSet::from([1, 2, 3]), "through all nodes");
    let renewals: BTreeSet<_> = requests.iter().skip(26).map(|request| number(request, "node")).collect();
    assert_eq!(renewals, BTreeSet::from([1, 2, 3]), "the same count from each node");

    let failover = &tour["failover"];
    assert_eq!(keys(failover), BTreeSet::from(["stopped_node", "answered_by", "without_answer_ms", "count"]));
    assert_ne!(number(failover, "stopped_node"), number(failover, "answered_by"));
    assert_eq!(number(failover, "count"), 27);
    number(failover, "without_answer_ms");

    let hashes: Vec<_> = tour["state_hashes"].as_array().unwrap().iter().map(|hash| hash.as_str().unwrap()).collect();
    assert!(hashes.len() == 3 && hashes.iter().all(|hash| !hash.is_empty() && *hash == hashes[0]), "{hashes:?}");
    for pdu in ["request_pdu_bytes", "response_pdu_bytes"] {
        assert!((1..=PDU_BYTES_MAX).contains(&number(&tour, pdu)), "{pdu}: {}", tour[pdu]);
    }
}

#[tokio::test]
async fn the_tour_for_people_tells_what_happened() {
    let tour = Quorate::at(QUORATE).run(["demo", "--exit"]).await;
    assert_eq!(tour.code, Some(0), "{}{}", tour.stdout, tour.stderr);
    for part in ["25", "26", "27", "leader", "stopped", "state"] {
        assert!(tour.stdout.contains(part), "nothing of {part:?} in\n{}", tour.stdout);
    }
    let control = tour.stdout.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(control, None, "text that is piped is plain");
    assert!(tour.stdout.lines().count() >= 10, "a tour has more to say than\n{}", tour.stdout);
}

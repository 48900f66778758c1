//! Which requests are refused and in which order the reasons are checked; a refusal changes no state.

use activation::clock::{SkewReference, Stamp};
use activation::id::{ProductId, PublisherId};
use activation::message::Record;
use activation::state::{Applied, Batch, Command, RecordOutcome, Refusal};
use activation::status::Status;

use super::world::*;

fn refused(outcome: RecordOutcome) -> Refusal {
    match outcome {
        RecordOutcome::Refused(refusal) => refusal,
        RecordOutcome::Counted(counted) => panic!("counted: {counted:?}"),
    }
}

#[test]
fn each_refusal_has_the_status_that_administrators_know() {
    for (refusal, status) in [
        (Refusal::NotActivated, 0xC004_F041),
        (Refusal::KeyBlocked, 0xC004_F051),
        (Refusal::NotCovered, 0xC004_F042),
        (Refusal::ClockSkew, 0xC004_F06C),
    ] {
        assert_eq!(refusal.status(), Status(status));
    }
}

#[test]
fn a_host_without_a_key_refuses_everything_as_not_activated() {
    let mut cluster = Cluster::empty();
    let record = cluster.record(CLIENT, 1);
    assert_eq!(refused(cluster.outcome(record.clone())), Refusal::NotActivated, "no catalog");
    cluster.install_catalog(&example());
    assert_eq!(refused(cluster.outcome(record.clone())), Refusal::NotActivated, "no key");
    cluster.install_key(&host_key(1));
    assert_eq!(refused(cluster.outcome(record.clone())), Refusal::NotActivated, "no certificate");
    cluster.certify(2, &host_key(1), GROUP_B, PLATFORM_STANDARD);
    assert_eq!(refused(cluster.outcome(record.clone())), Refusal::NotActivated, "another node's certificate");
    cluster.certify(1, &host_key(1), GROUP_B, PLATFORM_STANDARD);
    assert!(matches!(cluster.outcome(record), RecordOutcome::Counted(_)));
}

/// The key decides which products a host activates, the platform which keys it may hold.
#[test]
fn r5_what_a_host_activates_depends_on_its_key_and_on_its_platform() {
    const WORKSTATION: u8 = 1;
    let mut cluster = Cluster::empty();
    cluster.install_catalog(&example());
    cluster.install_key(&host_key(1));
    assert_eq!(example().platform_named("workstation").unwrap().code, WORKSTATION);
    let certificate = cluster.publisher.certify(1, &host_key(1), GROUP_B, WORKSTATION);
    let signed = cluster.publisher.answer(vec![(1, certificate)]).encode().into();
    let on_a_workstation = cluster.apply(&Command::InstallActivation { signed });
    assert_ne!(on_a_workstation, Applied::Done, "a workstation holds no key for servers");
    let record = cluster.record(SERVER, 1);
    assert_eq!(refused(cluster.outcome(record)), Refusal::NotActivated);

    cluster.certify(1, &host_key(1), GROUP_CLIENT, WORKSTATION);
    assert_eq!(cluster.ask(CLIENT, 1).count, 1);
    let record = cluster.record(SERVER, 2);
    assert_eq!(refused(cluster.outcome(record)), Refusal::NotCovered, "a key for clients");

    cluster.install_key(&host_key(2));
    cluster.certify(1, &host_key(2), GROUP_B, PLATFORM_STANDARD);
    assert_eq!(cluster.ask(SERVER, 2).count, 2);
    let record = cluster.record("server-datacenter-2", 3);
    assert_eq!(refused(cluster.outcome(record)), Refusal::NotCovered, "a key for a lower group");
}

#[test]
fn reasons_are_found_in_order_activated_covered_clock() {
    let mut cluster = Cluster::activated();
    let late = cluster.now_ms - DAY_MS;
    let right = cluster.record(CLIENT, 1);
    let unknown_product = ProductId([0; 16]);
    let table = [
        (
            "unknown publisher",
            Record { publisher: PublisherId([0; 16]), product: unknown_product, client_time_ms: late, ..right.clone() },
            Refusal::NotActivated,
        ),
        (
            "node without certificate",
            Record { node: 4, product: unknown_product, client_time_ms: late, ..right.clone() },
            Refusal::NotActivated,
        ),
        (
            "unknown product",
            Record { product: unknown_product, client_time_ms: late, ..right.clone() },
            Refusal::NotCovered,
        ),
        (
            "product of a higher group",
            Record { client_time_ms: late, ..cluster.record("server-datacenter-2", 1) },
            Refusal::NotCovered,
        ),
        ("product beside the ladder", cluster.record("suite-standard-1", 1), Refusal::NotCovered),
        ("wrong clock", Record { client_time_ms: late, ..right }, Refusal::ClockSkew),
    ];
    for (case, record, reason) in table {
        assert_eq!(refused(cluster.outcome(record)), reason, "{case}");
    }
}

#[test]
fn a_clock_may_differ_by_four_hours_and_no_more() {
    let mut cluster = Cluster::activated();
    let right = cluster.record(CLIENT, 1);
    for (difference_ms, counted) in [(0, true), (4 * HOUR_MS, true), (4 * HOUR_MS + 1, false), (9 * DAY_MS, false)] {
        for client_time_ms in [START_MS - difference_ms, START_MS + difference_ms] {
            let outcome = cluster.outcome(Record { client_time_ms, ..right.clone() });
            assert_eq!(matches!(outcome, RecordOutcome::Counted(_)), counted, "{difference_ms} ms");
        }
    }
}

#[test]
fn while_cluster_time_is_held_back_clocks_are_compared_with_the_stamped_reference() {
    let mut cluster = Cluster::activated();
    let ahead_ms = START_MS + 3 * DAY_MS;
    let record = Record { client_time_ms: ahead_ms, ..cluster.record(CLIENT, 1) };
    for (skew, counted) in [
        (SkewReference::ClusterTime, false),
        (SkewReference::Other(ahead_ms + HOUR_MS), true),
        (SkewReference::Other(ahead_ms + 5 * HOUR_MS), false),
        (SkewReference::LeaveOut, true),
    ] {
        let outcome = cluster.batch(skew, vec![record.clone()])[0];
        assert_eq!(matches!(outcome, RecordOutcome::Counted(_)), counted, "{skew:?}");
        assert_eq!(cluster.state.time_ms(), Some(START_MS), "the reference does not move time");
    }
}

#[test]
fn a_refusal_touches_neither_cache_nor_limit_nor_what_is_remembered() {
    let mut cluster = Cluster::activated();
    cluster.ask_all(SERVER, 1..=3);
    cluster.now_ms += 40 * DAY_MS;
    let snapshot_of_counts = |cluster: &Cluster| {
        let count = cluster.state.count(cluster.publisher.id(), "platform").unwrap();
        (count.limit(), count.in_order().map(|(cmid, time_ms, _)| (cmid, time_ms)).collect::<Vec<_>>())
    };
    let before = snapshot_of_counts(&cluster);
    let wrong_clock = Record { client_time_ms: 0, ..cluster.record(CLIENT, 2) };
    assert_eq!(refused(cluster.outcome(wrong_clock)), Refusal::ClockSkew);
    assert_eq!(snapshot_of_counts(&cluster), before, "not even what expired is dropped");
    assert_eq!(cluster.state.time_ms(), Some(cluster.now_ms), "but time advances");
}

#[test]
fn time_never_runs_backwards() {
    let mut cluster = Cluster::activated();
    cluster.ask(CLIENT, 1);
    let stamp = Stamp { time_ms: START_MS - DAY_MS, skew: SkewReference::ClusterTime, expiry_ms: None };
    let records = vec![cluster.record(CLIENT, 2)];
    let applied = cluster.apply(&Command::Batch(Batch { stamp, records }));
    let Applied::Batch { time_ms, outcomes } = applied else { panic!("{applied:?}") };
    assert_eq!(time_ms, START_MS);
    assert!(matches!(outcomes[0], RecordOutcome::Counted(_)), "skew is measured against the batch's own time");
}

#[test]
fn a_clock_reset_lowers_time_and_takes_later_requests_along() {
    let mut cluster = Cluster::activated();
    cluster.ask(CLIENT, 1);
    cluster.now_ms += 20 * DAY_MS;
    cluster.ask(CLIENT, 2);
    let reset_ms = START_MS + DAY_MS;
    assert_eq!(cluster.apply(&Command::ResetClock { time_ms: reset_ms }), Applied::Done);
    assert_eq!(cluster.state.time_ms(), Some(reset_ms));
    let last_request = |cluster: &Cluster, machine| cluster.state.seen(cmid(machine)).next().unwrap().last_request_ms;
    assert_eq!((last_request(&cluster, 1), last_request(&cluster, 2)), (START_MS, reset_ms));
    cluster.now_ms = reset_ms;
    assert_eq!(cluster.ask(CLIENT, 3).count, 3);
    assert!(matches!(cluster.apply(&Command::ResetClock { time_ms: reset_ms + 1 }), Applied::Refused(_)));
}

#[test]
fn seen_tells_what_a_machine_last_said() {
    let mut cluster = Cluster::activated();
    cluster.ask(CLIENT, 1);
    cluster.now_ms += HOUR_MS;
    let record = Record { node: 2, virtual_machine: true, ..cluster.record(SERVER, 1) };
    cluster.outcome(record);
    let seen: Vec<_> = cluster.state.seen(cmid(1)).collect();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].application.as_str(), seen[0].last_request_ms), ("platform", START_MS + HOUR_MS));
    assert_eq!((seen[0].seen.node, seen[0].seen.virtual_machine), (2, true));
    assert_eq!(seen[0].seen.product, ProductId::derive(cluster.publisher.id(), SERVER));
    assert_eq!(cluster.state.seen(cmid(2)).count(), 0);
}

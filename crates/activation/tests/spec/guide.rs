//! The behaviour that the guide describes, by R number.

use activation::id::MachineDigest;
use activation::message::{AnswerBody, Record};
use activation::state::RecordOutcome;

use super::world::*;

#[test]
fn r1_virtual_machines_count_like_physical_ones() {
    let mut cluster = Cluster::activated();
    let mut counts = Vec::new();
    for (machine, virtual_machine) in [(1, false), (2, true), (3, false), (4, true)] {
        let record = Record { virtual_machine, ..cluster.record(CLIENT, machine) };
        let RecordOutcome::Counted(counted) = cluster.outcome(record) else { panic!("refused") };
        counts.push(counted.count);
    }
    assert_eq!(counts, [1, 2, 3, 4]);
}

#[test]
fn r3_every_request_is_answered_with_the_count_also_below_the_threshold() {
    let mut cluster = Cluster::activated();
    let counts = cluster.ask_all(CLIENT, 1..=30);
    assert_eq!(counts, (1..=30).collect::<Vec<_>>());
}

#[test]
fn r4_any_node_answers_with_the_one_shared_count() {
    let mut cluster = Cluster::activated();
    for (node, count) in [(1, 1), (2, 2), (3, 3), (2, 4), (1, 5)] {
        let record = Record { node, ..cluster.record(CLIENT, count) };
        let RecordOutcome::Counted(counted) = cluster.outcome(record) else { panic!("refused by node {node}") };
        assert_eq!(counted.count, count);
    }
}

#[test]
fn r6_an_activated_host_answers_for_years_without_its_publisher() {
    let mut cluster = Cluster::activated();
    for year in 1..=20 {
        assert_eq!(cluster.ask_all(SERVER, 1..=5), [1, 2, 3, 4, 5], "in year {year}");
        cluster.now_ms += 365 * DAY_MS;
    }
}

#[test]
fn r9_servers_need_5_and_clients_25_and_reaching_the_threshold_suffices() {
    let mut cluster = Cluster::activated();
    for (product, threshold) in [(CLIENT, 25), (SERVER, 5)] {
        assert_eq!(cluster.ask(product, 1).threshold, threshold);
    }
    for (count, threshold, activated) in
        [(24, 25, false), (25, 25, true), (26, 25, true), (4, 5, false), (5, 5, true), (1, 1, true)]
    {
        let body = AnswerBody {
            count,
            threshold,
            activation_interval_minutes: 120,
            renewal_interval_minutes: 10_080,
            cluster_time_ms: START_MS,
            log_index: 1,
            offset: 0,
        };
        assert_eq!(body.is_activated(), activated, "count {count} of {threshold}");
    }
}

#[test]
fn r10_a_machine_is_forgotten_thirty_days_after_its_last_request() {
    for (age_ms, left) in [(30 * DAY_MS - 1, 3), (30 * DAY_MS, 0), (30 * DAY_MS + 1, 0)] {
        let mut cluster = Cluster::activated();
        cluster.ask_all(CLIENT, 1..=3);
        cluster.now_ms += age_ms;
        assert_eq!(cluster.count("platform"), left, "read at age {age_ms}");
        assert_eq!(cluster.ask(CLIENT, 4).count, left + 1, "recorded at age {age_ms}");
    }
}

#[test]
fn r10_renewal_restarts_the_thirty_days() {
    let mut cluster = Cluster::activated();
    cluster.ask_all(CLIENT, [1, 2]);
    cluster.now_ms += 29 * DAY_MS;
    assert_eq!(cluster.ask(CLIENT, 1).count, 2, "a renewal counts nothing twice");
    cluster.now_ms += DAY_MS;
    assert_eq!(cluster.count("platform"), 1, "the machine that did not renew is gone");
    cluster.now_ms += 29 * DAY_MS - 1;
    assert_eq!(cluster.count("platform"), 1);
    cluster.now_ms += 1;
    assert_eq!(cluster.count("platform"), 0);
}

#[test]
fn r10_reading_the_count_changes_nothing() {
    let mut cluster = Cluster::activated();
    cluster.ask_all(CLIENT, 1..=3);
    let before = cluster.state.hash();
    let later = cluster.state.counts(START_MS + 365 * DAY_MS);
    assert!(later.iter().all(|count| count.count == 0));
    assert_eq!(cluster.state.hash(), before);
}

#[test]
fn r11_three_clients_get_1_2_3_and_a_server_next_gets_4() {
    let mut cluster = Cluster::activated();
    assert_eq!(cluster.ask_all(CLIENT, [1, 2, 3]), [1, 2, 3]);
    assert_eq!(cluster.ask(SERVER, 4).count, 4);
}

#[test]
fn r11_another_application_has_a_count_of_its_own() {
    let mut cluster = Cluster::activated();
    cluster.install_key(&host_key(2));
    cluster.certify(1, &host_key(2), 10, 1);
    assert_eq!(cluster.ask_all(CLIENT, [1, 2, 3]), [1, 2, 3]);
    assert_eq!(cluster.ask("suite-standard-1", 1).count, 1, "the same machine, another application");
    assert_eq!((cluster.count("platform"), cluster.count("suite")), (3, 1));
}

#[test]
fn r11_another_publisher_has_counts_of_its_own() {
    let mut cluster = Cluster::activated();
    assert_eq!(cluster.ask_all(CLIENT, [1, 2, 3]), [1, 2, 3]);
    cluster.publisher = Publisher::new(50);
    cluster.install_catalog(&example());
    cluster.install_key(&host_key(2));
    cluster.certify(1, &host_key(2), GROUP_B, PLATFORM_STANDARD);
    assert_eq!(cluster.ask(CLIENT, 1).count, 1);
}

#[test]
fn r12_the_cache_keeps_the_most_recent_twice_the_threshold() {
    let mut cluster = Cluster::activated();
    assert_eq!(cluster.ask_all(SERVER, 1..=12), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]);
    let remembered = |machine| cluster.state.seen(cmid(machine)).count() == 1;
    assert_eq!((1..=12).filter(|machine| remembered(*machine)).collect::<Vec<_>>(), (3..=12).collect::<Vec<_>>());
}

#[test]
fn r12_ten_become_fifty_and_stay_fifty() {
    let mut cluster = Cluster::activated();
    assert_eq!(cluster.cache_limit("platform"), 0);
    cluster.ask_all(SERVER, 1..=12);
    assert_eq!(cluster.cache_limit("platform"), 10);
    assert_eq!(cluster.ask(CLIENT, 100).count, 11, "the first client product grows the cache");
    assert_eq!(cluster.cache_limit("platform"), 50);
    let counts = cluster.ask_all(SERVER, 200..260);
    assert_eq!(*counts.last().unwrap(), 50, "servers alone keep the larger cache");
    cluster.now_ms += 31 * DAY_MS;
    assert_eq!(cluster.ask(SERVER, 1).count, 1);
    assert_eq!(cluster.cache_limit("platform"), 50, "it never shrinks, even when all have gone");
}

#[test]
fn r12_a_newer_catalog_raises_the_limit_at_the_next_request_and_never_lowers_it() {
    let mut cluster = Cluster::activated();
    cluster.ask(CLIENT, 1);
    let raised = EXAMPLE.replacen("serial = 1", "serial = 2", 1).replacen("threshold = 25", "threshold = 100", 1);
    cluster.install_catalog(&activation::catalog::Catalog::from_toml(&raised).unwrap());
    assert_eq!(cluster.cache_limit("platform"), 50, "a catalog alone changes no limit");
    assert_eq!(cluster.ask(CLIENT, 2).threshold, 100);
    assert_eq!(cluster.cache_limit("platform"), 200);
    let lowered = EXAMPLE.replacen("serial = 1", "serial = 3", 1).replacen("threshold = 25", "threshold = 2", 1);
    cluster.install_catalog(&activation::catalog::Catalog::from_toml(&lowered).unwrap());
    assert_eq!(cluster.ask(CLIENT, 3).threshold, 2);
    assert_eq!(cluster.cache_limit("platform"), 200);
}

#[test]
fn r14_an_answer_carries_both_intervals() {
    let counted = Cluster::activated().ask(CLIENT, 1);
    assert_eq!((counted.activation_interval_minutes, counted.renewal_interval_minutes), (120, 10_080));
}

#[test]
fn a_cmid_that_two_machines_share_counts_once_and_is_noticed() {
    let mut cluster = Cluster::activated();
    let mut asks = |node, machine| {
        let record = Record { node, machine: MachineDigest([machine; 8]), ..cluster.record(CLIENT, 1) };
        let RecordOutcome::Counted(counted) = cluster.outcome(record) else { panic!("refused") };
        (counted.count, counted.other_machine)
    };
    let seen = [asks(1, 1), asks(2, 1), asks(3, 2), asks(1, 2), asks(1, 1)];
    assert_eq!(seen, [(1, false), (1, false), (1, true), (1, false), (1, true)]);

    cluster.now_ms += 30 * DAY_MS;
    let record = Record { machine: MachineDigest([2; 8]), ..cluster.record(CLIENT, 1) };
    let RecordOutcome::Counted(counted) = cluster.outcome(record) else { panic!("refused") };
    assert!(!counted.other_machine, "the CMID expired, so no earlier machine is known");
}

/// Rows: the held group; columns: whether it covers client, A, B and C products of either generation.
#[test]
fn r32_a_key_covers_its_group_all_lower_groups_and_earlier_generations() {
    let catalog = example();
    let products = [
        ["workstation-professional-2", "server-web-2", "server-standard-2", "server-datacenter-2"],
        ["workstation-business-1", "server-web-1", "server-standard-1", "server-datacenter-1"],
    ];
    for (held, covered) in [
        ("client", [true, false, false, false]),
        ("server-a", [true, true, false, false]),
        ("server-b", [true, true, true, false]),
        ("server-c", [true, true, true, true]),
        ("suite", [false, false, false, false]),
    ] {
        let group = catalog.group_named(held).unwrap().code;
        for products in products {
            let covers = products.map(|name| catalog.covers(group, catalog.product(name).unwrap()));
            assert_eq!(covers, covered, "{held} over {products:?}");
        }
    }
}

#[test]
fn r32_a_key_of_an_earlier_generation_does_not_cover_a_later_one() {
    let text = edited("code = 3\ngeneration = 2", "code = 3\ngeneration = 1");
    let catalog = activation::catalog::Catalog::from_toml(&text).unwrap();
    for (product, covered) in [("server-standard-2", false), ("server-standard-1", true), ("server-web-2", false)] {
        assert_eq!(catalog.covers(GROUP_B, catalog.product(product).unwrap()), covered, "{product}");
    }
}

/// Table 2 of the guide: rows are platforms, columns the groups client, A, B, C.
#[test]
fn r34_a_platform_holds_only_keys_of_its_groups() {
    let catalog = example();
    for (platform, may_hold) in [
        ("workstation", [true, false, false, false]),
        ("server-1-with-add-on", [true, true, true, true]),
        ("server-web-and-compute", [true, true, false, false]),
        ("server-standard-and-enterprise", [true, true, true, false]),
        ("server-datacenter", [true, true, true, true]),
    ] {
        let code = catalog.platform_named(platform).unwrap().code;
        let groups = ["client", "server-a", "server-b", "server-c"];
        let held = groups.map(|group| catalog.may_hold(code, catalog.group_named(group).unwrap().code));
        assert_eq!(held, may_hold, "{platform}");
    }
}

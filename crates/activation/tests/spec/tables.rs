//! Tables 1 and 2 of the guide, every row and column, on the example catalog (R32, R33, R34).

use std::collections::BTreeSet;

use activation::state::{Applied, Command, CommandRefusal, RecordOutcome, Refusal};

use super::world::*;

const GROUPS: [(&str, u8); 4] = [("client", 1), ("server-a", 2), ("server-b", 3), ("server-c", 4)];

/// Table 1: the products on each rung of the ladder, newer generation and earlier generation.
const TABLE_1: [(&str, &[&str], &[&str]); 4] = [
    (
        "client",
        &["workstation-professional-2", "workstation-enterprise-2"],
        &["workstation-business-1", "workstation-enterprise-1"],
    ),
    ("server-a", &["server-web-2", "server-compute-2"], &["server-web-1", "server-compute-1"]),
    ("server-b", &["server-standard-2", "server-enterprise-2"], &["server-standard-1", "server-enterprise-1"]),
    ("server-c", &["server-datacenter-2", "server-mainframe-2"], &["server-datacenter-1", "server-mainframe-1"]),
];

/// Editions without hypervisor, of the earlier generation, groups B and C.
const WITHOUT_HYPERVISOR: [&str; 3] = ["server-standard-1", "server-enterprise-1", "server-datacenter-1"];

/// Table 2: the platforms that may host a key of each group.
const TABLE_2: [(&str, &[&str]); 4] = [
    // Client platforms, and the old server with its add-on; a server may also host for clients (R32).
    (
        "client",
        &[
            "workstation",
            "server-1-with-add-on",
            "server-web-and-compute",
            "server-standard-and-enterprise",
            "server-datacenter",
        ],
    ),
    (
        "server-a",
        &["server-1-with-add-on", "server-web-and-compute", "server-standard-and-enterprise", "server-datacenter"],
    ),
    ("server-b", &["server-1-with-add-on", "server-standard-and-enterprise", "server-datacenter"]),
    ("server-c", &["server-1-with-add-on", "server-datacenter"]),
];

fn rung(group: &str) -> usize {
    GROUPS.iter().position(|(name, _)| *name == group).unwrap()
}

#[test]
fn r33_each_row_of_table_1_lists_the_products_of_its_group_by_generation() {
    let catalog = example();
    for (group, newer, earlier) in TABLE_1 {
        let code = catalog.group_named(group).unwrap().code;
        for (generation, expected) in [(2, newer), (1, earlier)] {
            let products =
                catalog.products().filter(|product| (product.group, product.generation) == (code, generation));
            let found: BTreeSet<_> = products.map(|product| product.name.as_str()).collect();
            assert_eq!(found, expected.iter().copied().collect(), "{group}, generation {generation}");
        }
    }
    for product in WITHOUT_HYPERVISOR {
        let editions = &catalog.product(product).unwrap().editions;
        assert!(editions.iter().any(|edition| edition.name.ends_with("without Hypervisor")), "{product}");
    }
}

#[test]
fn r32_a_node_with_a_key_of_each_row_counts_for_its_row_and_all_below_and_for_no_row_above() {
    for (held, held_code) in GROUPS {
        let mut cluster = Cluster::empty();
        cluster.install_catalog(&example());
        cluster.install_key(&host_key(1));
        // Code 5, the largest server, may hold every key.
        cluster.certify(1, &host_key(1), held_code, 5);
        for (group, newer, earlier) in TABLE_1 {
            for product in newer.iter().chain(earlier) {
                let record = cluster.record(product, 1);
                let counted = matches!(cluster.outcome(record.clone()), RecordOutcome::Counted(_));
                assert_eq!(counted, rung(group) <= rung(held), "a key of {held} for {product}");
                if !counted {
                    assert_eq!(cluster.outcome(record), RecordOutcome::Refused(Refusal::NotCovered));
                }
            }
        }
    }
}

#[test]
fn r33_a_key_of_an_earlier_generation_does_not_cover_newer_products() {
    // The group's keys cover generation 1 only.
    let text = edited("code = 2\ngeneration = 2", "code = 2\ngeneration = 1");
    let catalog = activation::catalog::Catalog::from_toml(&text).unwrap();
    for (group, newer, earlier) in TABLE_1 {
        for (product, generation) in newer.iter().map(|name| (name, 2)).chain(earlier.iter().map(|name| (name, 1))) {
            let covered = catalog.covers(2, catalog.product(product).unwrap());
            assert_eq!(covered, generation == 1 && rung(group) <= rung("server-a"), "{product}");
        }
    }
}

#[test]
fn r34_each_cell_of_table_2_is_what_a_certificate_is_accepted_by() {
    for (group, code) in GROUPS {
        let (_, expected) = TABLE_2.iter().find(|(name, _)| *name == group).unwrap();
        let catalog = example();
        for platform in catalog.platforms() {
            let mut cluster = Cluster::empty();
            cluster.install_catalog(&catalog);
            cluster.install_key(&host_key(1));
            let certificate = cluster.publisher.certify(1, &host_key(1), code, platform.code);
            let signed = cluster.publisher.answer(vec![(1, certificate)]).encode().into();
            let applied = cluster.apply(&Command::InstallActivation { signed });
            let refused = CommandRefusal::PlatformMayNotHold { node: 1, platform: platform.code, group: code };
            let expected =
                if expected.contains(&platform.name.as_str()) { Applied::Done } else { Applied::Refused(refused) };
            assert_eq!(applied, expected, "{group} on {}", platform.name);
        }
    }
}

#[test]
fn r34_a_client_platform_hosts_for_client_products_only() {
    let catalog = example();
    let workstation = catalog.platform_named("workstation").unwrap().code;
    let holds: Vec<_> = GROUPS.iter().filter(|(_, code)| catalog.may_hold(workstation, *code)).collect();
    assert_eq!(holds, [&("client", 1)]);
}

#[test]
fn r35_each_edition_has_a_setup_key_of_its_own_that_names_its_product() {
    let catalog = example();
    let mut keys = BTreeSet::new();
    for product in catalog.products() {
        assert!(!product.editions.is_empty(), "{}", product.name);
        for edition in &product.editions {
            assert!(keys.insert(edition.setup_key), "{} is used twice", edition.setup_key);
            assert_eq!(catalog.by_setup_key(&edition.setup_key), Some((product, edition)));
        }
    }
    assert_eq!(catalog.by_setup_key(&host_key(1)), None);
}

#[test]
fn r35_a_setup_key_that_is_none_or_is_used_twice_is_an_error_with_its_line() {
    let first = "P2G7F-PE64X-4W6Y2-EA7W3-NR56K";
    let cases = [
        ("P2G7F-PE64X-4W6Y2-EA7W3-NR56J".to_owned(), "check group 5"),
        (host_key(1).to_string(), "is a host key, not a setup key"),
        ("P28NQ-E32BT-BFCFQ-46M8X-ZCZ8G".to_owned(), "is used twice"),
    ];
    for (wrong, words) in cases {
        let error = activation::catalog::Catalog::from_toml(&edited(first, &wrong)).unwrap_err().to_string();
        assert!(error.starts_with("line 9") && error.contains(words), "{error}");
        assert!(error.contains("catalog setup-key"), "{error}");
    }
}

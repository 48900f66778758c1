use proptest::prelude::*;

use super::super::desired::Domain;
use super::*;

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

fn record(target: &str, port: u16, priority: u16, weight: u16, ttl_seconds: u32) -> SrvRecord {
    SrvRecord { srv: Srv { target: name(target), port, priority, weight }, ttl_seconds }
}

fn desired(weight: u16, addresses: &[&str]) -> Desired {
    Desired {
        service: Desired::SERVICE.to_owned(),
        domain: Domain { name: name("example.test"), priority: 0, weight },
        target: name("node1.example.test"),
        port: 1688,
        ttl_seconds: 300,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
    }
}

fn members() -> Neighbours {
    Neighbours { members: vec![name("node2.example.test")], known: vec![name("old.example.test")], share_name: false }
}

fn shown(update: &Update) -> Vec<String> {
    update.changes.iter().map(ToString::to_string).collect()
}

#[test]
fn only_what_differs_is_changed() {
    let own = |weight, ttl| record("node1.example.test", 1688, 0, weight, ttl);
    let table: &[(&str, Vec<SrvRecord>, &[&str])] = &[
        ("nothing stands", vec![], &["add 300 SRV 0 60 1688 node1.example.test."]),
        ("it stands", vec![own(60, 300)], &[]),
        ("in other letters", vec![record("NODE1.Example.test", 1688, 0, 60, 300)], &[]),
        ("another TTL", vec![own(60, 900)], &["add 300 SRV 0 60 1688 node1.example.test."]),
        (
            "another weight",
            vec![own(10, 300)],
            &["delete SRV 0 10 1688 node1.example.test.", "add 300 SRV 0 60 1688 node1.example.test."],
        ),
        (
            "several stale ones beside the right one",
            vec![own(10, 300), own(60, 300), record("node1.example.test", 1700, 3, 60, 300)],
            &["delete SRV 0 10 1688 node1.example.test.", "delete SRV 3 60 1700 node1.example.test."],
        ),
        ("beside a member", vec![record("node2.example.test", 1688, 0, 10, 300), own(60, 300)], &[]),
        (
            "beside a known host, whose TTL is kept",
            vec![record("old.example.test", 1688, 0, 0, 3600)],
            &["add 3600 SRV 0 60 1688 node1.example.test."],
        ),
    ];
    for (case, srv, expected) in table {
        let standing = PresentRecords { srv: srv.clone(), addresses: None };
        let update = difference(&desired(60, &["192.0.2.1"]), &standing, &members()).unwrap();
        assert_eq!(shown(&update), *expected, "{case}");
    }
}

#[test]
fn stale_addresses_are_replaced_in_the_same_update_deletions_first() {
    let address = |text: &str, ttl_seconds| AddressRecord { address: text.parse().unwrap(), ttl_seconds };
    let standing = PresentRecords {
        srv: vec![record("node1.example.test", 1688, 0, 10, 300)],
        addresses: Some(vec![address("192.0.2.9", 300), address("2001:db8::1", 300), address("192.0.2.1", 60)]),
    };
    let update = difference(&desired(60, &["192.0.2.1", "2001:db8::1"]), &standing, &members()).unwrap();
    let expected = [
        "delete SRV 0 10 1688 node1.example.test.",
        "delete A 192.0.2.9",
        "add 300 SRV 0 60 1688 node1.example.test.",
        "add 300 A 192.0.2.1",
    ];
    assert_eq!(shown(&update), expected);
    let untouched = difference(&desired(10, &[]), &standing, &members()).unwrap();
    assert_eq!(shown(&untouched), Vec::<String>::new());
}

#[test]
fn a_strangers_record_is_named_and_shared_with_only_when_agreed() {
    let standing = PresentRecords { srv: vec![record("rogue.example.test", 1688, 0, 0, 300)], addresses: None };
    let refused = difference(&desired(60, &[]), &standing, &members()).unwrap_err();
    assert!(refused.to_string().contains("rogue.example.test."), "{refused}");
    let agreed = Neighbours { share_name: true, ..members() };
    assert_eq!(difference(&desired(60, &[]), &standing, &agreed).unwrap().changes.len(), 1);
}

#[test]
fn withdrawing_names_each_record_of_the_target() {
    let standing = PresentRecords {
        srv: vec![record("node1.example.test", 1688, 0, 10, 300), record("node2.example.test", 1688, 0, 10, 300)],
        addresses: None,
    };
    let gone = withdrawal("_vlmcs._tcp", &name("example.test"), &name("node1.example.test"), &standing).unwrap();
    assert_eq!(shown(&gone), ["delete SRV 0 10 1688 node1.example.test."]);
    let mut with_addresses = standing;
    with_addresses.addresses = Some(vec![AddressRecord { address: "192.0.2.1".parse().unwrap(), ttl_seconds: 300 }]);
    let gone = withdrawal("_vlmcs._tcp", &name("example.test"), &name("node1.example.test"), &with_addresses).unwrap();
    assert_eq!(shown(&gone), ["delete SRV 0 10 1688 node1.example.test.", "delete A 192.0.2.1"]);
}

/// A zone as a server keeps it: sets of rdata with one TTL for each set (RFC 2136 section 3.4.2).
fn applied(standing: &PresentRecords, update: &Update) -> PresentRecords {
    let mut after = standing.clone();
    for change in &update.changes {
        match change {
            RecordChange::DeleteSrv(srv) => after.srv.retain(|record| record.srv != *srv),
            RecordChange::DeleteAddress(address) => {
                after.addresses.iter_mut().for_each(|all| all.retain(|record| record.address != *address));
            }
            RecordChange::AddSrv { srv, ttl_seconds } => {
                after.srv.retain(|record| record.srv != *srv);
                after.srv.push(SrvRecord { srv: srv.clone(), ttl_seconds: *ttl_seconds });
                after.srv.iter_mut().for_each(|record| record.ttl_seconds = *ttl_seconds);
            }
            RecordChange::AddAddress { address, ttl_seconds } => {
                if let Some(all) = &mut after.addresses {
                    all.retain(|record| record.address != *address);
                    all.push(AddressRecord { address: *address, ttl_seconds: *ttl_seconds });
                    all.iter_mut()
                        .filter(|record| record.address.is_ipv4() == address.is_ipv4())
                        .for_each(|record| record.ttl_seconds = *ttl_seconds);
                }
            }
        }
    }
    after
}

/// One TTL for the whole set, as in a server's answer.
fn any_srv_set() -> impl Strategy<Value = Vec<SrvRecord>> {
    let one = (0u16..5, 0u16..3, 0u16..3, 1688u16..1690);
    (proptest::collection::btree_set(one, 0..12), prop_oneof![Just(300u32), Just(900)]).prop_map(|(set, ttl)| {
        set.into_iter()
            .map(|(node, priority, weight, port)| {
                record(&format!("node{node}.example.test"), port, priority, weight, ttl)
            })
            .collect()
    })
}

fn any_addresses() -> impl Strategy<Value = Vec<IpAddr>> {
    let one = prop_oneof![
        (0u8..4).prop_map(|last| IpAddr::from([192, 0, 2, last])),
        (0u16..4).prop_map(|last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last])),
    ];
    proptest::collection::btree_set(one, 0..6).prop_map(|set| set.into_iter().collect())
}

proptest! {
    #[test]
    fn after_the_update_exactly_what_is_wanted_stands_and_every_neighbour_is_as_it_was(
        srv in any_srv_set(),
        there in proptest::option::of(any_addresses()),
        wanted in any_addresses(),
        weight in 0u16..3,
    ) {
        let there = there.map(|all| {
            all.into_iter().map(|address| AddressRecord { address, ttl_seconds: 60 }).collect::<Vec<_>>()
        });
        let standing = PresentRecords { srv, addresses: there };
        let desired = Desired { addresses: wanted.clone(), ..desired(weight, &[]) };
        let sharing = Neighbours { share_name: true, ..Neighbours::default() };
        let after = applied(&standing, &difference(&desired, &standing, &sharing).unwrap());

        let is_own = |record: &&SrvRecord| record.srv.target == desired.target;
        let own: Vec<Srv> = after.srv.iter().filter(is_own).map(|record| record.srv.clone()).collect();
        prop_assert_eq!(own, vec![desired.srv()]);
        let others = |standing: &PresentRecords| -> Vec<SrvRecord> {
            standing.srv.iter().filter(|record| !is_own(record)).cloned().collect()
        };
        prop_assert_eq!(others(&after), others(&standing));
        if let Some(addresses) = &after.addresses && !wanted.is_empty() {
            let set: BTreeSet<_> = addresses.iter().map(|record| record.address).collect();
            prop_assert_eq!(set, wanted.into_iter().collect::<BTreeSet<_>>());
        }
        let again = difference(&desired, &after, &sharing).unwrap();
        prop_assert_eq!(again.changes, Vec::new());
    }

    #[test]
    fn a_withdrawal_takes_the_targets_records_and_no_other(srv in any_srv_set()) {
        let standing = PresentRecords { srv, addresses: None };
        let target = name("node1.example.test");
        let update = withdrawal("_vlmcs._tcp", &name("example.test"), &target, &standing).unwrap();
        let expected: Vec<_> = standing.srv.iter().filter(|record| record.srv.target != target).cloned().collect();
        prop_assert_eq!(applied(&standing, &update).srv, expected);
    }
}

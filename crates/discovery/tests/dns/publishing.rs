//! Records that three nodes publish, change and withdraw.

use std::collections::BTreeSet;
use std::process::Command;

use discovery::{
    Addresses, Credentials, Desired, Domain, Neighbours, Primary, PublishError, RecordState, classify, zone_lines,
};

use crate::named::{Named, ZONE, desired, name, now, target, zone_text};

const SERVICE_NAME: &str = "_vlmcs._tcp.example.test";

#[tokio::test]
async fn r25_three_nodes_publish_under_the_documented_policy_and_dig_shows_exactly_these() {
    let named = Named::start("").await;
    let weights = [(1, 60), (2, 30), (3, 10)];
    for (node, weight) in weights {
        let outcome = named.publisher(node).publish(&desired(node, weight), now()).await.unwrap();
        assert_eq!(outcome.zone, name(ZONE));
        assert_eq!((outcome.addresses, outcome.changes.len()), (Addresses::Settled, 3));
    }
    let expected: Vec<String> = {
        let mut lines: Vec<_> = weights.map(|(node, weight)| format!("0 {weight} 1688 {}", target(node))).into();
        lines.sort();
        lines
    };
    assert_eq!(named.dig(SERVICE_NAME, "SRV").await, expected);
    for node in 1..=3 {
        assert_eq!(named.dig(&target(node).to_string(), "A").await, [format!("192.0.2.{node}")]);
        assert_eq!(named.dig(&target(node).to_string(), "AAAA").await, [format!("2001:db8::{node}")]);
    }
    // Publishing again changes nothing.
    let again = named.publisher(1).publish(&desired(1, 60), now()).await.unwrap();
    assert_eq!(again.changes, []);
}

#[tokio::test]
async fn the_primary_is_found_by_name_and_by_the_soa() {
    let named = Named::start("").await;
    let port = named.address.port();
    for primary in [Primary::FromSoa { port }, Primary::Name(name("ns1.example.test"), port)] {
        let mut publisher = named.publisher(1);
        publisher.primary = primary.clone();
        let outcome = publisher.publish(&desired(1, 60), now()).await.unwrap();
        assert_eq!(outcome.primary, named.address, "{primary}");
    }
}

#[tokio::test]
async fn a_domain_without_a_zone_of_its_own_has_no_primary_and_gets_no_update() {
    let root = Named::start_for(".", "").await;
    for domain in ["absent.test", "lan"] {
        let mut publisher = root.publisher(1);
        publisher.primary = Primary::FromSoa { port: root.address.port() };
        let domain = Domain { name: name(domain), priority: 0, weight: 0 };
        let wanted = Desired { domain, ..desired(1, 60) };
        let error = publisher.publish(&wanted, now()).await.unwrap_err();
        assert!(matches!(error, PublishError::NoPrimary { .. }), "{error}");
        assert_eq!(error.code(), 0x8007_2581);
    }
}

#[tokio::test]
async fn a_domain_of_one_label_may_be_a_zone() {
    let named = Named::start_for("lan", "").await;
    let mut publisher = named.publisher(1);
    publisher.primary = Primary::FromSoa { port: named.address.port() };
    let wanted = Desired { domain: Domain { name: name("lan"), priority: 0, weight: 0 }, ..desired(1, 60) };
    let outcome = publisher.publish(&wanted, now()).await.unwrap();
    assert_eq!((outcome.zone, outcome.addresses), (name("lan"), Addresses::OutsideZone));
}

#[tokio::test]
async fn stale_records_of_its_own_are_replaced_and_a_target_of_another_zone_keeps_its_addresses() {
    let stale = "_vlmcs._tcp 300 SRV 0 5 1688 node1\n_vlmcs._tcp 300 SRV 7 5 1700 NODE1\n\
                 _vlmcs._tcp 300 SRV 0 5 1688 node2\nnode1 A 192.0.2.77\n";
    let named = Named::start(stale).await;
    named.publisher(1).publish(&desired(1, 60), now()).await.unwrap();
    assert_eq!(named.dig(SERVICE_NAME, "SRV").await, ["0 5 1688 node2.example.test.", "0 60 1688 node1.example.test."]);
    assert_eq!(named.dig("node1.example.test", "A").await, ["192.0.2.1"]);

    let elsewhere = Desired { target: name("node1.elsewhere.test"), ..desired(1, 60) };
    let outcome = named.publisher(1).publish(&elsewhere, now()).await.unwrap();
    assert_eq!((outcome.addresses, outcome.changes.len()), (Addresses::OutsideZone, 1));
}

#[tokio::test]
async fn r29_a_strangers_record_stops_publishing_until_sharing_is_agreed_and_is_left_alone() {
    let named = Named::start("_vlmcs._tcp 3600 SRV 0 0 1688 rogue\n").await;
    let mut publisher = named.publisher(1);
    let error = publisher.publish(&desired(1, 60), now()).await.unwrap_err();
    assert!(
        matches!(&error, PublishError::NameShared { foreign, .. } if foreign == &["rogue.example.test."]),
        "{error}"
    );
    publisher.neighbours.share_name = true;
    publisher.publish(&desired(1, 60), now()).await.unwrap();
    let standing = named.standing().await;
    // The neighbour's TTL is the TTL of the set, and stays.
    assert!(standing.len() == 2 && standing.iter().all(|record| record.ttl_seconds == 3600), "{standing:?}");
    let entries = classify(&standing, &target(1), &[], &[]);
    let states: Vec<_> = entries.iter().map(|entry| entry.state).collect();
    assert_eq!(states, [RecordState::Own, RecordState::Foreign]);

    publisher.withdraw(Desired::SERVICE, &name(ZONE), &target(1), true, now()).await.unwrap();
    assert_eq!(named.dig(SERVICE_NAME, "SRV").await, ["0 0 1688 rogue.example.test."]);
    assert_eq!(named.dig("node1.example.test", "A").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_dead_members_srv_record_is_withdrawn_by_another_and_its_addresses_stay() {
    let named = Named::start("").await;
    for node in [1, 2] {
        named.publisher(node).publish(&desired(node, 10), now()).await.unwrap();
    }
    named.publisher(1).withdraw_dead(Desired::SERVICE, &name(ZONE), &target(2), now()).await.unwrap();
    assert_eq!(named.dig(SERVICE_NAME, "SRV").await, ["0 10 1688 node1.example.test."]);
    assert_eq!(named.dig("node2.example.test", "A").await, ["192.0.2.2"]);
    assert_eq!(named.dig("node2.example.test", "AAAA").await, ["2001:db8::2"]);
}

#[tokio::test]
async fn r29_fifty_withdrawals_beside_anothers_change_remove_nothing_of_the_others() {
    let named = Named::start("").await;
    let (one, two, three) = (named.publisher(1), named.publisher(2), named.publisher(3));
    three.publish(&desired(3, 10), now()).await.unwrap();
    for round in 0..50u16 {
        one.publish(&desired(1, round), now()).await.unwrap();
        let domain = name(ZONE);
        let own = target(1);
        let weight_of_two = desired(2, round + 1);
        let (withdrawn, published) = tokio::join!(
            one.withdraw(Desired::SERVICE, &domain, &own, false, now()),
            two.publish(&weight_of_two, now())
        );
        withdrawn.unwrap();
        published.unwrap();
        let standing: BTreeSet<String> = named.standing().await.iter().map(|record| record.srv.to_string()).collect();
        let expected = [format!("0 {} 1688 {}", round + 1, target(2)), format!("0 10 1688 {}", target(3))];
        assert_eq!(standing, BTreeSet::from(expected), "round {round}");
    }
}

#[tokio::test]
async fn while_the_weight_changes_old_and_new_never_stand_together() {
    let named = Named::start("").await;
    let publisher = named.publisher(1);
    publisher.publish(&desired(1, 0), now()).await.unwrap();
    let changes = async {
        for weight in 1..=40 {
            publisher.publish(&desired(1, weight), now()).await.unwrap();
        }
    };
    let mut changes = std::pin::pin!(changes);
    let mut seen = BTreeSet::new();
    loop {
        tokio::select! {
            () = &mut changes => break,
            standing = named.standing() => {
                assert_eq!(standing.len(), 1, "{standing:?}");
                seen.insert(standing[0].srv.weight);
            }
        }
    }
    assert_eq!(named.standing().await[0].srv.weight, 40);
    assert!(seen.len() > 5, "looked too seldom: {seen:?}");
}

#[tokio::test]
async fn every_node_publishes_the_publish_list_with_the_priority_of_each_domain() {
    let named = Named::start("").await;
    let mut publisher = named.publisher(1);
    publisher.neighbours = Neighbours::default();
    let other = Domain { name: name("site.example.test"), priority: 5, weight: 7 };
    let wanted = Desired { domain: other, addresses: Vec::new(), ..desired(1, 60) };
    // The documented policy names one domain: an update of another one is refused, and the error names it.
    let error = publisher.publish(&wanted, now()).await.unwrap_err();
    assert!(error.to_string().contains("_vlmcs._tcp.site.example.test."), "{error}");
    assert_eq!(error.code(), 0x8007_232D);
}

#[test]
fn named_checkzone_accepts_the_lines_for_a_zone_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zone");
    let lines = zone_lines(&[desired(1, 60), desired(2, 30)]).unwrap();
    std::fs::write(&file, zone_text(&lines)).unwrap();
    let output =
        Command::new("named-checkzone").arg(ZONE).arg(&file).output().expect("named-checkzone (Debian: bind9)");
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn unsigned_updates_are_made_only_where_the_server_takes_them() {
    let named = Named::start("").await;
    let error = named.publisher_with(Credentials::Unsigned).publish(&desired(1, 60), now()).await.unwrap_err();
    assert!(matches!(error, PublishError::Refused { .. }), "{error}");
}

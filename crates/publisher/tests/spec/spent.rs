//! A node key that lost its activation slot receives no certificate, and the next catalog blocks its certificates
//! (R31).

use std::collections::BTreeSet;

use activation::catalog::SignedCatalog;
use activation::host_activation::{ActivationRequests, HostActivationRequest, ReleaseStatement};
use activation::id::{CertificateId, MachineDigest};
use activation::key::TypedKey;
use publisher::{ActivateError, KeyLimits, Reason};

use crate::world::{World, asked, example_with, node_key, request, run, sign};

const R31: KeyLimits = KeyLimits { hosts: 6, reactivations: 9 };
const SPENT: Reason = Reason::NodeKeySpent { node: 1 };

/// The certificates that the requests received.
fn certify(world: &World, requests: impl IntoIterator<Item = HostActivationRequest>) -> BTreeSet<CertificateId> {
    world.activate(requests).unwrap().answers.iter().map(|answer| answer.certificate.id()).collect()
}

/// Host 1 of the key gives its slot back.
fn release(world: &World, key: &TypedKey) {
    let statement = ReleaseStatement::sign(world.publisher.trust().publisher, key.key_id(), 1, &node_key(1));
    run(world.publisher.activate(&ActivationRequests { requests: Vec::new(), releases: vec![statement] })).unwrap();
}

fn free(world: &World, key: &TypedKey) {
    run(world.publisher.free(key.key_id(), MachineDigest([1; 8]))).unwrap();
}

/// The certificates that a catalog blocks if it is signed now.
fn blocked(world: &World) -> BTreeSet<CertificateId> {
    let signed = world.publisher.sign_catalog(&example_with("serial = 1", "serial = 2"), None).unwrap();
    SignedCatalog::open(signed.bytes()).unwrap().catalog.blocked_certificates().clone()
}

#[test]
fn r31_neither_an_earlier_request_nor_a_new_one_of_a_released_or_freed_node_key_is_answered() {
    for lose in [release, free] {
        let world = World::with_catalog();
        let key = world.key(R31);
        world.activate([request(&key, 1, 1), request(&key, 2, 1), request(&key, 3, 1)]).unwrap();
        lose(&world, &key);
        let world = world.reopened();
        for attempt in [1, 2] {
            assert_eq!(world.refusals([request(&key, 1, attempt)]), [(1, SPENT)], "request {attempt}");
        }
        let nodes: Vec<_> = world.hosts(&key).iter().map(|host| host.node).collect();
        assert_eq!(nodes, [2, 3], "2 of 6 slots are used");

        let error = world.activate([request(&key, 1, 1)]).unwrap_err();
        assert!(matches!(&error, ActivateError::Refused(_)));
        assert!(error.to_string().contains("quorate key activate --new-key --node 1"), "{error}");

        // With a new key the node is the same host again and uses a slot.
        world.activate([sign(asked(&key, 1, 3), &node_key(11))]).unwrap();
        assert_eq!(world.hosts(&key).last().unwrap().reactivations, 1);
        assert_eq!(world.refusals([request(&key, 1, 1)]), [(1, SPENT)], "also once its host is back");
        assert_eq!(world.refusals([request(&key, 1, 4)]), [(1, SPENT)]);
    }
}

#[test]
fn r31_a_node_key_whose_slot_another_one_of_the_same_host_took_over_is_spent() {
    let world = World::with_catalog();
    let key = world.key(R31);
    world.activate([request(&key, 1, 1)]).unwrap();
    world.activate([sign(asked(&key, 1, 2), &node_key(11))]).unwrap();
    for attempt in [1, 3] {
        assert_eq!(world.refusals([request(&key, 1, attempt)]), [(1, SPENT)], "request {attempt}");
    }
    assert_eq!(world.hosts(&key).len(), 1);
}

#[test]
fn r31_the_next_catalog_blocks_every_certificate_without_a_slot_and_no_other() {
    let world = World::with_catalog();
    let [key, replaced] = [world.key(R31), world.key(R31)];
    let mut expected = certify(&world, [request(&key, 1, 1)]);
    // Another platform: another certificate for the same node key, within the same minute.
    let mut again = asked(&key, 1, 2);
    again.platform = "server-datacenter".parse().unwrap();
    expected.extend(certify(&world, [sign(again, &node_key(1))]));
    certify(&world, [request(&key, 2, 1)]);
    expected.extend(certify(&world, [request(&replaced, 3, 1)]));
    certify(&world, [sign(asked(&replaced, 3, 2), &node_key(13))]);
    assert_eq!(expected.len(), 3);
    release(&world, &key);
    assert_eq!(blocked(&world.reopened()), expected);
}

#[test]
fn r31_a_freed_certificate_is_blocked_and_one_of_a_blocked_key_takes_no_room_of_its_own() {
    let world = World::with_catalog();
    let [freed, blocked_key] = [world.key(R31), world.key(R31)];
    let expected = certify(&world, [request(&freed, 1, 1)]);
    certify(&world, [sign(asked(&blocked_key, 1, 2), &node_key(1))]);
    free(&world, &freed);
    free(&world, &blocked_key);
    run(world.publisher.block(blocked_key.key_id())).unwrap();
    assert_eq!(blocked(&world), expected);
}

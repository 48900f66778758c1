//! Activation slots that pass to another host, and hosts that stay the same although machine, node and key changed
//! (R31).

use activation::host_activation::{
    ActivationAnswers, ActivationRequests, HostActivationRequest, KeyStanding, ReleaseStatement, SignedAnswers,
};
use activation::id::{KeyId, MachineDigest, PublisherId};
use activation::key::TypedKey;
use publisher::{ActivateError, KeyLimits, Reason};

use crate::world::{World, asked, node_key, request, run};

const R31: KeyLimits = KeyLimits { hosts: 6, reactivations: 9 };

#[test]
fn r31_a_changed_machine_that_proves_its_earlier_key_keeps_its_slot() {
    let world = World::with_catalog();
    let key = world.key(KeyLimits { hosts: 1, reactivations: 1 });
    world.activate([request(&key, 1, 1)]).unwrap();
    // Another machine and another node key: only the earlier key shows that it is the same host.
    let changed = |attempt, previous: u8| {
        let mut asked = asked(&key, 2, attempt);
        asked.node = 1;
        HostActivationRequest::sign(asked, &node_key(2), Some(&node_key(previous)))
    };
    assert_eq!(
        world.refusals([changed(1, 9)]),
        [(1, Reason::HostsUsedUp { limit: 1 })],
        "a key without an activation slot"
    );
    let answers = world.activate([changed(2, 1)]).unwrap();
    assert_eq!(answers.answers[0].reactivations_left, 0);
    let [host] = <[_; 1]>::try_from(world.hosts(&key)).unwrap();
    assert_eq!((host.machine, host.reactivations), (MachineDigest([2; 8]), 1));
    assert_eq!(host.node_key, node_key(2).verifying_key().to_bytes());
    // A retry of the lost answer uses no reactivation; another change is one too many.
    assert_eq!(world.activate([changed(2, 1)]).unwrap().answers, answers.answers);
    assert_eq!(world.refusals([changed(3, 2)]), [(1, Reason::ReactivationsUsedUp { limit: 1 })]);
}

/// The release statement of a node, as the publisher receives it.
fn release(world: &World, key: &TypedKey, host: u8) -> ReleaseStatement {
    ReleaseStatement::sign(world.publisher.trust().publisher, key.key_id(), host.into(), &node_key(host))
}

fn exchange(
    world: &World,
    releases: Vec<ReleaseStatement>,
    requests: Vec<HostActivationRequest>,
) -> Result<ActivationAnswers, Vec<Reason>> {
    match run(world.publisher.activate(&ActivationRequests { requests, releases })) {
        Ok(signed) => {
            signed.verify(&world.publisher.trust().activation_keys).unwrap();
            // Encoded answers decode.
            Ok(SignedAnswers::decode(&signed.encode()).unwrap().answers().clone())
        }
        Err(ActivateError::Refused(refusals)) => Err(refusals.0.into_iter().map(|refusal| refusal.reason).collect()),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn r31_a_released_slot_is_used_again_also_by_a_request_of_the_same_file() {
    let world = World::with_catalog();
    let key = world.key(KeyLimits { hosts: 2, reactivations: 9 });
    world.activate([request(&key, 1, 1), request(&key, 2, 1)]).unwrap();
    assert_eq!(world.refusals([request(&key, 3, 1)]), [(3, Reason::HostsUsedUp { limit: 2 })]);

    let answers = exchange(&world, vec![release(&world, &key, 1)], vec![request(&key, 3, 1)]).unwrap();
    let node_1 = node_key(1).verifying_key().to_bytes();
    assert_eq!(answers.released, [(key.key_id(), node_1)]);
    assert_eq!(answers.standings, [KeyStanding { key: key.key_id(), hosts_limit: 2, hosts_used: 2 }]);
    let machines: Vec<_> = world.hosts(&key).iter().map(|host| host.machine.0[0]).collect();
    assert_eq!(machines, [2, 3]);

    // A repeated statement is valid and frees no other host's activation slot.
    let again = exchange(&world, vec![release(&world, &key, 1)], Vec::new()).unwrap();
    assert_eq!((again.released, again.standings[0].hosts_used), (vec![(key.key_id(), node_1)], 2));
    let freed = exchange(&world, vec![release(&world, &key, 2)], Vec::new()).unwrap();
    assert_eq!(freed.standings[0].hosts_used, 1);
    world.reopened().activate([request(&key, 4, 1)]).unwrap();
}

#[test]
fn a_release_that_the_node_did_not_sign_for_this_publisher_frees_nothing() {
    let world = World::with_catalog();
    let key = world.key(KeyLimits { hosts: 1, reactivations: 9 });
    world.activate([request(&key, 1, 1)]).unwrap();
    let mut altered = release(&world, &key, 2);
    altered.node_key = node_key(1).verifying_key().to_bytes();
    let foreign = ReleaseStatement::sign(PublisherId([7; 16]), key.key_id(), 1, &node_key(1));
    let unknown = ReleaseStatement::sign(world.publisher.trust().publisher, KeyId([7; 8]), 1, &node_key(1));
    let cases = [(altered, Reason::ReleaseSignature), (foreign, Reason::OtherPublisher), (unknown, Reason::UnknownKey)];
    for (statement, reason) in cases {
        let sound = release(&world, &key, 1);
        assert_eq!(exchange(&world, vec![sound, statement], Vec::new()), Err(vec![reason]), "all of it or nothing");
        assert_eq!(world.hosts(&key).len(), 1);
    }
}

#[test]
fn a_blocked_key_still_accepts_released_slots() {
    let world = World::with_catalog();
    let key = world.key(R31);
    world.activate([request(&key, 1, 1)]).unwrap();
    run(world.publisher.block(key.key_id())).unwrap();
    exchange(&world, vec![release(&world, &key, 1)], Vec::new()).unwrap();
    assert_eq!(world.hosts(&key), []);
}

#[test]
fn the_answer_says_what_is_left_of_every_key_that_was_named() {
    let world = World::with_catalog();
    let [one, two] = [world.key(R31), world.key(KeyLimits { hosts: 3, reactivations: 2 })];
    world.activate([request(&one, 1, 1), request(&one, 2, 1)]).unwrap();
    let answers = world.activate([request(&one, 1, 2), request(&two, 3, 3)]).unwrap();
    let left: Vec<_> = answers.answers.iter().map(|answer| (answer.node, answer.reactivations_left)).collect();
    assert_eq!(left, [(1, 8), (3, 2)]);
    let mut expected = [(one.key_id(), 6, 2), (two.key_id(), 3, 1)];
    expected.sort_unstable();
    let standings = answers.standings.iter().map(|standing| (standing.key, standing.hosts_limit, standing.hosts_used));
    assert_eq!(standings.collect::<Vec<_>>(), expected);
}

//! Issued keys: shown, extended, blocked, and activation slots freed (R31); direct keys (R24).

use activation::id::{KeyId, MachineDigest};
use activation::key::KeyKind;
use publisher::limits::{FORMER_HOSTS_MAX, HOSTS_MAX};
use publisher::{ChangeError, IssueError, KeyLimits, Reason};

use crate::world::{World, asked, node_key, request, run, sign};

const ONE: KeyLimits = KeyLimits { hosts: 1, reactivations: 1 };

#[test]
fn r31_an_extended_key_gives_what_it_refused_before() {
    let world = World::with_catalog();
    let key = world.key(ONE);
    let id = key.key_id();
    world.activate([request(&key, 1, 1)]).unwrap();
    world.activate([request(&key, 1, 2)]).unwrap();
    assert_eq!(world.refusals([request(&key, 2, 1)]), [(2, Reason::HostsUsedUp { limit: 1 })]);
    assert_eq!(world.refusals([request(&key, 1, 3)]), [(1, Reason::ReactivationsUsedUp { limit: 1 })]);

    let extended = run(world.publisher.extend(id, Some(2), None)).unwrap();
    assert_eq!(extended.limits, KeyLimits { hosts: 2, reactivations: 1 });
    world.activate([request(&key, 2, 1)]).unwrap();
    assert_eq!(world.refusals([request(&key, 1, 3)]).len(), 1, "reactivations were not extended");
    run(world.publisher.extend(id, None, Some(2))).unwrap();
    let world = world.reopened();
    assert_eq!(world.on_record(&key).limits, KeyLimits { hosts: 2, reactivations: 2 });
    world.activate([request(&key, 1, 3)]).unwrap();
}

#[test]
fn a_key_is_extended_within_bounds_and_never_cut() {
    let world = World::with_catalog();
    let key = world.key(KeyLimits { hosts: 6, reactivations: 9 });
    let extend = |hosts, reactivations| run(world.publisher.extend(key.key_id(), hosts, reactivations));
    for (hosts, reactivations) in [(Some(5), None), (None, Some(8)), (Some(0), None), (Some(7), Some(0))] {
        assert!(matches!(extend(hosts, reactivations), Err(ChangeError::Cut { .. })), "{hosts:?} {reactivations:?}");
    }
    for (hosts, reactivations) in [(Some(HOSTS_MAX + 1), None), (None, Some(1001)), (Some(u32::MAX), None)] {
        assert!(matches!(extend(hosts, reactivations), Err(ChangeError::Limits)), "{hosts:?} {reactivations:?}");
    }
    assert_eq!(world.on_record(&key).limits, KeyLimits { hosts: 6, reactivations: 9 });
    extend(Some(6), Some(9)).expect("as it is");
}

#[test]
fn r31_the_slot_of_a_dead_host_is_freed_and_used_again() {
    let world = World::with_catalog();
    let key = world.key(ONE);
    let free = |machine| run(world.publisher.free(key.key_id(), MachineDigest([machine; 8])));
    world.activate([request(&key, 1, 1)]).unwrap();
    assert!(matches!(free(2), Err(ChangeError::UnknownHost { .. })));
    assert_eq!(free(1).unwrap().hosts, []);
    assert!(matches!(free(1), Err(ChangeError::UnknownHost { .. })), "freed once");
    world.activate([request(&key, 2, 1)]).unwrap();
    let back = sign(asked(&key, 1, 2), &node_key(11));
    assert_eq!(world.refusals([back]), [(1, Reason::HostsUsedUp { limit: 1 })]);
}

#[test]
fn r31_a_host_that_lost_its_slot_returns_with_its_spent_reactivations() {
    let world = World::with_catalog();
    let key = world.key(KeyLimits { hosts: 2, reactivations: 2 });
    let free = || run(world.publisher.free(key.key_id(), MachineDigest([1; 8]))).unwrap();
    let ask = |attempt, node_key_number| sign(asked(&key, 1, attempt), &node_key(node_key_number));
    world.activate([ask(1, 1)]).unwrap();
    free();
    world.activate([ask(2, 11)]).unwrap();
    assert_eq!(world.on_record(&key).former_hosts, []);
    world.activate([ask(3, 11)]).unwrap();
    free();
    let world = world.reopened();
    assert_eq!(world.refusals([ask(4, 12)]), [(1, Reason::ReactivationsUsedUp { limit: 2 })]);
    assert_eq!(world.on_record(&key).former_hosts[0].reactivations, 2);
    world.activate([request(&key, 2, 1)]).expect("others are not held up by it");
}

#[test]
fn the_largest_key_with_all_its_former_hosts_fits_its_record() {
    let world = World::with_catalog();
    let key = world.key(KeyLimits { hosts: 500, reactivations: 1000 });
    let ask = |number: u32| {
        let mut asked = asked(&key, 1, 1);
        asked.node = 65_535;
        asked.request_id[..4].copy_from_slice(&number.to_be_bytes());
        asked.machine.0[..4].copy_from_slice(&number.to_be_bytes());
        let mut seed = [1; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        sign(asked, &activation::SigningKey::from_bytes(&seed))
    };
    let activate = |numbers: std::ops::Range<u32>| {
        for number in numbers.step_by(50) {
            world.activate((number..number + 50).map(ask)).unwrap();
        }
    };
    activate(0..500);
    for host in world.hosts(&key) {
        run(world.publisher.free(key.key_id(), host.machine)).unwrap();
    }
    activate(500..1000);
    let full = world.on_record(&key);
    assert_eq!((full.hosts.len(), full.former_hosts.len()), (500, FORMER_HOSTS_MAX as usize));
    // Another former host displaces the oldest.
    run(world.publisher.free(key.key_id(), full.hosts[0].machine)).unwrap();
    world.activate([ask(1000)]).unwrap();
    let after = world.on_record(&key).former_hosts;
    assert_eq!((after.len(), &after[0]), (FORMER_HOSTS_MAX as usize, &full.former_hosts[1]));
}

#[test]
fn a_blocked_key_is_refused_at_once_and_also_after_a_restart() {
    let world = World::with_catalog();
    let [blocked, good] = [ONE, ONE].map(|limits| world.key(limits));
    assert!(run(world.publisher.block(blocked.key_id())).unwrap().blocked);
    assert_eq!(world.refusals([request(&blocked, 1, 1)]), [(1, Reason::KeyBlocked)]);
    world.activate([request(&good, 1, 1)]).unwrap();
    let world = world.reopened();
    assert_eq!(world.refusals([request(&blocked, 1, 1)]), [(1, Reason::KeyBlocked)]);
    assert_eq!(Reason::KeyBlocked.status().to_string(), "0xC004F051");
}

#[test]
fn a_key_that_was_never_issued_is_not_changed() {
    let world = World::with_catalog();
    let id = KeyId([7; 8]);
    let unknown = |outcome| matches!(outcome, Err(ChangeError::UnknownKey { .. }));
    assert!(unknown(world.publisher.key(id)));
    assert!(unknown(run(world.publisher.block(id))));
    assert!(unknown(run(world.publisher.extend(id, Some(9), None))));
    assert!(unknown(run(world.publisher.free(id, MachineDigest([1; 8])))));
    assert!(matches!(world.publisher.direct_key(id), Err(ChangeError::UnknownKey { .. })));
    assert!(matches!(run(world.publisher.block_direct(id)), Err(ChangeError::UnknownKey { .. })));
    assert_eq!(world.publisher.keys().unwrap(), []);
}

#[test]
fn r24_direct_keys_are_issued_for_products_of_the_catalog_within_bounds() {
    let world = World::with_catalog();
    let issue = |product: &str, activations| run(world.publisher.issue_direct_key(product, activations));
    assert!(matches!(issue("toaster", 5), Err(IssueError::UnknownProduct { .. })));
    for activations in [0, 1_000_001] {
        assert!(matches!(issue("suite-standard-1", activations), Err(IssueError::DirectLimit)));
    }
    let issued = issue("suite-standard-1", 5).unwrap();
    assert_eq!((issued.key.kind(), issued.activations, issued.used), (KeyKind::Direct, 5, 0));
    let blocked = run(world.publisher.block_direct(issued.key.key_id())).unwrap();
    let world = world.reopened();
    assert_eq!(world.publisher.direct_keys().unwrap(), [publisher::DirectKey { blocked: true, ..issued }]);
    assert_eq!(world.publisher.direct_key(blocked.key.key_id()).unwrap(), blocked);
}

//! Direct activation (R24): one machine, one direct key, no host.

use std::sync::Arc;

use activation::direct::{DirectCertificate, DirectRequest};
use activation::id::{Cmid, MachineDigest, ProductId};
use activation::key::{KeyKind, TypedKey};
use activation::status::Status;
use publisher::{DirectError, DirectReason, KeyLimits};

use crate::world::{World, example_with, run};

const PRODUCT: &str = "suite-standard-1";

fn key(world: &World, activations: u32) -> TypedKey {
    run(world.publisher.issue_direct_key(PRODUCT, activations)).unwrap().key
}

fn request(world: &World, key: &TypedKey, machine: u8, cmid: u8) -> DirectRequest {
    DirectRequest {
        request_id: [machine ^ cmid; 16],
        key: *key,
        product: ProductId::derive(world.publisher.trust().publisher, PRODUCT),
        cmid: Cmid([cmid; 16]),
        machine: MachineDigest([machine; 8]),
    }
}

fn ask(world: &World, request: &DirectRequest) -> Result<DirectCertificate, DirectReason> {
    match run(world.publisher.activate_directly(request)) {
        Ok(certificate) => Ok(certificate),
        Err(DirectError::Refused(reason)) => Err(reason),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn r24_a_direct_key_activates_as_many_machines_as_it_was_issued_for() {
    let world = World::with_catalog();
    let key = key(&world, 2);
    let first = ask(&world, &request(&world, &key, 1, 1)).unwrap();
    first.verify(&world.publisher.trust().activation_keys).unwrap();
    let asked = request(&world, &key, 1, 1);
    assert!(first.is_for(asked.product, asked.cmid, asked.machine));
    ask(&world, &request(&world, &key, 2, 2)).unwrap();
    let refused = ask(&world, &request(&world, &key, 3, 3)).unwrap_err();
    assert_eq!((refused.clone(), refused.status()), (DirectReason::UsedUp { limit: 2 }, Status::KEY_LIMIT_REACHED));

    // The same machine again, also with another request id, after all activations are used, and after a restart.
    let world = world.reopened();
    let again = DirectRequest { request_id: [9; 16], ..request(&world, &key, 1, 1) };
    assert_eq!(ask(&world, &again), Ok(first));
    assert_eq!(world.publisher.direct_key(key.key_id()).unwrap().used, 2);
}

#[test]
fn a_machine_is_known_by_its_identity_and_its_cmid_together() {
    let world = World::with_catalog();
    let key = key(&world, 9);
    for (machine, cmid) in [(1, 1), (1, 2), (2, 1), (1, 1), (2, 1)] {
        ask(&world, &request(&world, &key, machine, cmid)).unwrap();
    }
    assert_eq!(world.publisher.direct_key(key.key_id()).unwrap().used, 3);
}

#[test]
fn r24_what_gives_nothing_is_refused_with_the_code_that_administrators_know() {
    let world = World::with_catalog();
    let [good, blocked, by_catalog] = [key(&world, 9), key(&world, 9), key(&world, 9)];
    run(world.publisher.block_direct(blocked.key_id())).unwrap();
    let newer = example_with("serial = 1", "serial = 2");
    let newer = newer.replacen("\nkeys = []", &format!("\nkeys = [\"{}\"]", by_catalog.key_id()), 1);
    world.publisher.sign_catalog(&newer, None).unwrap();
    let host_key = world.key(KeyLimits::default());
    let never_issued = TypedKey::generate(KeyKind::Direct, 3, [9; 16]);
    let other_product = DirectRequest { product: ProductId([1; 16]), ..request(&world, &good, 1, 1) };
    let cases = [
        (request(&world, &host_key, 1, 1), DirectReason::WrongKind(KeyKind::Host), Status::KEY_INVALID),
        (request(&world, &never_issued, 1, 1), DirectReason::UnknownKey, Status::KEY_INVALID),
        (request(&world, &blocked, 1, 1), DirectReason::KeyBlocked, Status::KEY_BLOCKED),
        (request(&world, &by_catalog, 1, 1), DirectReason::KeyBlocked, Status::KEY_BLOCKED),
        (other_product, DirectReason::OtherProduct(PRODUCT.parse().unwrap()), Status::KEY_DOES_NOT_COVER_PRODUCT),
    ];
    for (request, reason, status) in cases {
        assert_eq!(reason.status(), status);
        assert_eq!(ask(&world, &request), Err(reason));
    }
    assert_eq!(world.publisher.direct_key(good.key_id()).unwrap().used, 0);
}

#[test]
fn of_many_concurrent_direct_activations_as_many_are_given_as_there_are() {
    let world = World::with_catalog();
    let key = key(&world, 5);
    let requests: Vec<_> = (1..=40).map(|number| request(&world, &key, number, number)).collect();
    let World { _temporary, publisher, .. } = world;
    let publisher = Arc::new(publisher);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let given = runtime.block_on(async {
        let ask = |request: DirectRequest| {
            let publisher = Arc::clone(&publisher);
            tokio::spawn(async move { publisher.activate_directly(&request).await })
        };
        let asking: Vec<_> = requests.into_iter().map(ask).collect();
        let mut given = 0;
        for outcome in asking {
            given += usize::from(outcome.await.unwrap().is_ok());
        }
        given
    });
    assert_eq!((given, publisher.direct_key(key.key_id()).unwrap().used), (5, 5));
}

//! What a key grants, to which nodes, and how often (R30, R31, R34).

use std::sync::Arc;

use activation::host_activation::ActivationRequests;
use activation::id::MachineDigest;
use activation::key::{KeyKind, TypedKey};
use activation::status::Status;
use publisher::limits::HOSTS_MAX;
use publisher::{ActivateError, KeyLimits, Reason};

use crate::world::{STANDARD, World, asked, example_with, file, node_key, request, sign};

const R31: KeyLimits = KeyLimits { hosts: 6, reactivations: 9 };

#[test]
fn r31_is_the_default() {
    assert_eq!(KeyLimits::default(), R31);
}

#[test]
fn r30_each_member_gets_one_certificate_of_the_keys_group_for_its_own_node_key() {
    let world = World::with_catalog();
    let key = world.key(R31);
    let requests = file((1..=3).map(|host| request(&key, host, 1)));
    // Encoded and decoded as files, which is how they are sent.
    let requests = ActivationRequests::decode(&requests.encode()).unwrap();
    let answers = world.activate(requests.requests.clone()).unwrap();
    let trust = world.publisher.trust();
    assert_eq!(answers.publisher, trust.publisher);
    assert_eq!(answers.answers.len(), 3);
    for (request, answer) in requests.requests.iter().zip(&answers.answers) {
        let certificate = &answer.certificate;
        assert_eq!((answer.request_id, answer.node), (request.asked().request_id, request.asked().node));
        assert_eq!((certificate.publisher, certificate.key), (trust.publisher, key.key_id()));
        assert_eq!((certificate.group, certificate.platform), (3, 4), "server-b on standard-and-enterprise");
        assert_eq!(&certificate.node_key, request.node_key());
        certificate.verify(&trust.activation_keys).unwrap();
    }
}

#[test]
fn r31_a_key_activates_six_hosts_and_the_seventh_is_refused() {
    let world = World::with_catalog();
    let key = world.key(R31);
    for host in 1..=6 {
        world.activate([request(&key, host, 1)]).unwrap();
    }
    assert_eq!(world.refusals([request(&key, 7, 1)]), [(7, Reason::HostsUsedUp { limit: 6 })]);
    assert_eq!(world.hosts(&key).len(), 6);
    let other = world.key(R31);
    world.activate([request(&other, 7, 2)]).unwrap();
}

#[test]
fn r31_a_host_is_activated_nine_more_times_and_the_tenth_is_refused() {
    let world = World::with_catalog();
    let key = world.key(R31);
    for attempt in 1..=10 {
        world.activate([request(&key, 1, attempt)]).unwrap();
    }
    let host = &world.hosts(&key)[0];
    assert_eq!((world.hosts(&key).len(), host.reactivations), (1, 9));
    assert_eq!(world.refusals([request(&key, 1, 11)]), [(1, Reason::ReactivationsUsedUp { limit: 9 })]);
    // The other activation slots are not affected.
    world.activate([request(&key, 2, 1)]).unwrap();
}

#[test]
fn a_host_is_the_same_with_a_new_node_key_or_on_new_hardware_but_not_with_both() {
    let world = World::with_catalog();
    let key = world.key(R31);
    let ask = |attempt, machine, node_key_number| {
        let mut asked = asked(&key, 1, attempt);
        asked.machine = MachineDigest([machine; 8]);
        world.activate([sign(asked, &node_key(node_key_number))]).unwrap();
        world.hosts(&key).iter().map(|host| (host.machine.0[0], host.reactivations)).collect::<Vec<_>>()
    };
    assert_eq!(ask(1, 10, 1), [(10, 0)]);
    assert_eq!(ask(2, 10, 2), [(10, 1)], "a new node key on the same machine");
    assert_eq!(ask(3, 11, 2), [(11, 2)], "the same node key on new hardware");
    assert_eq!(ask(4, 12, 3), [(11, 2), (12, 0)], "a new node key on another machine");
}

#[test]
fn the_same_request_gets_the_same_certificate_and_spends_nothing() {
    let world = World::with_catalog();
    let key = world.key(KeyLimits { hosts: 1, reactivations: 0 });
    let first = world.activate([request(&key, 1, 1)]).unwrap();
    let world = world.reopened();
    for _ in 0..3 {
        assert_eq!(world.activate([request(&key, 1, 1)]).unwrap().answers[0].certificate, first.answers[0].certificate);
    }
    assert_eq!(world.hosts(&key)[0].reactivations, 0);
    let in_one_file = world.activate([request(&key, 1, 1), request(&key, 1, 1)]).unwrap();
    assert_eq!(in_one_file.answers, [first.answers.clone(), first.answers].concat());
}

#[test]
fn a_retry_is_answered_also_after_the_key_was_used_up_by_others() {
    let world = World::with_catalog();
    let key = world.key(KeyLimits { hosts: 1, reactivations: 1 });
    let first = world.activate([request(&key, 1, 1)]).unwrap();
    world.activate([request(&key, 1, 2)]).unwrap();
    assert_eq!(world.refusals([request(&key, 1, 3)]).len(), 1);
    assert_eq!(world.activate([request(&key, 1, 1)]).unwrap().answers[0].certificate, first.answers[0].certificate);
}

#[test]
fn a_request_id_belongs_to_one_request() {
    let world = World::with_catalog();
    let key = world.key(R31);
    world.activate([request(&key, 1, 1)]).unwrap();
    let mut other = asked(&key, 2, 1);
    other.request_id = asked(&key, 1, 1).request_id;
    let other = sign(other, &node_key(2));
    assert_eq!(world.refusals([other]), [(2, Reason::RequestIdReused)]);
}

#[test]
fn a_file_with_a_refusal_spends_nothing_and_its_error_names_every_refused_node() {
    let world = World::with_catalog();
    let key = world.key(KeyLimits { hosts: 2, reactivations: 9 });
    let before = world.on_record(&key);
    let requests = || (1..=4).map(|host| request(&key, host, 1));
    let error = world.activate(requests()).unwrap_err().to_string();
    assert_eq!(
        error,
        "no host was activated: node 3: 0xC004C008 the limit of 2 hosts of this key is reached; \
         node 4: 0xC004C008 the limit of 2 hosts of this key is reached"
    );
    assert_eq!(world.on_record(&key), before);
    world.activate(requests().take(2)).unwrap();
}

#[test]
fn r34_a_key_is_activated_only_on_platforms_that_may_hold_its_group() {
    let world = World::with_catalog();
    let key = world.key(R31);
    let group = || "server-b".parse().unwrap();
    let platform = |name: &str| Reason::Platform { platform: name.parse().unwrap(), group: group() };
    let cases = [
        ("workstation", Some(platform("workstation"))),
        ("server-web-and-compute", Some(platform("server-web-and-compute"))),
        (STANDARD, None),
        ("server-datacenter", None),
        ("server-1-with-add-on", None),
        ("toaster", Some(Reason::UnknownPlatform("toaster".parse().unwrap()))),
    ];
    for (number, (name, refused)) in (1..).zip(cases) {
        let mut asked = asked(&key, number, 1);
        asked.platform = name.parse().unwrap();
        let request = sign(asked, &node_key(number));
        match refused {
            None => drop(world.activate([request]).unwrap()),
            Some(reason) => assert_eq!(world.refusals([request]), [(number.into(), reason)], "{name}"),
        }
    }
    assert_eq!(world.hosts(&key).len(), 3);
}

#[test]
fn keys_that_give_nothing_are_refused_with_the_code_that_administrators_know() {
    let world = World::with_catalog();
    let [blocked, good] = [world.key(R31), world.key(R31)];
    let newer = example_with("serial = 1", "serial = 2");
    assert!(newer.contains("\nkeys = []"), "the example blocks something already");
    let blocking = newer.replacen("\nkeys = []", &format!("\nkeys = [\"{}\"]", blocked.key_id()), 1);
    world.publisher.sign_catalog(&blocking, None).unwrap();
    let never_issued = TypedKey::generate(KeyKind::Host, 3, [9; 16]);
    let setup = TypedKey::generate(KeyKind::Setup, 3, [9; 16]);
    let cases = [
        (never_issued, Reason::UnknownKey, Status::KEY_INVALID),
        (setup, Reason::WrongKind(KeyKind::Setup), Status::KEY_INVALID),
        (blocked, Reason::KeyBlocked, Status::KEY_BLOCKED),
    ];
    for (key, reason, status) in cases {
        assert_eq!(reason.status(), status);
        assert_eq!(world.refusals([request(&key, 1, 1)]), [(1, reason)]);
    }
    world.activate([request(&good, 1, 1)]).unwrap();
}

#[test]
fn a_request_that_its_node_did_not_sign_is_refused() {
    let world = World::with_catalog();
    let key = world.key(R31);
    let bytes = file([request(&key, 1, 1)]).encode();
    let mut forged = bytes.clone();
    *forged.last_mut().unwrap() ^= 1;
    let forged = ActivationRequests::decode(&forged).unwrap();
    assert_eq!(world.refusals(forged.requests), [(1, Reason::Signature)]);
    assert_eq!(world.hosts(&key), []);
}

#[test]
fn without_a_catalog_nothing_is_activated() {
    let key = TypedKey::generate(KeyKind::Host, 3, [1; 16]);
    assert!(matches!(World::new().activate([request(&key, 1, 1)]), Err(ActivateError::NoCatalog)));
}

#[test]
fn of_many_concurrent_activations_as_many_succeed_as_there_are_slots() {
    let world = World::with_catalog();
    let key = world.key(R31);
    let World { _temporary, publisher, .. } = world;
    let publisher = Arc::new(publisher);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let given = runtime.block_on(async {
        let ask = |host: u8| {
            let publisher = Arc::clone(&publisher);
            let requests = file([request(&key, host, 1)]);
            tokio::spawn(async move { publisher.activate(&requests).await })
        };
        let asking: Vec<_> = (1..=40).map(ask).collect();
        let mut given = 0;
        for outcome in asking {
            match outcome.await.unwrap() {
                Ok(_) => given += 1,
                Err(ActivateError::Refused(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        given
    });
    assert_eq!(given, 6);
    assert_eq!(publisher.keys().unwrap()[0].hosts.len(), 6);
}

#[test]
fn a_caller_that_disconnects_uses_no_activation_slot() {
    let world = World::with_catalog();
    let key = world.key(KeyLimits { hosts: 40, reactivations: 0 });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for host in 1..=40 {
        let requests = file([request(&key, host, 1)]);
        // Polled until it first waits, which is for the disk, and then dropped.
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = world.publisher.activate(&requests) => {}
                () = std::future::ready(()) => {}
            }
        });
    }
    // A retry finds the recorded result; no activation slot was granted twice or left without a host.
    for host in 1..=40 {
        world.activate([request(&key, host, 1)]).unwrap();
    }
    let hosts = world.hosts(&key);
    assert_eq!(hosts.len(), 40);
    assert!(hosts.iter().all(|host| host.reactivations == 0));
}

#[test]
fn the_largest_key_fits_its_record() {
    let world = World::with_catalog();
    let key = world.key(KeyLimits { hosts: HOSTS_MAX, reactivations: 1000 });
    let requests = (0..HOSTS_MAX).map(|number| {
        let mut asked = asked(&key, 1, 1);
        asked.node = 65_535;
        asked.request_id[..4].copy_from_slice(&number.to_be_bytes());
        asked.machine.0[..4].copy_from_slice(&number.to_be_bytes());
        let mut seed = [1; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        sign(asked, &activation::SigningKey::from_bytes(&seed))
    });
    world.activate(requests).unwrap();
    assert_eq!(world.hosts(&key).len(), 500);
}

//! The registry: registered keys, and revocations.

use activation::limits::{JOINING_MAX, JOINING_MS, REGISTRATIONS_MAX};
use activation::state::{
    Applied, ClusterAuthority, Command, CommandRefusal, Format, Grant, Holder, Joining, KeyDigest, OpenToken,
    PersonRole, Registration, Revocation, Serial, State, Whom,
};
use proptest::prelude::*;

use super::world::*;

pub(crate) fn serial(number: u8) -> Serial {
    Serial::new(&[0x40, number]).unwrap()
}

pub(crate) fn ada() -> Holder {
    Holder::Person { name: "Ada".into(), role: PersonRole::Administrator }
}

/// A key and its registration with a serial of this number.
pub(crate) fn registered(number: u8, holder: Holder) -> (KeyDigest, Registration) {
    ([number; 32], Registration { holder, serial: serial(number), ends_ms: START_MS + DAY_MS })
}

pub(crate) fn authority(number: u8) -> ClusterAuthority {
    ClusterAuthority { certificate: vec![number; 9].into(), previous: vec![0; 3].into(), since_ms: START_MS }
}

fn register(keys: Vec<(KeyDigest, Registration)>) -> Command {
    Command::Register { keys, renews: false }
}

fn renew(keys: Vec<(KeyDigest, Registration)>) -> Command {
    Command::Register { keys, renews: true }
}

fn revoke(whom: Whom) -> Command {
    Command::Revoke(Revocation { whom, time_ms: START_MS })
}

/// The use of a token by a node, whose key may join as that node.
pub(crate) fn joining(token: u8, key: u8, node: u64, until_ms: u64) -> Command {
    Command::UseToken {
        digest: [token; 32],
        time_ms: START_MS,
        node: Some(node),
        registration: None,
        enrolled: None,
        joining: Some(([key; 32], Joining { node, until_ms })),
    }
}

fn cluster() -> Cluster {
    let mut cluster = Cluster::activated();
    assert_eq!(cluster.apply(&Command::SetFormat { format: Format::NEWEST }), Applied::Done);
    cluster
}

fn survives_a_snapshot(state: &State) {
    let decoded = State::decode_snapshot(&state.encode_snapshot()).unwrap();
    decoded.check_invariants();
    assert_eq!(decoded.hash(), state.hash());
}

#[test]
fn a_key_must_be_registered_as_soon_as_one_of_a_node_is() {
    let mut cluster = cluster();
    cluster.apply(&register(vec![registered(1, ada())]));
    assert!(!cluster.state.registry().is_in_force(), "a person alone is no cluster");
    let before = cluster.state.hash();
    cluster.apply(&register(vec![registered(2, Holder::Node(2))]));
    let registry = cluster.state.registry();
    assert!(registry.is_in_force());
    assert_eq!(registry.get(&[2; 32]).unwrap().holder, Holder::Node(2));
    assert_eq!(registry.get(&[3; 32]), None);
    assert_ne!(cluster.state.hash(), before);
    survives_a_snapshot(&cluster.state);
}

#[test]
fn a_node_has_one_key_and_a_key_one_holder() {
    let mut cluster = cluster();
    cluster.apply(&register(vec![registered(1, Holder::Node(1)), registered(2, ada())]));
    let taken = [registered(3, Holder::Node(3)), registered(2, Holder::Node(4))];
    let why = CommandRefusal::KeyOfAnotherHolder { holder: ada() };
    assert_eq!(cluster.apply(&register(taken.into())), Applied::Refused(why));
    assert_eq!(cluster.state.registry().get(&[3; 32]), None, "all or none");
    cluster.apply(&register(vec![registered(5, Holder::Node(1))]));
    assert_eq!(cluster.state.registry().get(&[1; 32]), None, "another key replaced it");
    assert_eq!(cluster.state.registry().of_node(1).unwrap().0, &[5; 32]);
    // The same key with a renewed certificate.
    let (key, mut renewed) = registered(5, Holder::Node(1));
    (renewed.serial, renewed.ends_ms) = (serial(6), START_MS + 9 * DAY_MS);
    cluster.apply(&register(vec![(key, renewed.clone())]));
    assert_eq!(cluster.state.registry().get(&key), Some(&renewed));
}

#[test]
fn a_renewal_that_comes_after_a_revocation_lets_its_holder_in_no_more() {
    for whom in [Whom::Person("Ada".into()), Whom::Serial(serial(2))] {
        let mut cluster = cluster();
        cluster.apply(&register(vec![registered(1, Holder::Node(1)), registered(2, ada())]));
        let (key, mut renewed) = registered(2, ada());
        (renewed.serial, renewed.ends_ms) = (serial(7), START_MS + 9 * DAY_MS);
        assert_eq!(cluster.apply(&renew(vec![(key, renewed.clone())])), Applied::Done);
        assert_eq!(cluster.state.registry().get(&key), Some(&renewed));
        let whom = if matches!(whom, Whom::Serial(_)) { Whom::Serial(serial(7)) } else { whom };
        cluster.apply(&revoke(whom));
        let before = cluster.state.hash();
        let why = CommandRefusal::KeyNotRegistered { holder: ada() };
        let both = vec![registered(1, Holder::Node(1)), (key, renewed)];
        assert_eq!(cluster.apply(&renew(both)), Applied::Refused(why));
        assert_eq!(cluster.state.hash(), before, "all or none");
        let why = CommandRefusal::KeyOfAnotherHolder { holder: Holder::Node(1) };
        assert_eq!(cluster.apply(&renew(vec![registered(1, ada())])), Applied::Refused(why));
    }
}

#[test]
fn who_is_revoked_takes_part_no_more() {
    for (whom, gone) in [
        (Whom::Node(1), vec![1]),
        (Whom::Serial(serial(2)), vec![2]),
        (Whom::Person("Ada".into()), vec![2, 3]),
        (Whom::Person("Eve".into()), vec![]),
    ] {
        let mut cluster = cluster();
        let keys = vec![registered(1, Holder::Node(1)), registered(2, ada()), registered(3, ada())];
        cluster.apply(&register(keys));
        assert_eq!(cluster.state.registry().knows(&whom), !gone.is_empty());
        assert_eq!(cluster.apply(&revoke(whom.clone())), Applied::Done);
        let registry = cluster.state.registry();
        for number in 1..=3 {
            assert_eq!(registry.get(&[number; 32]).is_none(), gone.contains(&number), "{whom}: {number}");
        }
        assert_eq!(registry.revocations(), [Revocation { whom: whom.clone(), time_ms: START_MS }]);
        survives_a_snapshot(&cluster.state);
        // Revoked again later: the list holds each subject once.
        cluster.apply(&Command::Revoke(Revocation { whom: whom.clone(), time_ms: START_MS + 5 }));
        assert_eq!(cluster.state.registry().revocations(), [Revocation { whom, time_ms: START_MS + 5 }]);
    }
}

#[test]
fn a_token_is_spent_only_where_the_key_of_its_bearer_can_be_registered() {
    let mut cluster = cluster();
    let token = OpenToken { grant: Grant::Reader, expires_ms: START_MS + DAY_MS };
    cluster.apply(&register(vec![registered(1, Holder::Node(1))]));
    cluster.apply(&Command::AddToken { digest: [9; 32], token });
    let reader = Holder::Person { name: "Bob".into(), role: PersonRole::Reader };
    let using = |number| Command::UseToken {
        digest: [9; 32],
        time_ms: START_MS,
        node: None,
        registration: Some(registered(number, reader.clone())),
        enrolled: None,
        joining: None,
    };
    let before = cluster.state.hash();
    let why = CommandRefusal::KeyOfAnotherHolder { holder: Holder::Node(1) };
    assert_eq!(cluster.apply(&using(1)), Applied::Refused(why));
    assert_eq!(cluster.state.hash(), before);
    assert_eq!(cluster.apply(&using(2)), Applied::Done);
    assert_eq!(cluster.state.registry().get(&[2; 32]).unwrap().holder, reader);
    assert_eq!(cluster.apply(&using(3)), Applied::Refused(CommandRefusal::UnknownToken));
    assert_eq!(cluster.state.registry().get(&[3; 32]), None);
}

/// Adds a token for a node and lets the holder of `key` use it.
fn joins(cluster: &mut Cluster, key: u8, node: u64, until_ms: u64) -> Applied {
    let token = OpenToken { grant: Grant::Node, expires_ms: START_MS };
    cluster.apply(&Command::AddToken { digest: [key; 32], token });
    cluster.apply(&joining(key, key, node, until_ms))
}

#[test]
fn a_node_with_a_token_may_add_itself_until_it_has_joined_or_is_revoked() {
    let until_ms = START_MS + JOINING_MS;
    let mut cluster = cluster();
    cluster.apply(&register(vec![registered(1, Holder::Node(1))]));
    assert_eq!(joins(&mut cluster, 4, 4, until_ms), Applied::Done);
    let registry = cluster.state.registry();
    assert_eq!(registry.joining(&[4; 32]), Some(&Joining { node: 4, until_ms }));
    assert_eq!(registry.get(&[4; 32]), None, "its key gives no access");
    survives_a_snapshot(&cluster.state);

    // Registration alone does not end the right: a failed addition is retried.
    cluster.apply(&register(vec![registered(4, Holder::Node(4))]));
    cluster.apply(&revoke(Whom::Serial(serial(4))));
    assert!(cluster.state.registry().joining(&[4; 32]).is_some());
    cluster.apply(&register(vec![registered(4, Holder::Node(4))]));
    assert_eq!(cluster.apply(&renew(vec![registered(4, Holder::Node(4))])), Applied::Done);
    assert_eq!(cluster.state.registry().joining(&[4; 32]), None, "once");

    assert_eq!(joins(&mut cluster, 5, 5, until_ms), Applied::Done);
    cluster.apply(&revoke(Whom::Node(5)));
    assert_eq!(cluster.state.registry().joining(&[5; 32]), None);

    // After another token for the same number the first key may not join.
    for key in [6, 7] {
        assert_eq!(joins(&mut cluster, key, 6, until_ms), Applied::Done);
    }
    let joining: Vec<_> = cluster.state.registry().joining_nodes().map(|(key, _)| key[0]).collect();
    assert_eq!(joining, [7]);
    cluster.apply(&Command::SetFormat { format: Format::new(2).unwrap() });
    assert_eq!(cluster.state.registry().joining_nodes().count(), 0);
}

#[test]
fn nodes_whose_time_to_join_is_over_make_room() {
    let mut cluster = cluster();
    for number in 1..=u8::try_from(JOINING_MAX).unwrap() {
        assert_eq!(joins(&mut cluster, number, number.into(), START_MS + u64::from(number)), Applied::Done);
    }
    let before = cluster.state.registry().clone();
    let full = CommandRefusal::TooMany { what: "nodes that are joining", max: JOINING_MAX };
    assert_eq!(joins(&mut cluster, 200, 200, START_MS + 99), Applied::Refused(full));
    assert_eq!(cluster.state.registry(), &before);
    assert!(cluster.state.open_token(&[200; 32]).is_some(), "the token is not spent");
    let Command::UseToken { digest, node, registration, enrolled, joining, .. } = joining(200, 200, 200, START_MS + 99)
    else {
        unreachable!()
    };
    let token = OpenToken { grant: Grant::Node, expires_ms: START_MS + 5 };
    cluster.apply(&Command::AddToken { digest, token });
    let later = Command::UseToken { digest, time_ms: START_MS + 2, node, registration, enrolled, joining };
    assert_eq!(cluster.apply(&later), Applied::Done);
    assert_eq!(cluster.state.registry().joining(&[1; 32]), None);
    survives_a_snapshot(&cluster.state);
}

#[test]
fn a_node_may_join_only_as_the_node_that_the_token_made_it() {
    let Command::UseToken { digest, time_ms, registration, enrolled, joining, .. } = joining(4, 4, 4, START_MS) else {
        unreachable!()
    };
    for node in [None, Some(5)] {
        let command = Command::UseToken {
            digest,
            time_ms,
            node,
            registration: registration.clone(),
            enrolled: enrolled.clone(),
            joining,
        };
        assert!(Command::decode(&command.encode()).is_err(), "{node:?}");
    }
}

#[test]
fn a_token_that_was_taken_back_is_good_no_more() {
    let mut cluster = cluster();
    let token = OpenToken { grant: Grant::Node, expires_ms: START_MS + DAY_MS };
    cluster.apply(&Command::AddToken { digest: [9; 32], token });
    assert_eq!(cluster.state.open_tokens().collect::<Vec<_>>(), [(&[9; 32], &token)]);
    assert_eq!(cluster.apply(&Command::RevokeToken { digest: [9; 32] }), Applied::Done);
    let unknown = Applied::Refused(CommandRefusal::UnknownToken);
    assert_eq!(cluster.apply(&Command::RevokeToken { digest: [9; 32] }), unknown);
}

#[test]
fn a_registry_is_of_format_3() {
    let mut cluster = cluster();
    cluster.apply(&register(vec![registered(1, Holder::Node(1))]));
    let two = Format::new(2).unwrap();
    assert_eq!(cluster.apply(&Command::SetFormat { format: two }), Applied::Done);
    assert!(!cluster.state.registry().is_in_force());
    for command in [register(vec![registered(1, Holder::Node(1))]), revoke(Whom::Node(1))] {
        assert_eq!(command.format(), Format::NEWEST);
        assert_eq!(cluster.apply(&command), Applied::Refused(CommandRefusal::Malformed("command")));
        let mut older = State::reading_up_to(two);
        assert_eq!(older.apply(1, &command.encode()), Applied::Newer);
    }
}

#[test]
fn persons_whose_certificates_ended_make_room() {
    let mut cluster = cluster();
    let person = |number: usize| {
        let holder = Holder::Person { name: format!("p{number}"), role: PersonRole::Reader };
        let mut key = [0; 32];
        key[..8].copy_from_slice(&(number as u64).to_be_bytes());
        (key, Registration { holder, serial: serial(1), ends_ms: cluster_end(number) })
    };
    fn cluster_end(number: usize) -> u64 {
        START_MS + number as u64
    }
    cluster.ask(CLIENT, 1);
    for numbers in (1_000_000..1_000_000 + REGISTRATIONS_MAX).collect::<Vec<_>>().chunks(64) {
        let keys = numbers.iter().map(|number| person(*number)).collect();
        assert_eq!(cluster.apply(&register(keys)), Applied::Done);
    }
    let full = CommandRefusal::TooMany { what: "registered keys", max: REGISTRATIONS_MAX };
    assert_eq!(cluster.apply(&register(vec![person(2_000_000)])), Applied::Refused(full));
    cluster.now_ms = START_MS + 1_000_010;
    cluster.ask(CLIENT, 1);
    assert_eq!(cluster.apply(&register(vec![person(2_000_000)])), Applied::Done);
    survives_a_snapshot(&cluster.state);
}

#[test]
fn a_serial_is_read_from_digits() {
    let read = |text| Serial::from_hex(text).map(|serial| serial.to_string());
    assert_eq!(read("0a:FF:01").as_deref(), Some("0aff01"));
    assert_eq!(read("aff01").as_deref(), Some("0aff01"));
    for text in ["", "00", "0g", "é", &"11".repeat(21)] {
        assert_eq!(read(text), None, "{text}");
    }
}

proptest! {
    /// No bytes from the log cause a panic, and a decoded registration encodes to the same bytes.
    #[test]
    fn registrations_are_read_as_they_were_written(node in 1..1000_u64, key: [u8; 32], number in 1..=255_u8, ends_ms in 0..START_MS) {
        let command = register(vec![(key, Registration { holder: Holder::Node(node), serial: serial(number), ends_ms })]);
        prop_assert_eq!(Command::decode(&command.encode()), Ok(command));
    }
}

#[test]
fn the_authority_that_was_set_last_is_in_force() {
    let mut cluster = cluster();
    assert_eq!(cluster.state.authority(), None);
    for number in [1, 2] {
        assert_eq!(cluster.apply(&Command::SetAuthority(authority(number))), Applied::Done);
        assert_eq!(cluster.state.authority(), Some(&authority(number)));
        survives_a_snapshot(&cluster.state);
    }
    cluster.apply(&Command::SetFormat { format: Format::new(2).unwrap() });
    assert_eq!(cluster.state.authority(), None);
    let before = Applied::Refused(CommandRefusal::Malformed("command"));
    assert_eq!(cluster.apply(&Command::SetAuthority(authority(3))), before);
    let too_long = ClusterAuthority { certificate: vec![1; 4097].into(), ..authority(1) };
    assert!(Command::decode(&Command::SetAuthority(too_long).encode()).is_err());
}

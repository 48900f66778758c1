//! Commands: their encoding, the batch builder, and entries that are not commands.

use activation::audit::{Actor, Origin};
use activation::clock::{SkewReference, Stamp};
use activation::host_activation::ReleaseStatement;
use activation::limits::{BATCH_RECORDS_MAX, COMMAND_BYTES_MAX};
use activation::message::Record;
use activation::settings::{Setting, SettingChange};
use activation::state::{
    Act, Applied, Batch, BatchBuilder, BatchFull, Command, CommandRefusal, Counted, Enrolled, Format, Grant, Holder,
    KeyDigest, MalformedOutcome, OpenToken, PushError, RecordOutcome, Refusal, Registration, Revocation, State, Whom,
};
use proptest::prelude::*;

use super::registry::{ada, authority, joining, registered, serial};
use super::tokens::enrolled;
use super::world::*;

const STAMP: Stamp = Stamp { time_ms: START_MS, skew: SkewReference::ClusterTime, expiry_ms: None };

fn audited(act: Act) -> Command {
    Command::Audited { origin: Origin::new("Ada", "192.0.2.7", START_MS), act }
}

fn use_token(
    digest: u8,
    node: Option<u64>,
    registration: Option<(KeyDigest, Registration)>,
    enrolled: Option<Enrolled>,
) -> Command {
    Command::UseToken { digest: [digest; 32], time_ms: START_MS, node, registration, enrolled, joining: None }
}

fn every_kind() -> Vec<Command> {
    let cluster = Cluster::activated();
    let publisher = cluster.publisher.id();
    let certificate = cluster.publisher.certify(2, &host_key(1), GROUP_B, PLATFORM_STANDARD);
    let records = vec![cluster.record(CLIENT, 1), cluster.record(SERVER, 2)];
    let batch = |skew| Command::Batch(Batch { stamp: Stamp { skew, ..STAMP }, records: records.clone() });
    vec![
        batch(SkewReference::ClusterTime),
        batch(SkewReference::Other(START_MS + 1)),
        batch(SkewReference::LeaveOut),
        Command::Batch(Batch { stamp: Stamp { time_ms: 0, ..STAMP }, records: vec![] }),
        Command::InstallCatalog { signed: cluster.publisher.sign(&example()).bytes().clone() },
        Command::InstallKey { publisher, key: host_key(1) },
        Command::InstallActivation { signed: cluster.publisher.answer(vec![(2, certificate)]).encode().into() },
        Command::Release { statements: vec![ReleaseStatement::sign(publisher, host_key(1).key_id(), 2, &node_key(2))] },
        Command::ChangeSettings {
            node: None,
            changes: vec![SettingChange::from_log(Setting::DnsPublish, "false".into())],
        },
        Command::ChangeSettings {
            node: Some(3),
            changes: vec![SettingChange::from_log(Setting::ClientsPort, "1700".into())],
        },
        Command::Announce { node: 2, announcement: announcement("node2.example.test") },
        Command::Forget { node: 2 },
        Command::AddToken { digest: [4; 32], token: OpenToken { grant: Grant::Reader, expires_ms: START_MS } },
        use_token(4, None, None, None),
        use_token(5, Some(4), None, None),
        Command::ResetClock { time_ms: START_MS },
        Command::SetFormat { format: Format::NEWEST },
        audited(Act::Command(Box::new(Command::Forget { node: 2 }))),
        Command::Audited {
            origin: Origin::new("Bob (operator)", "192.0.2.8", START_MS).by(Actor::Other),
            act: Act::Command(Box::new(Command::Forget { node: 2 })),
        },
        audited(Act::Note { act: "back the state up".into(), refused: String::new() }),
        audited(Act::Note { act: "add node 4".into(), refused: "nobody answers".into() }),
        Command::StateHash { index: 1024, hash: [3; 32] },
        Command::NoteHash,
        use_token(4, None, Some(registered(3, ada())), None),
        use_token(4, None, Some(registered(3, ada())), Some(enrolled(4))),
        use_token(4, Some(4), None, Some(enrolled(4))),
        joining(4, 6, 4, START_MS + DAY_MS),
        Command::Register { keys: vec![registered(1, Holder::Node(1)), registered(2, ada())], renews: false },
        Command::Register { keys: vec![registered(2, ada())], renews: true },
        Command::Revoke(Revocation { whom: Whom::Node(2), time_ms: START_MS }),
        Command::Revoke(Revocation { whom: Whom::Serial(serial(9)), time_ms: START_MS }),
        Command::Revoke(Revocation { whom: Whom::Person("Ada".into()), time_ms: START_MS }),
        Command::RevokeToken { digest: [7; 32] },
        Command::SetAuthority(authority(1)),
    ]
}

#[test]
fn every_command_survives_its_encoding() {
    for command in every_kind() {
        assert_eq!(Command::decode(&command.encode()), Ok(command));
    }
}

#[test]
fn the_builder_makes_the_same_bytes_as_the_command() {
    let cluster = Cluster::activated();
    for skew in [SkewReference::ClusterTime, SkewReference::Other(5), SkewReference::LeaveOut] {
        for count in [0, 1, 2, 300] {
            let stamp = Stamp { skew, ..STAMP };
            let records: Vec<_> = (0..count).map(|machine| cluster.record(CLIENT, machine)).collect();
            let mut builder = BatchBuilder::new(stamp);
            for (index, record) in records.iter().enumerate() {
                if index % 2 == 0 {
                    builder.push(record).unwrap();
                } else {
                    let mut bytes = Vec::new();
                    record.encode(&mut bytes);
                    builder.push_encoded(&bytes).unwrap();
                }
            }
            let (length, pushed) = (builder.len_bytes(), builder.records());
            let bytes = builder.finish();
            assert_eq!((length, pushed), (bytes.len(), records.len()));
            assert_eq!(bytes, Command::Batch(Batch { stamp, records }).encode());
        }
    }
}

#[test]
fn a_batch_is_full_at_its_records_or_its_bytes_and_is_applied_whole() {
    let mut cluster = Cluster::activated();
    let short = Record { machine_name: "a".parse().unwrap(), client_time_ms: 0, ..cluster.record(CLIENT, 1) };
    let long = Record { machine_name: "x".repeat(63).parse().unwrap(), ..cluster.record(CLIENT, 2) };
    for (record, full_of_records) in [(short, false), (long, false)] {
        let mut builder = BatchBuilder::new(STAMP);
        while builder.push(&record).is_ok() {}
        assert_eq!(builder.push(&record), Err(BatchFull));
        assert_eq!(builder.records() == BATCH_RECORDS_MAX, full_of_records);
        assert!(builder.len_bytes() <= COMMAND_BYTES_MAX && builder.len_bytes() > COMMAND_BYTES_MAX - 200);
        let records = builder.records();
        let Applied::Batch { outcomes, .. } = cluster.state.apply(100, &builder.finish()) else { panic!("refused") };
        assert_eq!(outcomes.len(), records);
    }
}

#[test]
fn a_bad_record_of_another_node_is_not_taken_into_a_batch() {
    let mut builder = BatchBuilder::new(STAMP);
    assert!(matches!(builder.push_encoded(b"\x08\x01"), Err(PushError::Malformed(_))));
    assert!(builder.is_empty());
    assert_eq!(Command::decode(&builder.finish()), Ok(Command::Batch(Batch { stamp: STAMP, records: vec![] })));
}

#[test]
fn what_is_not_a_command_is_refused_and_changes_nothing() {
    let mut cluster = Cluster::activated();
    let before = cluster.state.hash();
    let too_long = vec![0; COMMAND_BYTES_MAX + 1];
    for bytes in [&b""[..], b"\xff", b"\x0a\x00", b"\x3a\x00", b"hello", &too_long] {
        let applied = cluster.state.apply(50, bytes);
        assert!(matches!(applied, Applied::Refused(CommandRefusal::Malformed(_))), "{applied:?}");
    }
    assert_eq!(cluster.state.hash(), before);
}

#[test]
fn an_outcome_survives_the_way_between_nodes() {
    let key = host_key(1).key_id();
    let counted = Counted {
        count: 26,
        threshold: 25,
        activation_interval_minutes: 120,
        renewal_interval_minutes: 10_080,
        key,
        other_machine: true,
    };
    let refusals = [Refusal::NotActivated, Refusal::KeyBlocked, Refusal::NotCovered, Refusal::ClockSkew];
    for outcome in refusals.map(RecordOutcome::Refused).into_iter().chain([RecordOutcome::Counted(counted)]) {
        assert_eq!(RecordOutcome::decode(&outcome.encode()), Ok(outcome));
    }
    for wrong in [&b""[..], b"\x10\x00", b"\x10\x09", &[0; 100]] {
        assert_eq!(RecordOutcome::decode(wrong), Err(MalformedOutcome), "{wrong:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_break_the_state(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
        let cluster = Cluster::activated();
        for command in every_kind() {
            let mut bytes = command.encode().to_vec();
            for (place, value) in &flips {
                let place = place.index(bytes.len());
                bytes[place] ^= value;
            }
            let mut state = cluster.state.clone();
            let before = state.hash();
            let applied = state.apply(50, &bytes);
            state.check_invariants();
            if matches!(applied, Applied::Refused(_) | Applied::HashChecked { .. }) {
                prop_assert_eq!(state.hash(), before);
            }
            let restored = State::decode_snapshot(&state.encode_snapshot()).unwrap();
            prop_assert_eq!(restored.hash(), state.hash());
        }
    }

    #[test]
    fn no_random_bytes_break_the_state(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut state = State::new();
        state.apply(1, &bytes);
        state.check_invariants();
        let _ = RecordOutcome::decode(&bytes);
    }
}

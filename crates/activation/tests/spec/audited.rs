//! Acts of administrators are recorded, from the first format on that holds the audit.

use activation::audit::{Actor, Audit, AuditEntry, Description, Origin, shortened, verify};
use activation::coded::{Code, Coded};
use activation::limits::{AUDIT_ENTRIES_KEPT, AUDIT_TEXT_BYTES_MAX};
use activation::settings::{Setting, SettingChange};
use activation::state::{Act, Applied, Command, CommandRefusal, Format, SnapshotError, State};

use super::world::*;

fn by(who: &str, act: Act) -> Command {
    Command::Audited { origin: Origin::new(who, "192.0.2.7", START_MS), act }
}

fn set(setting: Setting, value: &str) -> Act {
    let changes = vec![SettingChange::from_log(setting, value.to_owned())];
    Act::Command(Box::new(Command::ChangeSettings { node: None, changes }))
}

/// Format 2, which records texts.
fn recorded() -> Cluster {
    let mut cluster = Cluster::activated();
    assert_eq!(cluster.apply(&Command::SetFormat { format: Format::new(2).unwrap() }), Applied::Done);
    cluster
}

fn entries(state: &State) -> Vec<(u64, &str, String, String)> {
    let entries = state.audit().entries();
    let words = |entry: &AuditEntry| {
        (entry.act.to_string(), entry.refused.as_ref().map_or(String::new(), Description::to_string))
    };
    entries.map(|entry| (entry.number, entry.origin.who.as_str(), words(entry).0, words(entry).1)).collect()
}

#[test]
fn an_act_is_carried_out_and_recorded_with_its_outcome() {
    let mut cluster = recorded();
    assert_eq!(cluster.apply(&by("Ada", set(Setting::RenewalInterval, "1440"))), Applied::Done);
    assert_eq!(cluster.state.settings().get(Setting::RenewalInterval).as_deref(), Some("1440"));
    let refused = cluster.apply(&by("Bob", set(Setting::RenewalInterval, "3")));
    assert!(matches!(refused, Applied::Refused(CommandRefusal::Setting(_))), "{refused:?}");
    let note = Act::Note { act: "add node 4".into(), refused: "nobody answers".into() };
    assert_eq!(cluster.apply(&by("Ada", note)), Applied::Done);
    let Applied::Refused(why) = refused else { unreachable!("asserted above") };
    let expected = [
        (1, "Ada", "set renewal.interval_minutes=1440", String::new()),
        (2, "Bob", "set renewal.interval_minutes=3", shortened(&why.to_string())),
        (3, "Ada", "add node 4", "nobody answers".to_owned()),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(number, who, act, why)| (*number, *who, (*act).to_owned(), why.clone())).collect();
    assert_eq!(entries(&cluster.state), expected);
    verify(cluster.state.audit().before(), cluster.state.audit().entries()).unwrap();
}

#[test]
fn the_record_is_part_of_snapshot_and_hash_and_a_changed_one_is_not_taken() {
    let mut cluster = recorded();
    cluster.apply(&by("Ada", set(Setting::DnsPublish, "false")));
    let snapshot = cluster.state.encode_snapshot();
    let restored = State::decode_snapshot(&snapshot).unwrap();
    assert_eq!((restored.hash(), entries(&restored)), (cluster.state.hash(), entries(&cluster.state)));
    let before = cluster.state.hash();
    cluster.apply(&by("Ada", Act::Note { act: "back the state up".into(), refused: String::new() }));
    assert_ne!(cluster.state.hash(), before);
    let place = snapshot.windows(3).position(|window| window == b"Ada").unwrap();
    let mut forged = snapshot;
    forged[place] = b'E';
    assert_eq!(State::decode_snapshot(&forged).unwrap_err(), SnapshotError::Malformed("audit"));
}

#[test]
fn an_older_format_holds_no_record_and_carries_acts_out_all_the_same() {
    let mut cluster = Cluster::activated();
    assert_eq!(cluster.apply(&by("Ada", set(Setting::DnsPublish, "false"))), Applied::Done);
    assert!(entries(&cluster.state).is_empty() && cluster.state.format() == Format::OLDEST);
    let plain = cluster.state.encode_snapshot();
    for format in [Format::NEWEST, Format::OLDEST] {
        assert_eq!(cluster.apply(&by("Ada", Act::Command(Box::new(Command::SetFormat { format })))), Applied::Done);
        assert_eq!(entries(&cluster.state).len(), usize::from(format.holds_audit()));
    }
    assert_eq!(cluster.state.encode_snapshot(), plain, "back to what it was, byte for byte");
}

#[test]
fn what_a_newer_version_wrote_is_neither_passed_over_nor_refused() {
    let mut state = State::new();
    // Field 99, a message: a kind of command that no version knows.
    assert_eq!(state.apply(1, &[0x9a, 0x06, 0x00]), Applied::Newer);
    let unread = Format::NEWEST.number() + 1;
    // Field 13, a message with field 1.
    assert_eq!(state.apply(2, &[0x6a, 0x02, 0x08, u8::try_from(unread).unwrap()]), Applied::Newer);
    assert_eq!(state.hash(), State::new().hash());
}

#[test]
fn an_act_is_no_batch_and_no_act_of_another() {
    let mut cluster = recorded();
    let inner = by("Eve", Act::Note { act: "something".into(), refused: String::new() });
    let hash = Command::StateHash { index: 1024, hash: [3; 32] };
    for command in [inner, hash, Command::NoteHash] {
        let applied = cluster.apply(&by("Eve", Act::Command(Box::new(command))));
        assert_eq!(applied, Applied::Refused(CommandRefusal::Malformed("act")));
    }
    let who = "x".repeat(AUDIT_TEXT_BYTES_MAX + 1);
    let long = Origin { who, from: String::new(), time_ms: START_MS, actor: Actor::Administrator };
    let act = Act::Note { act: "something".into(), refused: String::new() };
    let applied = cluster.apply(&Command::Audited { origin: long, act });
    assert_eq!(applied, Applied::Refused(CommandRefusal::Malformed("origin")));
    assert!(entries(&cluster.state).is_empty());
}

fn by_operator(act: Act, time_ms: u64) -> Command {
    Command::Audited { origin: Origin::new("Bob (operator)", "192.0.2.8", time_ms).by(Actor::Other), act }
}

#[test]
fn what_others_do_makes_no_act_of_an_administrator_go() {
    let mut cluster = recorded();
    cluster.apply(&Command::SetFormat { format: Format::NEWEST });
    let noted = |number: usize| Act::Noted { what: Coded::new(Code::AddNode, [number]), refused: None };
    cluster.apply(&by("Ada", noted(1)));
    for number in 0..AUDIT_ENTRIES_KEPT + 2 {
        let act = by_operator(noted(number), START_MS + number as u64);
        assert_eq!(cluster.apply(&act), Applied::Done);
    }
    cluster.apply(&by("Ada", noted(2)));
    let state = &cluster.state;
    assert_eq!(entries(state).iter().map(|entry| (entry.0, entry.1)).collect::<Vec<_>>(), [(1, "Ada"), (2, "Ada")]);
    let others: Vec<_> = state.audit_of_others().entries().collect();
    assert_eq!((others.len(), others[0].number), (AUDIT_ENTRIES_KEPT, 3));
    for record in [state.audit(), state.audit_of_others()] {
        verify(record.before(), record.entries()).unwrap();
    }
    let restored = State::decode_snapshot(&state.encode_snapshot()).unwrap();
    assert_eq!((restored.hash(), restored.audit_of_others()), (state.hash(), state.audit_of_others()));

    // Format 2 holds one record: the kept entries of both, by time, and at most as many as it may hold.
    cluster.apply(&Command::SetFormat { format: Format::new(2).unwrap() });
    let state = &cluster.state;
    assert_eq!(state.audit_of_others(), &Audit::default());
    verify(state.audit().before(), state.audit().entries()).unwrap();
    let words = entries(state);
    assert_eq!((words.len(), words.last().unwrap().0), (AUDIT_ENTRIES_KEPT, 1002));
    let restored = State::decode_snapshot(&state.encode_snapshot()).unwrap();
    assert_eq!(restored.hash(), state.hash());
}

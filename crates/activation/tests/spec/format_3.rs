//! Format 3: two clocks, commands that are carried out once, codes instead of texts, and unknown content counts as
//! newer.

use activation::audit::{Description, Origin, verify};
use activation::clock::{SkewReference, Stamp};
use activation::coded::{Code, Coded};
use activation::limits::OUTCOMES_KEPT;
use activation::settings::{Setting, SettingChange, Settings};
use activation::state::{Act, Applied, Batch, Command, CommandRefusal, Format, Grant, OpenToken, RecordOutcome, State};

use super::world::*;

fn format(number: u32) -> Format {
    Format::new(number).unwrap()
}

fn cluster() -> Cluster {
    Cluster::activated_in(format(3))
}

fn by_ada(act: Act) -> Command {
    Command::Audited { origin: Origin::new("Ada", "192.0.2.7", START_MS), act }
}

fn set(setting: Setting, value: &str) -> Command {
    let changes = vec![SettingChange::from_log(setting, value.to_owned())];
    Command::ChangeSettings { node: None, changes }
}

fn once(id: u8, command: Command) -> Command {
    Command::Once { id: [id; 16], command: Box::new(command) }
}

/// Tag and length of a field, and its content.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

/// Field 99, a number, which no version knows.
const UNKNOWN: [u8; 3] = [0x98, 0x06, 0x01];

fn with_unknown(content: &[u8]) -> Vec<u8> {
    [content, &UNKNOWN].concat()
}

/// The content of a command's one field.
fn content(command: &Command) -> Vec<u8> {
    let bytes = command.encode();
    assert!(bytes[1] < 0x80, "short enough for one byte of length");
    bytes[2..].to_vec()
}

#[test]
fn whatever_is_not_known_at_any_depth_is_newer_and_changes_nothing() {
    let cluster = cluster();
    let batch = |stamp: &[u8], record: &[u8]| field(1, &[field(1, stamp), field(2, record)].concat());
    let stamp: Vec<u8> = vec![0x08, 1];
    let mut record = Vec::new();
    cluster.record(CLIENT, 1).encode(&mut record);
    let setting = [field(1, b"dns.ttl_s"), field(2, b"60")].concat();
    let token = [field(1, &[5; 32]), vec![0x10, 1, 0x18, 1]].concat();
    let unknown_grant = [field(1, &[5; 32]), vec![0x10, 9, 0x18, 1]].concat();
    let noted = content(&by_ada(Act::Noted { what: Coded::bare(Code::BackUp), refused: None }));
    let (origin, coded) = noted.split_at(noted.len() - 4);
    assert_eq!(coded, [0x3a, 2, 0x08, 55], "the code of the act comes last");
    let inner = with_unknown(&Command::Forget { node: 4 }.encode());
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a command", with_unknown(&Command::Forget { node: 4 }.encode())),
        ("inside a command", field(12, &with_unknown(&content(&Command::Forget { node: 4 })))),
        ("a stamp", batch(&with_unknown(&stamp), &record)),
        ("a skew reference", batch(&[0x08, 1, 0x10, 9], &record)),
        ("a record", batch(&stamp, &with_unknown(&record))),
        ("a setting's field", field(8, &field(1, &with_unknown(&setting)))),
        ("a setting", field(8, &field(1, &[field(1, b"no.such.one"), field(2, b"60")].concat()))),
        ("a token", field(10, &field(1, &with_unknown(&token)))),
        ("a grant", field(10, &field(1, &unknown_grant))),
        ("an act's code", field(14, &[origin, &field(7, &[0x08, 0xff, 0x7f])].concat())),
        ("inside an act's code", field(14, &[origin, &field(7, &with_unknown(&[0x08, 55]))].concat())),
        ("inside a command that is carried out once", field(15, &[field(1, &[1; 16]), field(2, &inner)].concat())),
    ];
    for (what, command) in cases {
        let mut newer = cluster.state.clone();
        assert_eq!(newer.apply(100, &command), Applied::Newer, "{what}");
        assert_eq!(newer.encode_snapshot(), cluster.state.encode_snapshot(), "{what}");
        // Before format 3 such content was ignored or malformed, and stays so.
        let mut older = Cluster::activated_in(format(2)).state;
        assert_ne!(older.apply(100, &command), Applied::Newer, "{what} in format 2");
    }
}

#[test]
fn a_command_with_an_id_is_carried_out_once_and_answered_the_same_again() {
    let mut cluster = cluster();
    assert_eq!(cluster.apply(&once(1, set(Setting::DnsTtl, "60"))), Applied::Done);
    let first = cluster.index;
    assert_eq!(cluster.apply(&once(2, set(Setting::DnsTtl, "90"))), Applied::Done);
    let refused = once(3, by_ada(Act::Command(Box::new(set(Setting::DnsTtl, "0")))));
    assert!(matches!(cluster.apply(&refused), Applied::Refused(CommandRefusal::Setting(_))));
    let third = cluster.index;
    let audited = cluster.state.audit().entries().count();
    cluster.state = State::decode_snapshot(&cluster.state.encode_snapshot()).unwrap();

    let repeated = cluster.apply(&once(1, set(Setting::DnsTtl, "60")));
    assert_eq!(repeated, Applied::Repeated { index: first, refused: None });
    assert_eq!(cluster.state.settings().dns_ttl_s, 90, "a retried command does not overwrite a newer one");
    let expected = Coded::new(Code::SettingValue, ["dns.ttl_s"]);
    assert_eq!(cluster.apply(&refused), Applied::Repeated { index: third, refused: Some(expected) });
    assert_eq!(cluster.state.audit().entries().count(), audited, "a repeated act is no act");

    for number in 0..u32::try_from(OUTCOMES_KEPT).unwrap() {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let command = Command::Once { id, command: Box::new(Command::Forget { node: 9 }) };
        cluster.index += 1;
        cluster.state.apply(cluster.index, &command.encode());
    }
    cluster.state.check_invariants();
    assert!(!cluster.state.has_carried_out(&[1; 16]), "so many are remembered and no more");
    assert!(cluster.state.has_carried_out(&[0; 16]));
}

fn batch(cluster: &mut Cluster, (time_ms, expiry_ms): (u64, u64), machines: std::ops::RangeInclusive<u32>) -> Vec<u32> {
    let records = machines.map(|machine| cluster.record(CLIENT, machine)).collect();
    let stamp = Stamp { time_ms, skew: SkewReference::LeaveOut, expiry_ms: Some(expiry_ms) };
    let applied = cluster.apply(&Command::Batch(Batch { stamp, records }));
    let Applied::Batch { outcomes, .. } = applied else { panic!("{applied:?}") };
    let count = |outcome: &RecordOutcome| match outcome {
        RecordOutcome::Counted(counted) => counted.count,
        RecordOutcome::Refused(refusal) => panic!("{refusal:?}"),
    };
    outcomes.iter().map(count).collect()
}

/// The clocks jump three days and then another month ahead, and nothing confirms them.
#[test]
fn what_renews_during_an_alarm_is_not_lost_when_the_clocks_are_accepted() {
    let mut cluster = cluster();
    assert_eq!(batch(&mut cluster, (START_MS, START_MS), 1..=6), [1, 2, 3, 4, 5, 6]);
    let day = |days: u64| START_MS + days * DAY_MS;
    assert_eq!(batch(&mut cluster, (day(3), START_MS), 1..=5), [6; 5]);
    assert_eq!(batch(&mut cluster, (day(34), START_MS + 1000), 1..=5), [6; 5], "nothing expires meanwhile");
    assert_eq!(cluster.apply(&Command::AcceptClock { time_ms: day(34) }), Applied::Done);
    assert_eq!(cluster.state.expiry_ms(), Some(day(34)));
    assert_eq!(cluster.state.counts(day(34))[0].count, 5, "the machine that did not renew is forgotten");
    assert_eq!(batch(&mut cluster, (day(34), day(34)), 1..=1), [5]);
}

#[test]
fn the_clock_of_expiry_never_runs_backwards_nor_ahead() {
    let mut cluster = cluster();
    batch(&mut cluster, (START_MS, START_MS), 1..=1);
    batch(&mut cluster, (START_MS + 10, START_MS - 1000), 1..=1);
    assert_eq!(cluster.state.expiry_ms(), Some(START_MS), "not backwards");
    batch(&mut cluster, (START_MS + 20, START_MS + DAY_MS), 1..=1);
    assert_eq!(cluster.state.expiry_ms(), Some(START_MS + 20), "not ahead of cluster time");
    assert_eq!(cluster.apply(&Command::AcceptClock { time_ms: START_MS + DAY_MS }), Applied::Done);
    assert_eq!(cluster.state.expiry_ms(), Some(START_MS + 20));
    batch(&mut cluster, (START_MS + DAY_MS, START_MS + 30), 1..=1);
    assert_eq!(cluster.apply(&Command::ResetClock { time_ms: START_MS + 25 }), Applied::Done);
    assert_eq!((cluster.state.time_ms(), cluster.state.expiry_ms()), (Some(START_MS + 25), Some(START_MS + 25)));
}

/// Every act and refusal is recorded as a code with values, and never as text of this version.
#[test]
fn no_snapshot_holds_texts_of_this_version() {
    let mut cluster = cluster();
    let ttl = |value| Act::Command(Box::new(set(Setting::DnsTtl, value)));
    let token = OpenToken { grant: Grant::Reader, expires_ms: START_MS };
    let acts = [
        ttl("60"),
        ttl("0"),
        Act::Command(Box::new(Command::AddToken { digest: [4; 32], token })),
        Act::Command(Box::new(Command::UseToken {
            digest: [5; 32],
            time_ms: START_MS,
            node: None,
            registration: None,
            enrolled: None,
            joining: None,
        })),
        Act::Command(Box::new(Command::InstallCatalog { signed: b"none".as_slice().into() })),
        Act::Command(Box::new(Command::ResetClock { time_ms: START_MS + 1 })),
        Act::Noted { what: Coded::new(Code::AddNode, ["4", "node4:1689"]), refused: Some(9) },
    ];
    for (number, act) in (1..).zip(acts) {
        cluster.apply(&once(number, by_ada(act)));
    }
    let entries: Vec<_> = cluster.state.audit().entries().collect();
    assert_eq!(entries.len(), 7);
    assert!(entries.iter().all(|entry| matches!(entry.act, Description::Coded(_))));
    assert_eq!(entries.iter().filter(|entry| matches!(entry.refused, Some(Description::Coded(_)))).count(), 5);
    verify(cluster.state.audit().before(), cluster.state.audit().entries()).unwrap();

    let snapshot = String::from_utf8_lossy(&cluster.state.encode_snapshot()).into_owned();
    for code in Code::ALL {
        let words = Coded::bare(*code).to_string();
        for part in words.split(['?', '`']).map(str::trim).filter(|part| part.len() >= 8) {
            assert!(!snapshot.contains(part), "{part:?} is in the snapshot");
        }
    }
    let words = Act::Note { act: "back the state up".into(), refused: String::new() };
    let refused = cluster.apply(&by_ada(words));
    assert_eq!(refused, Applied::Refused(CommandRefusal::Malformed("act")), "free text is refused");
}

#[test]
fn the_previous_format_converts_the_record_to_texts_that_never_change() {
    let mut cluster = cluster();
    cluster.apply(&once(1, by_ada(Act::Command(Box::new(set(Setting::DnsTtl, "60"))))));
    cluster.apply(&once(2, by_ada(Act::Command(Box::new(set(Setting::DnsTtl, "0"))))));
    batch(&mut cluster, (START_MS + DAY_MS, START_MS), 1..=3);
    assert_eq!(cluster.apply(&Command::SetFormat { format: format(2) }), Applied::Done);
    let told: Vec<_> =
        cluster.state.audit().entries().map(|entry| (entry.act.clone(), entry.refused.clone())).collect();
    let text = |text: &str| Description::Text(text.into());
    let expected =
        [(text("code 6: dns.ttl_s 60"), None), (text("code 6: dns.ttl_s 0"), Some(text("code 111: dns.ttl_s")))];
    assert_eq!(told, expected);
    verify(cluster.state.audit().before(), cluster.state.audit().entries()).unwrap();
    assert_eq!(cluster.state.times().expiry_ms, None);
    assert!(!cluster.state.has_carried_out(&[1; 16]));
    let read = State::decode_snapshot_up_to(format(2), &cluster.state.encode_snapshot().into()).unwrap();
    assert_eq!(read.hash(), cluster.state.hash());
}

#[test]
fn the_gateways_settings_are_of_format_3_and_a_lowered_format_leaves_nothing_of_them() {
    let mut cluster = cluster();
    let settings = [
        (Setting::GatewayUpstreams, "a.test?group=sites,b.test"),
        (Setting::GatewayGroups, "sites?network=10.0.0.0/8"),
        (Setting::GatewayForward, "all"),
        (Setting::GatewayMirror, "sites"),
        (Setting::GatewayPrefer, "sites=a.test"),
        (Setting::GatewayChoice, "default=b.test"),
    ];
    for (setting, value) in settings {
        assert_eq!(set(setting, value).format(), format(3));
        assert_eq!(cluster.apply(&set(setting, value)), Applied::Done, "{setting:?}");
    }
    let restored = State::decode_snapshot(&cluster.state.encode_snapshot()).unwrap();
    assert_eq!((restored.settings(), restored.hash()), (cluster.state.settings(), cluster.state.hash()));
    assert_eq!(cluster.apply(&Command::SetFormat { format: format(2) }), Applied::Done);
    assert_eq!(*cluster.state.settings(), Settings::default());
}

#[test]
fn the_election_profile_is_of_format_3_and_a_lowered_format_leaves_nothing_of_it() {
    let far = set(Setting::RaftProfile, "far");
    let value = |cluster: &Cluster| cluster.state.settings().get(Setting::RaftProfile).unwrap();
    let mut cluster = cluster();
    assert_eq!(far.format(), format(3));
    assert_eq!(by_ada(Act::Command(Box::new(far.clone()))).format(), format(3));
    assert_eq!(cluster.apply(&far), Applied::Done);
    let restored = State::decode_snapshot(&cluster.state.encode_snapshot()).unwrap();
    assert_eq!(
        (restored.settings().get(Setting::RaftProfile), restored.hash()),
        (Some("far".into()), cluster.state.hash())
    );
    let wrong = cluster.apply(&set(Setting::RaftProfile, "wide"));
    assert!(matches!(wrong, Applied::Refused(CommandRefusal::Setting(_))), "{wrong:?}");

    let set_in_state =
        cluster.state.settings().not_held_in(format(2)).map(|(name, value, _)| (name, value.to_string()));
    assert_eq!(set_in_state, Some(("raft.profile", "far".into())));
    assert_eq!(cluster.apply(&Command::SetFormat { format: format(2) }), Applied::Done);
    assert_eq!((value(&cluster).as_str(), cluster.state.settings().not_held_in(format(2))), ("near", None));
    // A version that does not know this setting refuses it in the same way.
    assert_eq!(cluster.apply(&far), Applied::Refused(CommandRefusal::Malformed("setting")));
    let newest = Format::NEWEST;
    assert!(
        Command::decode_up_to(newest, &far.encode()).is_ok(),
        "without the format in which it was written it is read"
    );
    assert!(Command::decode_up_to(format(2), &far.encode()).is_err());
}

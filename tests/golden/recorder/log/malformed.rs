//! Bytes that are no valid answer of a publisher, and bytes that are no valid command.

use activation::clock::{SkewReference, Stamp};
use activation::limits;
use activation::state::{Applied, Batch, Command};
use bytes::Bytes;
use ed25519_dalek::Signer;
use prost::Message;
use proto::command::Kind;

use crate::pass::{Pass, announcement};
use crate::proto;
use crate::recording::Recording;
use crate::world::*;

/// Records answers of a publisher in encodings that no version writes.
pub(crate) fn answers(to: &mut Recording, pass: &Pass) {
    to.section("answers that are none");
    let publisher = &pass.publisher;
    let id = pass.key().key_id();
    let good = publisher.answers([(pass.first, publisher.certify(pass.first, id, GROUP_SERVER, PLATFORM_SERVER))]);
    let good = proto::SignedAnswers::decode(good.sign(&publisher.activation[0]).encode().as_slice()).unwrap();
    let install = |to: &mut Recording, expected: &str, signed: Vec<u8>| {
        to.act(&format!("refused answers/{expected}"), Command::InstallActivation { signed: signed.into() });
    };
    install(to, "newer/2", proto::SignedAnswers { format: 2, ..good.clone() }.encode_to_vec());
    install(to, "malformed/format", proto::SignedAnswers { format: 0, ..good.clone() }.encode_to_vec());
    install(to, "malformed/encoding", vec![0xff]);
    let short = proto::SignedAnswers { signature: Bytes::from_static(&[1]), ..good.clone() };
    install(to, "malformed/signature", short.encode_to_vec());
    let torn = proto::SignedAnswers { answers: Bytes::from_static(&[0xff]), ..good.clone() };
    install(to, "malformed/answers", torn.encode_to_vec());
    let changes: [(&str, fn(&mut proto::ActivationAnswers)); 12] = [
        ("1 to 64 entries", |answers| answers.answers.clear()),
        ("standings", |answers| answers.standings = vec![proto::KeyStanding::default(); 2]),
        ("time", |answers| answers.answered_ms = limits::TIME_MS_MAX + 1),
        ("publisher", |answers| answers.publisher.truncate(3)),
        ("certificate", |answers| answers.answers[0].certificate.truncate(3)),
        ("key id", |answers| answers.answers[0].key.truncate(3)),
        ("a certificate of another publisher or key", |answers| {
            answers.answers[0].key = Bytes::from_static(&[1; 8]);
        }),
        ("request id", |answers| answers.answers[0].request_id.truncate(3)),
        ("node", |answers| answers.answers[0].node = 0),
        ("one node has two entries", |answers| answers.answers.push(answers.answers[0].clone())),
        ("key id", |answers| answers.released.push(proto::Released::default())),
        ("node key", |answers| {
            answers.released.push(proto::Released { key: Bytes::from_static(&[1; 8]), node_key: Bytes::new() });
        }),
    ];
    for (field, change) in changes {
        let mut answers = proto::ActivationAnswers::decode(good.answers.clone()).unwrap();
        change(&mut answers);
        let answers: Bytes = answers.encode_to_vec().into();
        let signature = publisher.activation[0].sign(&[b"quorate/answers/1", answers.as_ref()].concat());
        let signature = Bytes::copy_from_slice(&signature.to_bytes());
        install(
            to,
            &format!("malformed/{field}"),
            proto::SignedAnswers { format: 1, answers, signature }.encode_to_vec(),
        );
    }
}

/// Records entries that no version writes. They change nothing, except that a node stops at an entry of a newer
/// version.
pub(crate) fn commands(to: &mut Recording, pass: &Pass) {
    to.section("entries that are no command");
    for bytes in [b"".as_slice(), b"\xff", b"\x0a"] {
        to.entry(bytes);
    }
    let entry = |to: &mut Recording, kind| {
        to.entry(&proto::Command { kind: Some(kind) }.encode_to_vec());
    };
    for kind in kinds(pass) {
        entry(to, kind);
    }
    to.section("entries of a newer version");
    // Field 1000.
    to.entry(&[0xc2, 0x3e, 0x00]);
    entry(to, Kind::SetFormat(proto::SetFormat { format: 1000 }));
    entry(to, Kind::SetFormat(proto::SetFormat { format: 0 }));
    for bytes in unknown(pass) {
        assert_eq!(to.entry(&bytes), Applied::Newer, "{bytes:?}");
    }
}

fn kinds(pass: &Pass) -> Vec<Kind> {
    let publisher = Bytes::copy_from_slice(&pass.publisher.id().0);
    let far = limits::TIME_MS_MAX + 1;
    let node = u32::try_from(pass.first).unwrap();
    let (short, long) = (Bytes::from_static(&[1]), Bytes::from_static(&[1; 32]));
    let change = |name: &str| proto::SettingValue { name: name.into(), value: "true".into() };
    let settings = |count: usize, name: &str, node| {
        Kind::ChangeSettings(proto::ChangeSettings { changes: vec![change(name); count], node })
    };
    let using =
        |digest: &Bytes, time_ms, node| Kind::UseToken(proto::UseToken { digest: digest.clone(), time_ms, node });
    let mut kinds = vec![
        Kind::InstallKey(proto::InstallKey { key: pass.key().to_string(), publisher: short.clone() }),
        Kind::InstallKey(proto::InstallKey { key: "no key".into(), publisher }),
        Kind::Release(proto::Release::default()),
        Kind::Release(proto::Release { statements: vec![proto::ReleaseStatement::default()] }),
        settings(10, "dns.publish", 0),
        settings(1, "dns.unknown", 0),
        settings(1, "dns.publish", 70_000),
        Kind::Forget(proto::Forget { node: 0 }),
        Kind::AddToken(proto::AddToken { token: None }),
        using(&short, START_MS, 0),
        using(&long, far, 0),
        using(&long, START_MS, 70_000),
        Kind::ResetClock(proto::ResetClock { time_ms: far }),
        Kind::AcceptClock(proto::AcceptClock { time_ms: far }),
        Kind::StateHash(proto::StateHash { index: 1, hash: short.clone() }),
    ];
    for (digest, grant, expires_ms) in [(short, 1, START_MS), (long.clone(), 0, START_MS), (long, 1, far)] {
        kinds.push(Kind::AddToken(proto::AddToken { token: Some(proto::OpenToken { digest, grant, expires_ms }) }));
    }
    kinds.extend(announcements(node));
    kinds.extend(batches(pass));
    kinds.extend(audited(pass));
    kinds.extend(once(pass));
    kinds
}

/// Commands and ids that are not valid for a command that is carried out once.
fn once(pass: &Pass) -> Vec<Kind> {
    let forget = Command::Forget { node: pass.first };
    let within = Command::Once { id: [2; 16], command: Box::new(forget.clone()) };
    let stamp = Stamp { time_ms: START_MS, skew: SkewReference::ClusterTime, expiry_ms: None };
    let batch = Command::Batch(Batch { stamp, records: Vec::new() });
    let hash = Command::StateHash { index: 1, hash: [1; 32] };
    let id = Bytes::from_static(&[1; 16]);
    let mut kinds = vec![
        Kind::Once(proto::Once { id: id.slice(..3), command: forget.encode() }),
        Kind::Once(proto::Once { id: id.clone(), command: Bytes::from_static(&[0xff]) }),
        Kind::Once(proto::Once { id: id.clone(), command: Bytes::new() }),
    ];
    for command in [within, batch, hash, Command::NoteHash] {
        kinds.push(Kind::Once(proto::Once { id: id.clone(), command: command.encode() }));
    }
    kinds
}

/// Field 99 with a number, which no version knows yet.
const UNKNOWN: [u8; 3] = [0x98, 0x06, 0x01];

/// Commands with an unknown field, at every depth of nesting.
fn unknown(pass: &Pass) -> Vec<Vec<u8>> {
    let more = |bytes: &[u8]| [bytes, &UNKNOWN].concat();
    let field = |number: usize, bytes: &[u8]| {
        let mut field = Vec::new();
        prost::encode_length_delimiter(number << 3 | 2, &mut field).unwrap();
        prost::encode_length_delimiter(bytes.len(), &mut field).unwrap();
        [field.as_slice(), bytes].concat()
    };
    let forget = Command::Forget { node: pass.first }.encode();
    let stamp = [0x08, 1];
    let mut record = Vec::new();
    pass.publisher.record(pass.first, CLIENT, 1, START_MS).encode(&mut record);
    let batch = |stamp: &[u8], record: &[u8]| field(1, &[field(1, stamp), field(2, record)].concat());
    let setting = |name: &[u8]| [field(1, name), field(2, b"60")].concat();
    let token = |grant: u8| [field(1, &[5; 32]), vec![0x10, grant, 0x18, 1]].concat();
    let origin = [field(1, b"Ada"), field(2, b"socket"), vec![0x18, 1]].concat();
    let act = |content: Vec<u8>| field(14, &[origin.clone(), content].concat());
    let id = field(1, &[1; 16]);
    vec![
        more(&forget),
        field(12, &more(&[0x08, 4])),
        batch(&more(&stamp), &record),
        batch(&[0x08, 1, 0x10, 9], &record),
        batch(&stamp, &more(&record)),
        field(8, &field(1, &more(&setting(b"dns.ttl_s")))),
        field(8, &field(1, &setting(b"no.such.one"))),
        field(10, &field(1, &more(&token(1)))),
        field(10, &field(1, &token(9))),
        act(field(7, &[0x08, 0xff, 0x7f])),
        act(field(7, &more(&[0x08, 55]))),
        act(field(4, &more(&forget))),
        field(15, &[id.clone(), field(2, &more(&forget))].concat()),
        field(15, &[id, field(2, &forget), UNKNOWN.to_vec()].concat()),
        field(16, &more(&[0x08, 1])),
        field(17, &UNKNOWN),
    ]
}

fn announcements(node: u32) -> Vec<Kind> {
    let good = Command::Announce { node: node.into(), announcement: announcement("malformed.golden.test") };
    let Some(Kind::Announce(good)) = proto::Command::decode(good.encode()).unwrap().kind else { unreachable!() };
    let changes: [fn(&mut proto::Announcement); 8] = [
        |raw| raw.node = 0,
        |raw| raw.target = "not a name".into(),
        |raw| raw.port = 0,
        |raw| raw.port = 70_000,
        |raw| raw.priority = 70_000,
        |raw| raw.weight = 70_000,
        |raw| raw.addresses = vec![Bytes::from_static(&[1; 4]); 17],
        |raw| raw.addresses = vec![Bytes::from_static(&[1; 5])],
    ];
    let changed = |change: fn(&mut proto::Announcement)| {
        let mut raw = good.clone();
        change(&mut raw);
        Kind::Announce(raw)
    };
    changes.map(changed).into()
}

fn batches(pass: &Pass) -> Vec<Kind> {
    let mut encoded = Vec::new();
    pass.publisher.record(pass.first, CLIENT, 1, START_MS).encode(&mut encoded);
    let good = proto::Record::decode(encoded.as_slice()).unwrap();
    let far = limits::TIME_MS_MAX + 1;
    let stamp = proto::Stamp { time_ms: START_MS, skew_reference: 0, skew_reference_ms: 0, expiry_ms: None };
    let batch = |stamp, records| Kind::Batch(proto::Batch { stamp, records });
    let mut batches = vec![
        batch(None, Vec::new()),
        batch(Some(proto::Stamp { time_ms: far, ..stamp }), Vec::new()),
        batch(Some(proto::Stamp { expiry_ms: Some(far), ..stamp }), Vec::new()),
        batch(Some(proto::Stamp { skew_reference: 9, ..stamp }), Vec::new()),
        batch(Some(stamp), vec![proto::Record::default(); limits::BATCH_RECORDS_MAX + 1]),
    ];
    let changes: [fn(&mut proto::Record); 7] = [
        |raw| raw.node = 0,
        |raw| raw.publisher.truncate(1),
        |raw| raw.product.truncate(1),
        |raw| raw.cmid.truncate(1),
        |raw| raw.machine.truncate(1),
        |raw| raw.machine_name = Bytes::from_static(b"a b"),
        |raw| raw.client_time_ms = limits::TIME_MS_MAX + 1,
    ];
    batches.extend(changes.map(|change| {
        let mut raw = good.clone();
        change(&mut raw);
        batch(Some(stamp), vec![raw])
    }));
    batches
}

fn audited(pass: &Pass) -> Vec<Kind> {
    let note = proto::Audited {
        who: "Ada".into(),
        from: "socket".into(),
        time_ms: START_MS,
        note: "a note".into(),
        ..proto::Audited::default()
    };
    let command = Command::Forget { node: pass.first }.encode();
    let hash = Command::StateHash { index: 1, hash: [1; 32] }.encode();
    [
        proto::Audited { who: "A\nda".into(), ..note.clone() },
        proto::Audited { time_ms: limits::TIME_MS_MAX + 1, ..note.clone() },
        proto::Audited { note: "x".repeat(201), ..note.clone() },
        proto::Audited { note: String::new(), ..note.clone() },
        proto::Audited { command, ..note.clone() },
        proto::Audited { command: hash, note: String::new(), ..note.clone() },
        proto::Audited { noted: Some(proto::Coded { code: 55, values: Vec::new() }), ..note.clone() },
        proto::Audited { command: Command::NoteHash.encode(), note: String::new(), ..note.clone() },
        proto::Audited { command: Bytes::from_static(&[0xff]), note: String::new(), ..note },
    ]
    .map(Kind::Audited)
    .into()
}

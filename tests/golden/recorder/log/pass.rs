//! Records every command with every result once, as a cluster of the newest format writes it.

use activation::audit::Origin;
use activation::catalog::Catalog;
use activation::clock::{SkewReference, Stamp};
use activation::coded::{Code, Coded};
use activation::host_activation::{KeyStanding, ReleaseStatement};
use activation::id::{KeyId, MachineDigest, NodeId, ProductId, PublisherId};
use activation::key::KeyKind;
use activation::limits::{AUDIT_TEXT_BYTES_MAX, CODED_VALUES_MAX};
use activation::message::Record;
use activation::settings::{Announcement, Rank, Setting, SettingChange};
use activation::state::{Act, Batch, Command, Grant, OpenToken};

use crate::recording::Recording;
use crate::world::*;
use crate::{catalogs, malformed};

/// One pass through all commands: its publisher and its nodes.
pub(crate) struct Pass {
    pub(crate) publisher: Publisher,
    /// Number of the first of the three nodes.
    pub(crate) first: NodeId,
}

impl Pass {
    fn nodes(&self) -> [NodeId; 3] {
        [self.first, self.first + 1, self.first + 2]
    }

    /// The host key with which the nodes are activated.
    pub(crate) fn key(&self) -> activation::key::TypedKey {
        host_key(self.publisher.number * 100)
    }
}

pub(crate) fn record(to: &mut Recording, number: u64) {
    let pass = Pass { publisher: Publisher::new(number), first: number * 10 };
    before_any_catalog(to, &pass);
    catalogs::record(to, &pass);
    keys(to, &pass);
    certificates(to, &pass);
    malformed::answers(to, &pass);
    counting(to, &pass);
    settings(to, &pass);
    announcements(to, &pass);
    tokens(to, &pass);
    releases(to, &pass);
    clock(to, &pass);
    expiry(to, &pass);
    repeated(to, &pass);
    blocked(to, &pass);
    hashes(to);
    malformed::commands(to, &pass);
    notes(to);
}

/// Records a batch while the clocks are right: cluster time and the time of expiry advance together.
fn batch(to: &mut Recording, skew: SkewReference, records: Vec<Record>) {
    batch_until(to, skew, Some(to.now_ms), records);
}

fn batch_until(to: &mut Recording, skew: SkewReference, expiry_ms: Option<u64>, records: Vec<Record>) {
    let stamp = Stamp { time_ms: to.now_ms, skew, expiry_ms };
    to.command(&Command::Batch(Batch { stamp, records }));
}

fn statement(publisher: PublisherId, key: KeyId, node: NodeId) -> ReleaseStatement {
    ReleaseStatement::sign(publisher, key, node, &node_key(node))
}

fn before_any_catalog(to: &mut Recording, pass: &Pass) {
    to.section("nothing is installed");
    let (publisher, key) = (&pass.publisher, pass.key());
    let record = publisher.record(pass.first, CLIENT, 1, to.now_ms);
    batch(to, SkewReference::ClusterTime, vec![record]);
    to.act("refused unknown-publisher", Command::InstallKey { publisher: publisher.id(), key });
    to.act("refused unknown-publisher", publisher.activation(&[pass.first], &key, GROUP_SERVER, PLATFORM_SERVER));
    let statements = vec![statement(publisher.id(), key.key_id(), pass.first)];
    to.act("refused unknown-publisher", Command::Release { statements });
}

fn keys(to: &mut Recording, pass: &Pass) {
    to.section("keys");
    let publisher = pass.publisher.id();
    to.done(Command::InstallKey { publisher, key: pass.key() });
    to.done(Command::InstallKey { publisher, key: pass.key() });
    for (kind, name) in [(KeyKind::Setup, "setup key"), (KeyKind::Direct, "direct key")] {
        to.act(&format!("refused not-a-host-key/{name}"), Command::InstallKey { publisher, key: key(kind, 9) });
    }
    // The key was installed for the wrong publisher; it moves to the right one, because no node was activated with
    // it.
    let other = Publisher::new(pass.publisher.number + 100);
    to.done(other.install(&other.catalog(1)));
    let moved = host_key(pass.publisher.number * 100 + 1);
    to.done(Command::InstallKey { publisher: other.id(), key: moved });
    to.done(Command::InstallKey { publisher, key: moved });
}

fn certificates(to: &mut Recording, pass: &Pass) {
    to.section("certificates");
    let (publisher, key) = (&pass.publisher, pass.key());
    let id = key.key_id();
    to.done(publisher.activation(&pass.nodes(), &key, GROUP_SERVER, PLATFORM_SERVER));
    // A standing with an earlier time changes nothing, one with a later time does. An answer may hold a standing and
    // no certificate.
    for (told_ms, hosts_used) in [(START_MS - 1, 1), (START_MS + 1, 4)] {
        let mut answers =
            publisher.answers([(pass.first, publisher.certify(pass.first, id, GROUP_SERVER, PLATFORM_SERVER))]);
        answers.answered_ms = told_ms;
        answers.standings.push(KeyStanding { key: id, hosts_limit: 6, hosts_used });
        to.done(publisher.activate(answers));
    }
    let other = Publisher::new(publisher.number + 100);
    to.act(&format!("refused key-of-another/{id}"), Command::InstallKey { publisher: other.id(), key });

    let refused = |to: &mut Recording, expected: String, certificate| {
        to.act(&format!("refused {expected}"), publisher.activate(publisher.answers([(pass.first, certificate)])));
    };
    let node = pass.first;
    let unknown = host_key(77).key_id();
    refused(
        to,
        format!("key-not-installed/{node}/{unknown}"),
        publisher.certify(node, unknown, GROUP_SERVER, PLATFORM_SERVER),
    );
    refused(to, format!("unknown-group/{node}/99"), publisher.certify(node, id, 99, PLATFORM_SERVER));
    let above = publisher.certify(node, id, GROUP_SERVER, PLATFORM_WORKSTATION);
    refused(to, format!("platform-may-not-hold/{node}/1/2"), above);
    let mut forged = publisher.certify(node, id, GROUP_SERVER, PLATFORM_SERVER);
    forged.platform = PLATFORM_WORKSTATION;
    refused(to, format!("certificate/signature/{node}"), forged);
    let mut weak = publisher.certify(node, id, GROUP_SERVER, PLATFORM_SERVER);
    weak.node_key = [0; 32];
    refused(to, format!("certificate/malformed/{node}/node key"), weak);
    let answers = publisher.answers([(node, publisher.certify(node, id, GROUP_SERVER, PLATFORM_SERVER))]);
    let signed = answers.sign(&signing_key(9, 9)).encode().into();
    to.act("refused not-signed-by-publisher", Command::InstallActivation { signed });
    // An additional certificate of a lower group: the product of the client machine decides which key is used.
    to.done(publisher.activation(&[node], &host_key(publisher.number * 100 + 1), GROUP_CLIENT, PLATFORM_SERVER));
}

fn counting(to: &mut Recording, pass: &Pass) {
    to.section("requests");
    let publisher = &pass.publisher;
    let [first, second, third] = pass.nodes();
    for machine in 1..=5 {
        let now_ms = to.now_ms;
        let records = vec![
            publisher.record(first, SERVER, machine, now_ms),
            publisher.record(second, CLIENT, machine + 3, now_ms + HOUR_MS),
            publisher.record(third, CLIENT, machine, now_ms),
        ];
        batch(to, SkewReference::ClusterTime, records);
        to.now_ms += HOUR_MS;
    }
    let right = publisher.record(first, CLIENT, 3, to.now_ms);
    let records = vec![
        Record { machine: MachineDigest([9; 8]), ..right.clone() },
        Record { machine_name: "büro-3".parse().unwrap(), ..right.clone() },
        Record { node: 65_535, ..right.clone() },
        Record { publisher: PublisherId([5; 16]), ..right.clone() },
        Record { product: ProductId([5; 16]), ..right.clone() },
        publisher.record(first, SUITE, 3, to.now_ms),
        Record { client_time_ms: to.now_ms - 5 * HOUR_MS, ..right.clone() },
        Record { client_time_ms: to.now_ms + 4 * HOUR_MS, ..right.clone() },
    ];
    batch(to, SkewReference::ClusterTime, records);
    let late = Record { client_time_ms: to.now_ms + 9 * DAY_MS, ..right };
    batch(to, SkewReference::ClusterTime, vec![late.clone()]);
    batch(to, SkewReference::Other(to.now_ms + 9 * DAY_MS), vec![late.clone()]);
    batch(to, SkewReference::LeaveOut, vec![late]);
    batch(to, SkewReference::ClusterTime, Vec::new());
    // Cluster time does not run backwards.
    to.now_ms -= DAY_MS;
    batch(to, SkewReference::ClusterTime, Vec::new());
    to.now_ms += DAY_MS;
    // Machines are forgotten after 30 days.
    to.now_ms += 29 * DAY_MS + 21 * HOUR_MS;
    let record = publisher.record(second, SERVER, 50, to.now_ms);
    batch(to, SkewReference::ClusterTime, vec![record]);
}

fn settings(to: &mut Recording, pass: &Pass) {
    to.section("settings");
    let change = |setting, value: &str| SettingChange::from_log(setting, value.to_owned());
    let set = |node, setting, value: &str| Command::ChangeSettings { node, changes: vec![change(setting, value)] };
    let mine = Some(pass.first);
    let values = [
        (Setting::ActivationInterval, "60", "14"),
        (Setting::RenewalInterval, " 1440 ", "43201"),
        (Setting::DnsPublish, "false", "no"),
        (Setting::DnsDomains, "a.test:1:2,B.test.", "a.test,a.test"),
        (Setting::DnsTtl, "60", "0"),
        (Setting::DnsWithdrawDead, "0", "59"),
        (Setting::ConnectionsPerSource, "7", "65536"),
        (Setting::ClientsPort, "1700", "70000"),
        (Setting::LowPriority, "true", "yes\n"),
        (Setting::RaftProfile, "far", "wide"),
    ];
    assert_eq!(values.len(), Setting::ALL.len());
    for (setting, right, wrong) in values {
        let name = setting.name();
        let (node, other, refused) =
            if setting.is_of_node() { (mine, None, "of-node") } else { (None, mine, "of-cluster") };
        to.done(set(node, setting, right));
        to.act(&format!("refused setting/value/{name}"), set(node, setting, wrong));
        to.act(&format!("refused setting/{refused}/{name}"), set(other, setting, right));
    }
    // Either all changes apply or none; the text in the audit record is cut.
    let long = "x".repeat(300);
    let changes = vec![change(Setting::DnsTtl, "90"), change(Setting::DnsDomains, &long)];
    to.act("refused setting/value/dns.domains", Command::ChangeSettings { node: None, changes });
    let changes = vec![change(Setting::DnsTtl, "90"), change(Setting::DnsWithdrawDead, "600")];
    to.done(Command::ChangeSettings { node: None, changes });
    to.done(Command::ChangeSettings { node: mine, changes: Vec::new() });
    // Settings with their default value are removed from the state.
    let changes = vec![change(Setting::ClientsPort, "0"), change(Setting::LowPriority, "false")];
    to.done(Command::ChangeSettings { node: mine, changes });
    to.done(set(Some(pass.first + 1), Setting::ClientsPort, "1701"));
}

pub(crate) fn announcement(target: &str) -> Announcement {
    Announcement {
        target: target.parse().unwrap(),
        port: 1688,
        rank: Rank { priority: 1, weight: 60 },
        addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
    }
}

fn announcements(to: &mut Recording, pass: &Pass) {
    to.section("announcements");
    let [first, second, third] = pass.nodes();
    for node in [first, second] {
        to.done(Command::Announce { node, announcement: announcement(&format!("node{node}.golden.test")) });
    }
    let taken = announcement(&format!("node{first}.golden.test"));
    let expected = format!("refused target-of-another/{third}/{first}");
    to.act(&expected, Command::Announce { node: third, announcement: taken });
    to.done(Command::Announce { node: first, announcement: announcement(&format!("moved{first}.golden.test")) });
    to.done(Command::Forget { node: second });
    to.done(Command::Forget { node: second });
}

fn tokens(to: &mut Recording, pass: &Pass) {
    to.section("tokens");
    let now_ms = to.state().time_ms().unwrap();
    let base = u8::try_from(pass.publisher.number * 20).unwrap();
    let node = Some(pass.first + 3);
    let add = |number: u8, grant, expires_ms| Command::AddToken {
        digest: digest(base + number),
        token: OpenToken { grant, expires_ms },
    };
    let using = |number: u8, node| Command::UseToken { digest: digest(base + number), time_ms: now_ms, node };
    for (number, grant) in [(0, Grant::Node), (1, Grant::Administrator), (2, Grant::Operator), (3, Grant::Reader)] {
        to.done(add(number, grant, now_ms + HOUR_MS));
    }
    to.done(add(4, Grant::Node, now_ms - 1));
    to.act("refused expired-token", using(4, node));
    to.act("refused unknown-token", using(5, node));
    to.act("refused malformed/node", using(0, None));
    to.act("refused malformed/node", using(1, node));
    to.done(using(0, node));
    to.act("refused unknown-token", using(0, node));
    to.done(using(1, None));
}

fn releases(to: &mut Recording, pass: &Pass) {
    to.section("places given back");
    let (publisher, key) = (&pass.publisher, pass.key());
    let id = key.key_id();
    let third = pass.first + 2;
    let release = |statement| Command::Release { statements: vec![statement] };
    to.act(&format!("refused not-held/99/{id}"), release(statement(publisher.id(), id, 99)));
    let mut bytes = statement(publisher.id(), id, third).encode();
    *bytes.last_mut().unwrap() ^= 1;
    to.act(&format!("refused not-signed-by-node/{third}"), release(ReleaseStatement::decode(&bytes).unwrap()));
    // Either all statements apply or none.
    let statements = vec![statement(publisher.id(), id, third), statement(publisher.id(), id, 99)];
    to.act(&format!("refused not-held/99/{id}"), Command::Release { statements });
    for _ in 0..2 {
        to.done(release(statement(publisher.id(), id, third)));
    }
    // An older answer does not take the slot again; the publisher's confirmation ends the release.
    to.done(publisher.activation(&[third], &key, GROUP_SERVER, PLATFORM_SERVER));
    to.done(release(statement(publisher.id(), id, pass.first + 1)));
    let mut answers = publisher.answers([]);
    answers.released.push((id, node_key(third).verifying_key().to_bytes()));
    answers.standings.push(KeyStanding { key: id, hosts_limit: 6, hosts_used: 2 });
    to.done(publisher.activate(answers));
}

fn clock(to: &mut Recording, pass: &Pass) {
    to.section("cluster time is set back");
    let now_ms = to.state().time_ms().unwrap();
    to.act("refused not-a-backward-reset", Command::ResetClock { time_ms: now_ms + 1 });
    to.now_ms = now_ms - HOUR_MS;
    to.done(Command::ResetClock { time_ms: to.now_ms });
    let record = pass.publisher.record(pass.first, CLIENT, 60, to.now_ms);
    batch(to, SkewReference::ClusterTime, vec![record]);
}

/// Records the time of expiry, which stands still while the clocks are not confirmed, and goes on when an
/// administrator accepts them.
fn expiry(to: &mut Recording, pass: &Pass) {
    to.section("the clock of expiry");
    let record = |to: &Recording, machine| vec![pass.publisher.record(pass.first, CLIENT, machine, to.now_ms)];
    let stood_ms = to.now_ms;
    for machine in 70..73 {
        batch(to, SkewReference::ClusterTime, record(to, machine));
    }
    // After a month without requests, machines that renew meanwhile stay counted, and none expires.
    to.now_ms += 31 * DAY_MS;
    batch_until(to, SkewReference::Other(to.now_ms), Some(stood_ms), record(to, 70));
    // The time of expiry runs neither backwards nor ahead of cluster time; a stamp without it does not change it.
    batch_until(to, SkewReference::ClusterTime, Some(stood_ms - HOUR_MS), record(to, 71));
    batch_until(to, SkewReference::ClusterTime, None, record(to, 71));
    to.done(Command::AcceptClock { time_ms: stood_ms - HOUR_MS });
    to.done(Command::AcceptClock { time_ms: to.now_ms });
    batch(to, SkewReference::ClusterTime, record(to, 73));
    batch_until(to, SkewReference::ClusterTime, Some(to.now_ms + DAY_MS), record(to, 74));
    to.done(Command::AcceptClock { time_ms: to.now_ms + DAY_MS });
    to.now_ms += HOUR_MS;
    batch_until(to, SkewReference::ClusterTime, Some(to.now_ms - 2 * HOUR_MS), record(to, 74));
    // Cluster time is set back twice: to a time between it and the time of expiry, then to a time below both.
    to.now_ms -= HOUR_MS / 2;
    to.done(Command::ResetClock { time_ms: to.now_ms });
    to.now_ms -= HOUR_MS;
    to.done(Command::ResetClock { time_ms: to.now_ms });
    batch(to, SkewReference::ClusterTime, record(to, 75));
}

/// Records commands whose ids are known: each gets its first outcome again, whatever it contains.
fn repeated(to: &mut Recording, pass: &Pass) {
    to.section("commands that are proposed again");
    let ttl = |value: &str| Command::ChangeSettings {
        node: None,
        changes: vec![SettingChange::from_log(Setting::DnsTtl, value.to_owned())],
    };
    let once = |to: &mut Recording, expected: &str, number: u8, command: Command| {
        let command = to.audited(command);
        to.expect(expected, &Command::Once { id: [number; 16], command: Box::new(command) })
    };
    let done = once(to, "done", 0xa1, ttl("61"));
    let refused = once(to, "refused setting/value/dns.ttl_s", 0xa2, ttl("0"));
    once(to, "done", 0xa3, ttl("62"));
    once(to, &format!("repeated {done} false"), 0xa1, ttl("61"));
    once(to, &format!("repeated {refused} true"), 0xa2, ttl("0"));
    once(to, &format!("repeated {refused} true"), 0xa2, ttl("63"));
    once(to, &format!("repeated {done} false"), 0xa1, Command::Forget { node: pass.first });
    // A command of the node itself, which is no administrator's act.
    let forget = Command::Forget { node: pass.first + 7 };
    let own = Command::Once { id: [0xa4; 16], command: Box::new(forget.clone()) };
    let index = to.expect("done", &own);
    to.expect(&format!("repeated {index} false"), &own);
    // A command without an id is carried out each time.
    for _ in 0..2 {
        to.expect("done", &forget);
    }
}

fn blocked(to: &mut Recording, pass: &Pass) {
    to.section("a blocked key");
    let publisher = &pass.publisher;
    let blocks = |catalog: Catalog| {
        let lower =
            publisher.certify(pass.first, host_key(publisher.number * 100 + 1).key_id(), GROUP_CLIENT, PLATFORM_SERVER);
        catalog.with_blocked([pass.key().key_id()], [lower.id()]).unwrap()
    };
    to.done(publisher.install(&blocks(publisher.catalog(8))));
    let record = publisher.record(pass.first, CLIENT, 61, to.now_ms);
    batch(to, SkewReference::ClusterTime, vec![record]);
    to.done(publisher.install(&publisher.catalog(9)));
}

fn hashes(to: &mut Recording) {
    to.section("state hashes");
    let noted = to.expect("done", &Command::NoteHash);
    let hash = to.state().hash_at(noted).unwrap();
    assert_eq!(to.state().noted_hash_index(), Some(noted));
    for (index, hash) in [(noted, hash), (noted, [0; 32])] {
        to.command(&Command::StateHash { index, hash });
    }
    to.to_hash_boundary();
    batch(to, SkewReference::ClusterTime, Vec::new());
    let (index, hash) = to.state().newest_hash().unwrap();
    for (index, hash) in [(index, hash), (index, [0; 32]), (index + 1, hash)] {
        to.command(&Command::StateHash { index, hash });
    }
}

/// Records every code, with its values and the text that describes it.
fn notes(to: &mut Recording) {
    to.section("acts that are no command");
    let note = |to: &mut Recording, who: &str, what: Coded, refused: Option<u32>| {
        let origin = Origin::new(who, "socket", to.now_ms);
        to.once("done", Command::Audited { origin, act: Act::Noted { what, refused } });
    };
    for code in Code::ALL {
        note(to, "uid:0", Coded::new(*code, ["4", "node4.golden.test:1689"]), None);
    }
    for status in 1..=17 {
        note(to, "uid:1000", Coded::new(Code::AddNode, ["4", "192.0.2.4:1689"]), Some(status));
    }
    let (many, long) = (vec!["\u{e4}"; CODED_VALUES_MAX + 1], ["\u{e4}".repeat(AUDIT_TEXT_BYTES_MAX)]);
    note(to, &"\u{e4}".repeat(200), Coded::new(Code::SetSettings, many), None);
    note(to, "text\u{fffd}", Coded::new(Code::SetSettings, long), None);
    // Acts described in words are refused since format 3.
    let origin = Origin::new("uid:0", "socket", to.now_ms);
    let act = Act::Note { act: "back the state up".to_owned(), refused: String::new() };
    to.once("refused malformed/act", Command::Audited { origin, act });
}

/// Records format 2 after format 3: codes are stored as words, and what only format 3 can hold is removed.
pub(crate) fn lowered(to: &mut Recording, number: u64) {
    let pass = Pass { publisher: Publisher::new(number), first: number * 10 };
    let profile = SettingChange::from_log(Setting::RaftProfile, "far".to_owned());
    to.act("refused malformed/setting", Command::ChangeSettings { node: None, changes: vec![profile] });
    to.done(Command::Forget { node: 9 });
    let note = |act| Command::Audited { origin: Origin::new("uid:0", "socket", START_MS), act };
    let words = Act::Note { act: "back the state up".to_owned(), refused: "no node answers".to_owned() };
    to.expect("done", &note(words));
    let codes = Act::Noted { what: Coded::bare(Code::BackUp), refused: None };
    to.expect("refused malformed/act", &note(codes));
    // Entries that a leader wrote just before it knew of the lower format.
    let repeated = Command::Once { id: [0xa1; 16], command: Box::new(Command::Forget { node: 9 }) };
    for _ in 0..2 {
        to.expect("done", &repeated);
    }
    to.expect("done", &Command::AcceptClock { time_ms: to.now_ms });
    to.expect("done", &Command::NoteHash);
    let record = pass.publisher.record(pass.first, CLIENT, 80, to.now_ms);
    batch(to, SkewReference::ClusterTime, vec![record.clone()]);
    to.now_ms += HOUR_MS;
    batch_until(to, SkewReference::ClusterTime, None, vec![record]);
}

/// Records format 3 after format 2.
pub(crate) fn raised(to: &mut Recording, number: u64) {
    let pass = Pass { publisher: Publisher::new(number), first: number * 10 };
    to.done(Command::Forget { node: 9 });
    to.expect("done", &Command::Once { id: [0xa1; 16], command: Box::new(Command::Forget { node: 9 }) });
    let profile = SettingChange::from_log(Setting::RaftProfile, "far".to_owned());
    to.done(Command::ChangeSettings { node: None, changes: vec![profile] });
    let record = pass.publisher.record(pass.first, CLIENT, 81, to.now_ms);
    batch_until(to, SkewReference::ClusterTime, None, vec![record.clone()]);
    to.now_ms += HOUR_MS;
    batch(to, SkewReference::ClusterTime, vec![record]);
    to.expect("done", &Command::NoteHash);
}

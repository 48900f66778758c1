//! Every file of the fuzzing corpus is passed to the fuzzed functions, and the seeds equal what this version writes:
//! bytes that were sent or stored by an older version must stay readable and must not change.
//!
//! After an intended change of a format or of the example catalog, run the tests once with `QUORATE_WRITE_CORPUS=1`.

use std::fs;
use std::path::Path;

use activation::audit::Origin;
use activation::clock::{SkewReference, Stamp};
use activation::direct::{DirectCertificate, DirectRequest};
use activation::host_activation::{
    ActivationRequests, HostActivation, HostActivationRequest, IdentityKind, ReleaseStatement,
};
use activation::id::{MachineDigest, ProductId};
use activation::key::{KeyKind, TypedKey};
use activation::lifecycle::{Lifecycle, Moment};
use activation::message::{AnswerBody, ValidRequest, sign_answer};
use activation::phone_text::{self, PhoneTextKind};
use activation::settings::{Setting, SettingChange};
use activation::state::{Act, Batch, Command, Format, Grant, OpenToken};
use activation::status::Status;

use super::world::*;

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a library of its own, for the fuzz targets")]
mod fuzzed;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 7] = [
    ("request", fuzzed::request),
    ("answer", fuzzed::answer),
    ("command", fuzzed::command),
    ("catalog", fuzzed::catalog),
    ("key", fuzzed::key),
    ("certificate", fuzzed::certificate),
    ("lifecycle", fuzzed::lifecycle),
];

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus"))
}

fn audited(act: Act) -> Command {
    Command::Audited { origin: Origin::new("Ada", "192.0.2.7", START_MS), act }
}

/// Path below the corpus folder, and content.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let cluster = Cluster::activated();
    let request = request(cluster.publisher.id(), CLIENT).encode();
    let certificate = cluster.publisher.certify(1, &host_key(1), GROUP_B, PLATFORM_STANDARD);
    let body = AnswerBody {
        count: 26,
        threshold: 25,
        activation_interval_minutes: 120,
        renewal_interval_minutes: 10_080,
        cluster_time_ms: START_MS,
        log_index: 77,
        offset: 3,
    };
    let answer = sign_answer(&body, &certificate, &node_key(1), ValidRequest::decode(&request).unwrap().digest());
    let records = vec![cluster.record(CLIENT, 1), cluster.record(SERVER, 2)];
    let batch = |skew| {
        Command::Batch(Batch { stamp: Stamp { time_ms: START_MS, skew, expiry_ms: None }, records: records.clone() })
    };
    let catalog = cluster.publisher.sign(&example());
    let publisher = cluster.publisher.id();
    let signed: bytes::Bytes = cluster.publisher.answer(vec![(1, certificate.clone())]).encode().into();
    let release = ReleaseStatement::sign(publisher, host_key(1).key_id(), 1, &node_key(1));
    let asked = HostActivation {
        request_id: [1; 16],
        node: 1,
        key: host_key(1),
        platform: "server-datacenter".parse().unwrap(),
        machine: MachineDigest([2; 8]),
        identity: IdentityKind::Machine,
    };
    let asked = HostActivationRequest::sign(asked, &node_key(1), Some(&node_key(2)));
    let requests = ActivationRequests { requests: vec![asked], releases: vec![release.clone()] }.encode();
    let direct = DirectRequest {
        request_id: [1; 16],
        key: TypedKey::generate(KeyKind::Direct, 1, [3; 16]),
        product: ProductId::derive(publisher, CLIENT),
        cmid: cmid(1),
        machine: MachineDigest([2; 8]),
    };
    let direct_certificate = DirectCertificate::issue(publisher, &direct, 7, &cluster.publisher.activation[0]);
    let moment = |ms| Moment { wall_ms: START_MS + ms, boot: Some([1; 16]), uptime_ms: HOUR_MS };
    let mut waiting = Lifecycle::begin(moment(0), 0);
    waiting.failed(moment(0), Status::NO_HOST_REACHED, 7);
    waiting.advance(moment(31 * DAY_MS));
    vec![
        ("request/ordinary", request),
        ("answer/ordinary", answer),
        ("command/batch", batch(SkewReference::ClusterTime).encode().to_vec()),
        ("command/batch-other-reference", batch(SkewReference::Other(START_MS)).encode().to_vec()),
        ("command/install-catalog", Command::InstallCatalog { signed: catalog.bytes().clone() }.encode().to_vec()),
        ("command/install-key", Command::InstallKey { publisher, key: host_key(1) }.encode().to_vec()),
        ("command/install-activation", Command::InstallActivation { signed: signed.clone() }.encode().to_vec()),
        ("command/release", Command::Release { statements: vec![release.clone()] }.encode().to_vec()),
        (
            "command/change-settings",
            Command::ChangeSettings {
                node: None,
                changes: vec![SettingChange::from_log(Setting::DnsDomains, "a.test:1:2,b.test".into())],
            }
            .encode()
            .to_vec(),
        ),
        (
            "command/announce",
            Command::Announce { node: 1, announcement: announcement("node1.example.test") }.encode().to_vec(),
        ),
        (
            "command/add-token",
            Command::AddToken { digest: [4; 32], token: OpenToken { grant: Grant::Node, expires_ms: START_MS } }
                .encode()
                .to_vec(),
        ),
        (
            "command/use-token",
            Command::UseToken {
                digest: [4; 32],
                time_ms: START_MS,
                node: Some(4),
                registration: None,
                enrolled: None,
                joining: None,
            }
            .encode()
            .to_vec(),
        ),
        ("command/set-format", Command::SetFormat { format: Format::NEWEST }.encode().to_vec()),
        ("command/audited-act", audited(Act::Command(Box::new(Command::Forget { node: 2 }))).encode().to_vec()),
        (
            "command/audited-note",
            audited(Act::Note { act: "add node 4".into(), refused: "nobody answers".into() }).encode().to_vec(),
        ),
        ("command/reset-clock", Command::ResetClock { time_ms: START_MS }.encode().to_vec()),
        ("command/state-hash", Command::StateHash { index: 1024, hash: [3; 32] }.encode().to_vec()),
        ("catalog/signed", catalog.bytes().to_vec()),
        ("catalog/text", EXAMPLE.as_bytes().to_vec()),
        ("key/typed", host_key(1).to_string().into_bytes()),
        ("key/spoken", phone_text::write(PhoneTextKind::Requests, &requests).unwrap().into_bytes()),
        ("certificate/node", certificate.encode()),
        ("certificate/requests", requests),
        ("certificate/answers", signed.to_vec()),
        ("certificate/release", release.encode()),
        ("certificate/direct-request", direct.encode()),
        ("certificate/direct", direct_certificate.encode()),
        ("lifecycle/new", Lifecycle::begin(moment(0), 0).encode()),
        ("lifecycle/waiting-for-hosts", waiting.encode()),
    ]
}

#[test]
fn seeds_are_what_this_version_writes() {
    for (path, bytes) in seeds() {
        let path = folder().join(path);
        if std::env::var_os("QUORATE_WRITE_CORPUS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let stored = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(stored, bytes, "{} is not what this version writes", path.display());
    }
}

#[test]
fn every_corpus_file_passes_the_fuzzed_functions() {
    for (name, target) in TARGETS {
        let files: Vec<_> = fs::read_dir(folder().join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "no corpus for {name}");
        for file in files {
            target(&fs::read(file).unwrap());
        }
    }
}

#[test]
fn a_kept_lifecycle_with_any_bit_flipped_passes_the_fuzzed_function() {
    for (path, bytes) in seeds().into_iter().filter(|(path, _)| path.starts_with("lifecycle/")) {
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fuzzed::lifecycle(&flipped);
        }
        assert!(!bytes.is_empty(), "{path}");
    }
}

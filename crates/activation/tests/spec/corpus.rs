//! Every file of the fuzzing corpus goes through the functions that are fuzzed, and the seeds are what this version
//! writes: bytes that were sent or stored once must stay readable and must not change.
//!
//! After a wanted change of a format or of the example catalog, run the tests once with `QUORATE_WRITE_CORPUS=1`.

use std::fs;
use std::path::Path;

use activation::clock::{SkewReference, Stamp};
use activation::message::{AnswerBody, ValidRequest, sign_answer};
use activation::state::{Batch, Command};

use super::world::*;

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a library of its own, for the fuzz targets")]
mod fuzzed;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 4] = [
    ("request", fuzzed::request),
    ("answer", fuzzed::answer),
    ("command", fuzzed::command),
    ("catalog", fuzzed::catalog),
];

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus"))
}

/// Path under the corpus, content.
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
    let batch = |skew| Command::Batch(Batch { stamp: Stamp { time_ms: START_MS, skew }, records: records.clone() });
    let catalog = cluster.publisher.sign(&example());
    let publisher = cluster.publisher.id();
    let certificates = vec![(1, certificate)];
    vec![
        ("request/ordinary", request),
        ("answer/ordinary", answer),
        ("command/batch", batch(SkewReference::ClusterTime).encode().to_vec()),
        ("command/batch-other-reference", batch(SkewReference::Other(START_MS)).encode().to_vec()),
        ("command/install-catalog", Command::InstallCatalog { signed: catalog.bytes().clone() }.encode().to_vec()),
        ("command/install-key", Command::InstallKey { key: host_key(1) }.encode().to_vec()),
        ("command/install-certificates", Command::InstallCertificates { publisher, certificates }.encode().to_vec()),
        ("command/reset-clock", Command::ResetClock { time_ms: START_MS }.encode().to_vec()),
        ("command/state-hash", Command::StateHash { index: 1024, hash: [3; 32] }.encode().to_vec()),
        ("catalog/signed", catalog.bytes().to_vec()),
        ("catalog/text", EXAMPLE.as_bytes().to_vec()),
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

//! Measures the cost of a record (encoding it once, building a batch, and applying it on each replica) and of
//! signing and verifying an answer. Run with `cargo bench -p activation`.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![expect(clippy::print_stdout, reason = "and prints it")]

use std::hint::black_box;
use std::time::Instant;

use activation::catalog::{Catalog, SignedCatalog};
use activation::certificate::NodeCertificate;
use activation::clock::{SkewReference, Stamp};
use activation::host_activation::{ActivationAnswer, ActivationAnswers};
use activation::id::{Cmid, MachineDigest, ProductId, PublisherId};
use activation::key::{KeyKind, TypedKey};
use activation::message::{AnswerBody, LicenseStatus, Record, Request, ValidRequest, sign_answer, verify_answer};
use activation::state::{Applied, BatchBuilder, Command, State};
use activation::trust::Trust;
use activation::{SigningKey, VerifyingKey};

const NOW_MS: u64 = 1_767_225_600_000;
const BATCHES: u64 = 400;

fn main() {
    let root = SigningKey::from_bytes(&[1; 32]);
    let activation_key = SigningKey::from_bytes(&[2; 32]);
    let activation_keys: [VerifyingKey; 2] = [activation_key.verifying_key(), root.verifying_key()];
    let node_key = SigningKey::from_bytes(&[3; 32]);
    let publisher = PublisherId::derive(&root.verifying_key());
    let key = TypedKey::generate(KeyKind::Host, 3, [4; 16]);
    let certificate =
        NodeCertificate::issue(publisher, key.key_id(), 3, 4, 0, &node_key.verifying_key(), &activation_key);

    let activation = ActivationAnswers {
        publisher,
        answered_ms: NOW_MS,
        answers: vec![ActivationAnswer {
            request_id: [0; 16],
            node: 1,
            certificate: certificate.clone(),
            reactivations_left: 9,
        }],
        released: Vec::new(),
        standings: Vec::new(),
    };
    let activation: bytes::Bytes = activation.sign(&activation_key).encode().into();

    for threshold in [25, 10_000] {
        let signed = SignedCatalog::sign(&catalog(threshold), activation_keys, &root);
        let mut state = State::new();
        let install = [
            Command::InstallCatalog { signed: signed.bytes().clone() },
            Command::InstallKey { publisher, key },
            Command::InstallActivation { signed: activation.clone() },
        ];
        for (index, command) in (1..).zip(install) {
            assert_eq!(state.apply(index, &command.encode()), Applied::Done);
        }
        records(&mut state, publisher, threshold);
    }
    let signed = SignedCatalog::sign(&catalog(25), activation_keys, &root);
    let trust = Trust::issue(&root, activation_keys, Some(&signed)).expect("a trust");
    answers(&certificate, &node_key, &trust);
}

fn catalog(threshold: u32) -> Catalog {
    let text = include_str!("../../../deploy/catalogs/example.toml");
    let text = text.replacen("threshold = 25", &format!("threshold = {threshold}"), 1);
    Catalog::from_toml(&text).expect("the example catalog")
}

fn request(publisher: PublisherId, machine: u64) -> ValidRequest {
    let mut cmid = [0; 16];
    // Spread over the whole range, as random CMIDs are.
    cmid.iter_mut().zip(machine.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()).for_each(|(to, from)| *to = from);
    let request = Request {
        nonce: [9; 16],
        publisher,
        product: ProductId::derive(publisher, "workstation-professional-2"),
        cmid: Cmid(cmid),
        machine: MachineDigest([7; 8]),
        machine_name: "PC-0123456789AB".parse().expect("a machine name"),
        virtual_machine: true,
        license_status: LicenseStatus::OutOfBoxGrace,
        minutes_to_expiry: 43_200,
        client_time_ms: NOW_MS,
    };
    ValidRequest::decode(&request.encode()).expect("a valid request")
}

fn records(state: &mut State, publisher: PublisherId, threshold: u32) {
    let per_batch = 400;
    let requests: Vec<_> = (0..BATCHES * per_batch).map(|machine| request(publisher, machine)).collect();
    let total = requests.len();

    let begin = Instant::now();
    let encoded: Vec<Vec<u8>> = requests
        .iter()
        .map(|request| {
            let mut bytes = Vec::with_capacity(128);
            Record::new(1, request).encode(&mut bytes);
            bytes
        })
        .collect();
    report(threshold, "encode a record", begin, total);

    let begin = Instant::now();
    let stamp = Stamp { time_ms: NOW_MS, skew: SkewReference::ClusterTime, expiry_ms: None };
    let commands: Vec<_> = encoded
        .chunks(usize::try_from(per_batch).expect("a small number"))
        .map(|records| {
            let mut builder = BatchBuilder::new(stamp);
            records.iter().for_each(|record| builder.push_encoded(record).expect("fits"));
            builder.finish()
        })
        .collect();
    report(threshold, "validate and batch a record", begin, total);

    let begin = Instant::now();
    for (index, command) in (10..).zip(&commands) {
        black_box(state.apply(index, command));
    }
    report(threshold, "apply a record", begin, total);
}

fn answers(certificate: &NodeCertificate, node_key: &SigningKey, trust: &Trust) {
    let request = request(trust.publisher, 1);
    let bytes = request.request().encode();
    let body = AnswerBody {
        count: 26,
        threshold: 25,
        activation_interval_minutes: 120,
        renewal_interval_minutes: 10_080,
        cluster_time_ms: NOW_MS,
        log_index: 1_000_000,
        offset: 17,
    };
    let begin = Instant::now();
    for _ in 0..2000 {
        black_box(sign_answer(&body, certificate, node_key, request.digest()));
    }
    report(25, "sign an answer", begin, 2000);
    let answer = sign_answer(&body, certificate, node_key, request.digest());
    let begin = Instant::now();
    for _ in 0..1000 {
        black_box(verify_answer(&answer, &bytes, trust, request.request().product)).expect("verifies");
    }
    report(25, "verify an answer", begin, 1000);
    let begin = Instant::now();
    for _ in 0..20_000 {
        black_box(ValidRequest::decode(&bytes)).expect("valid");
    }
    report(25, "decode and digest a request", begin, 20_000);
}

fn report(threshold: u32, what: &str, begin: Instant, times: usize) {
    let nanoseconds = begin.elapsed().as_nanos() / times as u128;
    println!("threshold {threshold:>5}  {what:<28} {nanoseconds:>7} ns");
}

//! The fuzzed functions: every function that decodes untrusted bytes. Each fuzz target is one of these functions,
//! and a plain test runs the committed corpus through them.

use activation::SigningKey;
use activation::catalog::{Catalog, SignedCatalog};
use activation::certificate::NodeCertificate;
use activation::direct::{DirectCertificate, DirectRequest};
use activation::host_activation::{ActivationRequests, ReleaseStatement, SignedAnswers};
use activation::id::ProductId;
use activation::key::TypedKey;
use activation::lifecycle::{GRACE_MS, Installed, LicenseState, Lifecycle, Moment, REARMS};
use activation::message::{Record, RefusalDetail, ValidRequest, verify_answer};
use activation::phone_text;
use activation::state::{Command, RecordOutcome, State};
use activation::trust::Trust;

/// A decoded request encodes to bytes that decode to the same request.
pub fn request(bytes: &[u8]) {
    if let Ok(valid) = ValidRequest::decode(bytes) {
        let again = ValidRequest::decode(&valid.request().encode()).expect("a valid request encodes to one");
        assert_eq!(again.request(), valid.request());
        let record = Record::new(1, &valid);
        let mut encoded = Vec::new();
        record.encode(&mut encoded);
        assert_eq!(Record::decode(&encoded), Ok(record));
    }
    let _ = Record::decode(bytes);
}

/// No bytes verify as an answer, and no bytes cause a panic.
pub fn answer(bytes: &[u8]) {
    let key = |seed: u8| SigningKey::from_bytes(&[seed; 32]);
    let activation_keys = [key(2).verifying_key(), key(3).verifying_key()];
    let trust = Trust::issue(&key(1), activation_keys, None).expect("a trust without a catalog");
    assert!(verify_answer(bytes, b"", &trust, ProductId([0; 16])).is_err());
    let _ = RecordOutcome::decode(bytes);
}

/// Any command leaves a sound state, which a snapshot can hold.
pub fn command(bytes: &[u8]) {
    if let Ok(command) = Command::decode(bytes) {
        assert_eq!(Command::decode(&command.encode()), Ok(command));
    }
    let mut state = State::new();
    state.apply(1, bytes);
    state.check_invariants();
    let restored = State::decode_snapshot(&state.encode_snapshot()).expect("an own snapshot");
    assert_eq!(restored.hash(), state.hash());
    if let Ok(state) = State::decode_snapshot(bytes) {
        state.check_invariants();
    }
}

/// Decodes signed catalogs, catalog texts and trust files.
pub fn catalog(bytes: &[u8]) {
    if let Ok(opened) = SignedCatalog::open(bytes) {
        assert_eq!(opened.product_ids().count(), opened.catalog.products().count());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Trust::from_toml(text);
        if let Ok(catalog) = Catalog::from_toml(text) {
            let root = SigningKey::from_bytes(&[1; 32]);
            let keys = [root.verifying_key(), root.verifying_key()];
            let opened = SignedCatalog::open(SignedCatalog::sign(&catalog, keys, &root).bytes());
            assert_eq!(opened.expect("a valid catalog opens").catalog, catalog);
        }
    }
}

/// Parses typed text: keys, and files that are read out. The displayed form parses to the same value.
pub fn key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = text.parse::<TypedKey>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    if let Ok((of, file)) = phone_text::read(text) {
        let again = phone_text::write(of, &file).expect("what was read out can be read out");
        assert_eq!(phone_text::read(&again), Ok((of, file)));
    }
}

/// Decodes the stored times of a client machine: never a licence without evidence, never more grace than a new
/// machine has.
pub fn lifecycle(bytes: &[u8]) {
    let now = Moment { wall_ms: 1_767_225_600_000, boot: Some([1; 16]), uptime_ms: 0 };
    let Ok(read) = Lifecycle::decode(bytes, None, now) else { return };
    let standing = read.standing(now, Installed::Setup);
    assert_ne!(standing.state, LicenseState::Licensed);
    assert!(standing.rearms_left <= REARMS && standing.minutes_left.unwrap_or(0) <= GRACE_MS / 60_000);
    let again = Lifecycle::decode(&read.encode(), None, now).expect("what was read can be kept");
    assert_eq!(again.standing(now, Installed::Setup), standing);
}

/// Decodes certificates, and the requests and answers by which nodes and machines obtain them.
pub fn certificate(bytes: &[u8]) {
    if let Ok(certificate) = NodeCertificate::decode(bytes) {
        assert_eq!(NodeCertificate::decode(&certificate.encode()), Ok(certificate));
    }
    if let Ok(certificate) = DirectCertificate::decode(bytes) {
        assert_eq!(DirectCertificate::decode(&certificate.encode()), Ok(certificate));
    }
    if let Ok(request) = DirectRequest::decode(bytes) {
        assert_eq!(DirectRequest::decode(&request.encode()), Ok(request));
    }
    if let Ok(requests) = ActivationRequests::decode(bytes) {
        let _ = requests.requests.iter().map(|request| request.verify().is_ok()).collect::<Vec<_>>();
        let _ = requests.releases.iter().map(|release| release.verify().is_ok()).collect::<Vec<_>>();
        assert_eq!(ActivationRequests::decode(&requests.encode()), Ok(requests));
    }
    if let Ok(answers) = SignedAnswers::decode(bytes) {
        let key = SigningKey::from_bytes(&[1; 32]).verifying_key();
        assert!(answers.verify(&[key, key]).is_err(), "signed by nobody");
        assert_eq!(SignedAnswers::decode(&answers.encode()), Ok(answers));
    }
    let _ = ReleaseStatement::decode(bytes);
    let _ = RefusalDetail::decode(bytes);
}

//! What is fuzzed: every function from bytes of elsewhere to a value. Each target is one of these functions, and a plain
//! test runs the committed corpus through them.

use activation::SigningKey;
use activation::catalog::{Catalog, SignedCatalog};
use activation::certificate::NodeCertificate;
use activation::id::ProductId;
use activation::message::{Record, ValidRequest, verify_answer};
use activation::state::{Command, Outcome, State};
use activation::trust::Trust;

/// What is decoded encodes to something that decodes to the same.
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

/// No answer of a stranger verifies; no bytes panic.
pub fn answer(bytes: &[u8]) {
    let key = |seed: u8| SigningKey::from_bytes(&[seed; 32]);
    let activation_keys = [key(2).verifying_key(), key(3).verifying_key()];
    let trust = Trust::issue(&key(1), activation_keys, None).expect("a trust without a catalog");
    assert!(verify_answer(bytes, b"", &trust, ProductId([0; 16])).is_err());
    let _ = Outcome::decode(bytes);
}

/// Whatever is applied leaves a sound state that a snapshot carries.
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

/// Signed catalogs, catalog texts, trust files and certificates.
pub fn catalog(bytes: &[u8]) {
    let _ = NodeCertificate::decode(bytes);
    if let Ok(opened) = SignedCatalog::open(bytes) {
        assert_eq!(opened.product_ids().count(), opened.catalog.products().count());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Trust::from_toml(text);
        if let Ok(catalog) = Catalog::from_toml(text) {
            let root = SigningKey::from_bytes(&[1; 32]);
            let keys = [root.verifying_key(), root.verifying_key()];
            let opened = SignedCatalog::open(SignedCatalog::sign(&catalog, keys, &root).bytes());
            assert_eq!(opened.expect("a sound catalog opens").catalog, catalog);
        }
    }
}

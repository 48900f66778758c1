//! Requests, records and answers: what encodes and decodes unchanged, and what is refused.

use activation::id::ProductId;
use activation::limits::{REQUEST_BYTES_MAX, TIME_MS_MAX};
use activation::message::{
    AnswerBody, AnswerError, LicenseStatus, MalformedRequest, Record, Request, ValidRequest, sign_answer, verify_answer,
};
use activation::trust::Trust;
use proptest::prelude::*;
use prost::Message;

use super::world::*;

/// The wire form of a request, written independently of the implementation.
#[derive(Clone, PartialEq, Message)]
struct Wire {
    #[prost(bytes = "vec", tag = "1")]
    nonce: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    publisher: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    product: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    cmid: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    machine: Vec<u8>,
    #[prost(string, tag = "6")]
    machine_name: String,
    #[prost(bool, tag = "7")]
    virtual_machine: bool,
    #[prost(uint32, tag = "8")]
    license_status: u32,
    #[prost(uint32, tag = "9")]
    minutes_to_expiry: u32,
    #[prost(uint64, tag = "10")]
    client_time_ms: u64,
    #[prost(bytes = "vec", tag = "99")]
    of_a_newer_client: Vec<u8>,
}

fn wire() -> Wire {
    Wire::decode(request(Publisher::new(1).id(), CLIENT).encode().as_slice()).unwrap()
}

fn body() -> AnswerBody {
    AnswerBody {
        count: 26,
        threshold: 25,
        activation_interval_minutes: 120,
        renewal_interval_minutes: 10_080,
        cluster_time_ms: START_MS,
        log_index: 77,
        offset: 3,
    }
}

/// The request of a client and the valid answer of a host.
struct Exchange {
    publisher: Publisher,
    request: Request,
    answer: Vec<u8>,
}

impl Exchange {
    fn new(group: u8, body: &AnswerBody) -> Self {
        let publisher = Publisher::new(1);
        let request = request(publisher.id(), CLIENT);
        let certificate = publisher.certify(1, &host_key(1), group, PLATFORM_STANDARD);
        let digest = *ValidRequest::decode(&request.encode()).unwrap().digest();
        let answer = sign_answer(body, &certificate, &node_key(1), &digest);
        Self { publisher, request, answer }
    }

    fn trust(&self) -> Trust {
        self.publisher.trust(Some(&example()))
    }

    fn verify(&self, trust: &Trust) -> Result<AnswerBody, AnswerError> {
        let verified = verify_answer(&self.answer, &self.request.encode(), trust, self.request.product);
        verified.map(|verified| verified.body)
    }
}

#[test]
fn a_request_survives_the_wire() {
    let request = request(Publisher::new(1).id(), CLIENT);
    let valid = ValidRequest::decode(&request.encode()).unwrap();
    assert_eq!(valid.request(), &request);
    let record = Record::new(2, &valid);
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    assert_eq!(record.encoded_len(), bytes.len());
    assert_eq!(Record::decode(&bytes), Ok(record));
}

#[test]
fn fields_of_newer_clients_are_skipped() {
    let newer = Wire { of_a_newer_client: vec![1; 30], ..wire() };
    let valid = ValidRequest::decode(&newer.encode_to_vec()).unwrap();
    assert_eq!(valid.request(), &request(Publisher::new(1).id(), CLIENT));
    let older = ValidRequest::decode(&wire().encode_to_vec()).unwrap();
    assert_ne!(valid.digest(), older.digest(), "the digest covers what was skipped");
}

#[test]
fn a_wrong_field_is_named() {
    let table = [
        ("nonce", Wire { nonce: vec![0; 15], ..wire() }),
        ("publisher", Wire { publisher: vec![0; 17], ..wire() }),
        ("product", Wire { product: vec![], ..wire() }),
        ("CMID", Wire { cmid: vec![0; 1], ..wire() }),
        ("machine", Wire { machine: vec![0; 16], ..wire() }),
        ("machine name", Wire { machine_name: "\u{1b}[2J".to_owned(), ..wire() }),
        ("machine name", Wire { machine_name: String::new(), ..wire() }),
        ("license status", Wire { license_status: 7, ..wire() }),
        ("client time", Wire { client_time_ms: TIME_MS_MAX + 1, ..wire() }),
        ("too long", Wire { of_a_newer_client: vec![0; REQUEST_BYTES_MAX], ..wire() }),
    ];
    for (field, wrong) in table {
        assert_eq!(ValidRequest::decode(&wrong.encode_to_vec()), Err(MalformedRequest(field)));
    }
    assert_eq!(ValidRequest::decode(b"\xff\xff"), Err(MalformedRequest("encoding")));
}

#[test]
fn every_license_status_has_its_code() {
    for code in 0..=6 {
        assert_eq!(LicenseStatus::try_from(code).unwrap() as u32, code);
    }
}

#[test]
fn an_answer_that_passes_every_check_carries_body_and_certificate() {
    let exchange = Exchange::new(GROUP_B, &body());
    let bytes = exchange.request.encode();
    let verified = verify_answer(&exchange.answer, &bytes, &exchange.trust(), exchange.request.product).unwrap();
    assert_eq!(verified.body, body());
    assert_eq!(verified.certificate, exchange.publisher.certify(1, &host_key(1), GROUP_B, PLATFORM_STANDARD));
}

#[test]
fn no_bit_of_an_answer_can_be_changed() {
    let exchange = Exchange::new(GROUP_B, &body());
    let (bytes, trust) = (exchange.request.encode(), exchange.trust());
    for bit in 0..8 * exchange.answer.len() {
        let mut changed = exchange.answer.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let verified = verify_answer(&changed, &bytes, &trust, exchange.request.product);
        assert!(verified.is_err(), "bit {bit} may be changed");
    }
}

#[test]
fn an_answer_cut_or_extended_does_not_pass() {
    let exchange = Exchange::new(GROUP_B, &body());
    let (bytes, trust) = (exchange.request.encode(), exchange.trust());
    for length in 0..exchange.answer.len() {
        assert!(verify_answer(&exchange.answer[..length], &bytes, &trust, exchange.request.product).is_err());
    }
    let doubled = [exchange.answer.as_slice(), &exchange.answer].concat();
    assert!(verify_answer(&doubled, &bytes, &trust, exchange.request.product).is_err());
}

#[test]
fn an_answer_to_another_request_is_refused() {
    let mut exchange = Exchange::new(GROUP_B, &body());
    exchange.request.nonce = [0; 16];
    assert_eq!(exchange.verify(&exchange.trust()), Err(AnswerError::Signature));
}

#[test]
fn another_publishers_host_is_refused() {
    let exchange = Exchange::new(GROUP_B, &body());
    let other = Publisher::new(50).trust(Some(&example()));
    assert_eq!(exchange.verify(&other), Err(AnswerError::UntrustedHost));
}

#[test]
fn a_node_that_signs_with_a_key_that_is_not_in_its_certificate_is_refused() {
    let mut exchange = Exchange::new(GROUP_B, &body());
    let certificate = exchange.publisher.certify(1, &host_key(1), GROUP_B, PLATFORM_STANDARD);
    let digest = *ValidRequest::decode(&exchange.request.encode()).unwrap().digest();
    exchange.answer = sign_answer(&body(), &certificate, &node_key(2), &digest);
    assert_eq!(exchange.verify(&exchange.trust()), Err(AnswerError::Signature));
}

#[test]
fn the_group_must_cover_the_clients_product() {
    for (group, verified) in [(1, true), (3, true), (10, false), (99, false)] {
        let exchange = Exchange::new(group, &body());
        let expected = if verified { Ok(body()) } else { Err(AnswerError::NotCovered) };
        assert_eq!(exchange.verify(&exchange.trust()), expected, "group {group}");
    }
}

#[test]
fn a_trust_file_that_cannot_tell_coverage_says_so() {
    let mut exchange = Exchange::new(GROUP_B, &body());
    assert_eq!(exchange.verify(&exchange.publisher.trust(None)), Err(AnswerError::NoCatalog));
    exchange.request.product = ProductId([0; 16]);
    assert_eq!(exchange.verify(&exchange.trust()), Err(AnswerError::UnknownProduct));
}

#[test]
fn a_blocked_key_or_certificate_activates_nothing() {
    let exchange = Exchange::new(GROUP_B, &body());
    let certificate = exchange.publisher.certify(1, &host_key(1), GROUP_B, PLATFORM_STANDARD);
    let by_key = example_with("\nkeys = []", &format!("\nkeys = [\"{}\"]", certificate.key));
    let by_id = example_with("certificates = []", &format!("certificates = [\"{}\"]", certificate.id()));
    for catalog in [by_key, by_id] {
        assert_eq!(exchange.verify(&exchange.publisher.trust(Some(&catalog))), Err(AnswerError::Blocked));
    }
}

#[test]
fn values_out_of_range_are_refused_even_when_signed() {
    let table = [
        ("count", AnswerBody { count: 0, ..body() }),
        ("count", AnswerBody { count: 20_001, ..body() }),
        ("threshold", AnswerBody { threshold: 0, ..body() }),
        ("threshold", AnswerBody { threshold: 10_001, ..body() }),
        ("activation interval", AnswerBody { activation_interval_minutes: 14, ..body() }),
        ("renewal interval", AnswerBody { renewal_interval_minutes: 43_201, ..body() }),
        ("cluster time", AnswerBody { cluster_time_ms: TIME_MS_MAX + 1, ..body() }),
        ("log index", AnswerBody { log_index: u64::MAX, ..body() }),
        ("offset", AnswerBody { offset: 1024, ..body() }),
    ];
    for (field, wrong) in table {
        let exchange = Exchange::new(GROUP_B, &wrong);
        assert_eq!(exchange.verify(&exchange.trust()), Err(AnswerError::Malformed(field)));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = ValidRequest::decode(&bytes);
        let _ = Record::decode(&bytes);
    }

    #[test]
    fn a_request_with_flipped_bits_is_refused_or_another_valid_request(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..8)
    ) {
        let mut bytes = wire().encode_to_vec();
        for (place, bit) in flips {
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
        }
        if let Ok(valid) = ValidRequest::decode(&bytes) {
            let again = ValidRequest::decode(&valid.request().encode()).unwrap();
            prop_assert_eq!(again.request(), valid.request());
        }
    }
}

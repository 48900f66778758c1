//! What nodes ask of a publisher, and what they get, as files (R30, R31).

use activation::SigningKey;
use activation::certificate::NodeCertificate;
use activation::host_activation::{
    ActivationAnswer, ActivationAnswers, ActivationFileError, ActivationRequests, FILE_BYTES_MAX, HostActivation,
    HostActivationRequest, NotSignedByNode, REQUESTS_MAX,
};
use activation::id::{MachineDigest, NodeId, PublisherId};
use activation::key::{KeyKind, TypedKey};

fn host_key() -> TypedKey {
    TypedKey::generate(KeyKind::Host, 3, [7; 16])
}

fn request(node: NodeId) -> HostActivationRequest {
    let number = u8::try_from(node).expect("a small node id");
    let asked = HostActivation {
        request_id: [number; 16],
        node,
        key: host_key(),
        platform: "server-standard-and-enterprise".parse().expect("a name"),
        machine: MachineDigest([number; 8]),
    };
    HostActivationRequest::sign(asked, &SigningKey::from_bytes(&[number; 32]))
}

fn answer(node: NodeId) -> ActivationAnswer {
    let number = u8::try_from(node).expect("a small node id");
    let node_key = SigningKey::from_bytes(&[number; 32]).verifying_key();
    let publisher_key = SigningKey::from_bytes(&[200; 32]);
    let certificate =
        NodeCertificate::issue(PublisherId([1; 16]), host_key().key_id(), 3, 4, 29_000_000, &node_key, &publisher_key);
    ActivationAnswer { request_id: [number; 16], node, certificate }
}

fn answers(answers: Vec<ActivationAnswer>) -> ActivationAnswers {
    ActivationAnswers { publisher: PublisherId([1; 16]), answers }
}

#[test]
fn a_file_of_requests_is_read_back_as_it_was_written_and_every_signature_holds() {
    let requests = ActivationRequests((1..=6).map(request).collect());
    let read = ActivationRequests::decode(&requests.encode()).unwrap();
    assert_eq!(read, requests);
    for request in &read.0 {
        assert_eq!(request.verify().unwrap().as_bytes(), request.node_key());
    }
}

#[test]
fn a_file_of_answers_is_read_back_as_it_was_written() {
    let answers = answers((1..=6).map(answer).collect());
    assert_eq!(ActivationAnswers::decode(&answers.encode()).unwrap(), answers);
}

#[test]
fn a_request_with_any_bit_changed_is_malformed_or_not_signed_by_its_node() {
    let bytes = ActivationRequests(vec![request(1)]).encode();
    let original = ActivationRequests::decode(&bytes).unwrap();
    for place in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[place / 8] ^= 1 << (place % 8);
        let Ok(read) = ActivationRequests::decode(&changed) else { continue };
        assert_ne!(read, original, "bit {place} means nothing");
        assert_eq!(read.0[0].verify(), Err(NotSignedByNode), "bit {place} changed what was signed");
    }
}

#[test]
fn a_request_for_the_key_of_another_node_is_not_signed_by_it() {
    // Fields of node 1, signature of node 2.
    let (one, two) = (ActivationRequests(vec![request(1)]).encode(), ActivationRequests(vec![request(2)]).encode());
    let mut mixed = one[..one.len() - 64].to_vec();
    mixed.extend_from_slice(&two[two.len() - 64..]);
    let read = ActivationRequests::decode(&mixed).unwrap();
    assert_eq!(read.0[0].asked(), request(1).asked());
    assert_eq!(read.0[0].verify(), Err(NotSignedByNode));
}

#[test]
fn a_retry_has_the_same_digest_and_another_request_under_its_id_has_not() {
    let mut asked = request(1).asked().clone();
    asked.platform = "workstation".parse().unwrap();
    let other = HostActivationRequest::sign(asked, &SigningKey::from_bytes(&[1; 32]));
    assert_eq!(request(1).digest(), request(1).digest());
    assert_ne!(request(1).digest(), other.digest());
}

#[test]
fn files_are_refused_that_are_not_what_they_should_be() {
    let requests = |numbers: &[NodeId]| ActivationRequests(numbers.iter().copied().map(request).collect()).encode();
    let many = |count: usize| ActivationRequests(vec![request(1); count]).encode();
    let mut foreign_key = answer(1);
    foreign_key.certificate.publisher = PublisherId([2; 16]);
    let cases: [(&str, Vec<u8>, ActivationFileError); 9] = [
        ("empty", vec![], ActivationFileError::Malformed("format")),
        ("no protobuf", b"\xff\xff\xff".to_vec(), ActivationFileError::Malformed("encoding")),
        ("format 2", vec![0x08, 2], ActivationFileError::Newer { found: 2 }),
        ("no entry", vec![0x08, 1], ActivationFileError::Malformed("1 to 64 entries")),
        ("one node twice", requests(&[1, 2, 1]), ActivationFileError::Malformed("one node has two entries")),
        ("too many", many(REQUESTS_MAX + 1), ActivationFileError::Malformed("1 to 64 entries")),
        ("too long", vec![0; FILE_BYTES_MAX + 1], ActivationFileError::Malformed("too long")),
        (
            "certificate of another publisher",
            answers(vec![foreign_key]).encode(),
            ActivationFileError::Malformed("a certificate of another publisher or key"),
        ),
        (
            "two certificates for one node",
            answers(vec![answer(1), answer(1)]).encode(),
            ActivationFileError::Malformed("one node has two entries"),
        ),
    ];
    for (name, bytes, expected) in cases {
        let found = if name.contains("certificate") {
            ActivationAnswers::decode(&bytes).map(|_| ())
        } else {
            ActivationRequests::decode(&bytes).map(|_| ())
        };
        assert_eq!(found, Err(expected), "{name}");
    }
}

#[test]
fn the_longest_file_of_requests_fits_its_limit() {
    let requests = (1..=REQUESTS_MAX as NodeId).map(request).collect();
    assert!(ActivationRequests(requests).encode().len() <= FILE_BYTES_MAX);
}

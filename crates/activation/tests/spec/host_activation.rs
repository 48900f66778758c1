//! Activation requests of nodes and the publisher's answers, as files (R30, R31).

use activation::SigningKey;
use activation::host_activation::{
    ActivationFileError, ActivationRequests, FILE_BYTES_MAX, HostActivation, HostActivationRequest, IdentityKind,
    KeyStanding, NotSignedByNode, NotSignedByPublisher, REQUESTS_MAX, ReleaseStatement, SignedAnswers,
};
use activation::id::{MachineDigest, NodeId, PublisherId};

use super::world::*;

fn asked(node: NodeId) -> HostActivation {
    let number = u8::try_from(node).expect("a small node id");
    HostActivation {
        request_id: [number; 16],
        node,
        key: host_key(1),
        platform: "server-standard-and-enterprise".parse().expect("a name"),
        machine: MachineDigest([number; 8]),
        identity: IdentityKind::Machine,
    }
}

fn request(node: NodeId) -> HostActivationRequest {
    HostActivationRequest::sign(asked(node), &node_key(node), None)
}

/// The same host after its machine changed.
fn again(node: NodeId) -> HostActivationRequest {
    HostActivationRequest::sign(asked(node), &signing_key(90), Some(&node_key(node)))
}

fn release(node: NodeId) -> ReleaseStatement {
    ReleaseStatement::sign(Publisher::new(1).id(), host_key(1).key_id(), node, &node_key(node))
}

fn file(requests: Vec<HostActivationRequest>) -> ActivationRequests {
    ActivationRequests { requests, releases: Vec::new() }
}

fn answer(nodes: impl IntoIterator<Item = NodeId>) -> SignedAnswers {
    let publisher = Publisher::new(1);
    let certificates = nodes.into_iter();
    let certificates =
        certificates.map(|node| (node, publisher.certify(node, &host_key(1), GROUP_B, PLATFORM_STANDARD)));
    let mut answers = publisher.answers(certificates.collect());
    answers.released = vec![(host_key(1).key_id(), [7; 32])];
    answers.standings = vec![KeyStanding { key: host_key(1).key_id(), hosts_limit: 6, hosts_used: 3 }];
    answers.sign(&publisher.activation[1])
}

#[test]
fn a_file_of_requests_is_read_back_as_it_was_written_and_every_signature_holds() {
    let requests = ActivationRequests {
        requests: (1..=5).map(request).chain([again(6)]).collect(),
        releases: (7..=9).map(release).collect(),
    };
    let read = ActivationRequests::decode(&requests.encode()).unwrap();
    assert_eq!(read, requests);
    for request in &read.requests {
        let node = request.asked().node;
        let keys = request.verify().unwrap();
        assert_eq!(keys.current.as_bytes(), request.node_key());
        assert_eq!(keys.previous, (node == 6).then(|| node_key(6).verifying_key()));
    }
    assert!(read.releases.iter().all(|release| release.verify().is_ok()));
}

#[test]
fn a_file_of_answers_is_read_back_as_it_was_written_and_its_signature_holds() {
    let answers = answer(1..=6);
    let read = SignedAnswers::decode(&answers.encode()).unwrap();
    assert_eq!(read, answers);
    assert_eq!(read.verify(&Publisher::new(1).activation_keys()), Ok(()));
    assert_eq!(read.verify(&Publisher::new(50).activation_keys()), Err(NotSignedByPublisher));
}

#[test]
fn a_file_of_answers_with_any_bit_changed_is_malformed_or_not_signed() {
    let bytes = answer(1..=2).encode();
    let original = SignedAnswers::decode(&bytes).unwrap();
    for place in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[place / 8] ^= 1 << (place % 8);
        let Ok(read) = SignedAnswers::decode(&changed) else { continue };
        assert_ne!(read, original, "bit {place} means nothing");
        assert_eq!(read.verify(&Publisher::new(1).activation_keys()), Err(NotSignedByPublisher), "bit {place}");
    }
}

#[test]
fn a_request_with_any_bit_changed_is_malformed_or_not_signed_by_its_node() {
    for request in [request(1), again(1)] {
        let bytes = file(vec![request]).encode();
        let original = ActivationRequests::decode(&bytes).unwrap();
        for place in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[place / 8] ^= 1 << (place % 8);
            let Ok(read) = ActivationRequests::decode(&changed) else { continue };
            // A changed tag may make a field unknown, which this version ignores, or turn a request into a release.
            let Some(request) = read.requests.first() else { continue };
            assert_ne!(read, original, "bit {place} means nothing");
            assert_eq!(request.verify(), Err(NotSignedByNode), "bit {place} changed what was signed");
        }
    }
}

#[test]
fn a_release_with_any_bit_changed_is_malformed_or_not_signed_by_its_node() {
    let bytes = release(1).encode();
    for place in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[place / 8] ^= 1 << (place % 8);
        let Ok(read) = ReleaseStatement::decode(&changed) else { continue };
        assert_ne!(read, release(1), "bit {place} means nothing");
        assert_eq!(read.verify(), Err(NotSignedByNode), "bit {place} changed what was signed");
    }
}

#[test]
fn a_request_for_the_key_of_another_node_is_not_signed_by_it() {
    // Fields of node 1, signature of node 2.
    let (one, two) = (file(vec![request(1)]).encode(), file(vec![request(2)]).encode());
    let mut mixed = one[..one.len() - 64].to_vec();
    mixed.extend_from_slice(&two[two.len() - 64..]);
    let read = ActivationRequests::decode(&mixed).unwrap();
    assert_eq!(read.requests[0].asked(), request(1).asked());
    assert_eq!(read.requests[0].verify(), Err(NotSignedByNode));
}

#[test]
fn a_retry_has_the_same_digest_and_another_request_under_its_id_has_not() {
    let mut other = asked(1);
    other.platform = "workstation".parse().unwrap();
    let other = HostActivationRequest::sign(other, &node_key(1), None);
    assert_eq!(request(1).digest(), request(1).digest());
    assert_ne!(request(1).digest(), other.digest());
    assert_ne!(request(1).digest(), again(1).digest());
}

#[test]
fn files_are_refused_that_are_not_what_they_should_be() {
    use ActivationFileError::Malformed;
    let requests = |numbers: &[NodeId]| file(numbers.iter().copied().map(request).collect()).encode();
    let twice = ActivationRequests { requests: Vec::new(), releases: vec![release(1), release(1)] };
    let cases: [(&str, Vec<u8>, ActivationFileError); 8] = [
        ("empty", vec![], Malformed("format")),
        ("no protobuf", b"\xff\xff\xff".to_vec(), Malformed("encoding")),
        ("format 2", vec![0x08, 2], ActivationFileError::Newer { found: 2 }),
        ("no entry", vec![0x08, 1], Malformed("1 to 64 entries")),
        ("one node twice", requests(&[1, 2, 1]), Malformed("one node has two entries")),
        ("one release twice", twice.encode(), Malformed("one node has two entries")),
        ("too many", requests(&[1; REQUESTS_MAX + 1]), Malformed("1 to 64 entries")),
        ("too long", vec![0; FILE_BYTES_MAX + 1], Malformed("too long")),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(ActivationRequests::decode(&bytes).map(|_| ()), Err(expected), "{name}");
    }
    let publisher = Publisher::new(1);
    let certificate = publisher.certify(1, &host_key(1), GROUP_B, PLATFORM_STANDARD);
    let signed = |certificates| publisher.answer(certificates).encode();
    let mut foreign = publisher.answers(vec![(1, certificate.clone())]);
    foreign.publisher = PublisherId([2; 16]);
    let cases = [
        ("nothing", signed(vec![]), Malformed("1 to 64 entries")),
        (
            "a certificate of another publisher",
            foreign.sign(&publisher.activation[0]).encode(),
            Malformed("a certificate of another publisher or key"),
        ),
        (
            "two certificates for one node",
            signed(vec![(1, certificate.clone()), (1, certificate)]),
            Malformed("one node has two entries"),
        ),
        ("format 2", vec![0x08, 2], ActivationFileError::Newer { found: 2 }),
        ("too long", vec![0; FILE_BYTES_MAX + 1], Malformed("too long")),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(SignedAnswers::decode(&bytes).map(|_| ()), Err(expected), "{name}");
    }
}

#[test]
fn the_longest_files_fit_their_limit() {
    let seed = |node: NodeId| SigningKey::from_bytes(&[u8::try_from(node).unwrap(); 32]);
    let requests = (1..=REQUESTS_MAX as NodeId).map(|node| {
        let mut asked = asked(node);
        asked.platform = "x".repeat(48).parse().unwrap();
        asked.node = 65_000 + node;
        HostActivationRequest::sign(asked, &seed(node), Some(&seed(node + 100)))
    });
    let bytes = file(requests.collect()).encode();
    assert!(bytes.len() <= FILE_BYTES_MAX && ActivationRequests::decode(&bytes).is_ok(), "{}", bytes.len());
    let bytes = answer(1..=63).encode();
    assert!(bytes.len() <= FILE_BYTES_MAX && SignedAnswers::decode(&bytes).is_ok(), "{}", bytes.len());
}

#[test]
fn a_request_says_how_its_host_is_identified() {
    for identity in [IdentityKind::Machine, IdentityKind::Factors, IdentityKind::File] {
        let request = HostActivationRequest::sign(HostActivation { identity, ..asked(1) }, &node_key(1), None);
        let file = ActivationRequests { requests: vec![request], releases: Vec::new() }.encode();
        let decoded = ActivationRequests::decode(&file).unwrap();
        let [decoded] = decoded.requests.as_slice() else { panic!("one request") };
        assert_eq!(decoded.asked().identity, identity);
        decoded.verify().unwrap();
    }
}

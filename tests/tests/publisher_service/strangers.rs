//! Refusals and their errors: other publishers, other services, and connections with malformed input.

use activation::{direct::DirectCertificate, direct::DirectRequest, id::Cmid, id::MachineDigest, id::ProductId};
use activation::{host_activation::FILE_BYTES_MAX, status::Status};
use client::{NotReached, Publishing, PublishingError};
use quorate_tests::{eventually, words};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::house::{House, certificate, request};

#[tokio::test]
async fn a_service_of_another_publisher_is_no_partner() {
    let (mut house, other) = (House::new().await, House::new().await);
    house.serve(&[]).await;
    house.connect().await.expect("its own keys vouch for it");
    let (own, foreign) = (house.trust(), other.trust());
    let cases = [
        ("another publisher altogether", foreign.publisher, foreign.activation_keys),
        ("its name with another's keys", own.publisher, foreign.activation_keys),
        ("its keys under another's name", foreign.publisher, own.activation_keys),
    ];
    for (case, publisher, keys) in cases {
        let refused = Publishing::connect(&house.address.to_string(), publisher, keys, None).await.unwrap_err();
        assert!(matches!(refused, PublishingError::NotThisPublisher { .. }), "{case}: {refused:?}");
    }
    // One valid key is enough, in the first or the second position.
    for keys in
        [[own.activation_keys[0], foreign.activation_keys[0]], [foreign.activation_keys[0], own.activation_keys[0]]]
    {
        Publishing::connect(&house.address.to_string(), own.publisher, keys, None).await.unwrap();
    }
}

#[tokio::test]
async fn an_ordinary_certificate_is_verified_by_its_authority_and_name() {
    let mut house = House::new().await;
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (authority, stranger) = (authority("the authority"), authority("a stranger"));
    let leaf = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([house.address.ip().to_string()]).unwrap();
    let certificate = certificate.signed_by(&leaf, &authority).unwrap();
    let (chain, key) = (house.path("service.pem"), house.path("service.key"));
    std::fs::write(&chain, certificate.pem()).unwrap();
    std::fs::write(&key, leaf.serialize_pem()).unwrap();
    house.serve(&words!["--tls-certificate", &chain, "--tls-private-key", &key]).await;

    let trust = house.trust();
    let connect = async |authorities: Option<&str>| {
        let authorities = authorities.map(str::as_bytes);
        Publishing::connect(&house.address.to_string(), trust.publisher, trust.activation_keys, authorities).await
    };
    connect(Some(&authority.pem())).await.unwrap();
    for authorities in [None, Some(stranger.pem())] {
        let refused = connect(authorities.as_deref()).await.unwrap_err();
        assert!(matches!(refused, PublishingError::NotThisPublisher { .. }), "{refused:?}");
    }
    for nonsense in ["", "no certificate"] {
        let refused = connect(Some(nonsense)).await.unwrap_err();
        assert!(matches!(refused, PublishingError::Certificates(_)), "{refused:?}");
    }

    // SIGHUP makes the service read the files again; a key that does not match the certificate changes nothing.
    let next = CertificateParams::new([house.address.ip().to_string()]).unwrap();
    std::fs::write(&chain, next.signed_by(&leaf, &stranger).unwrap().pem()).unwrap();
    std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let says = async |words: &str| {
        eventually(words, async || house.process().said().contains(words).then_some(())).await;
    };
    house.process().hang_up();
    says("the TLS certificate could not be reloaded").await;
    connect(Some(&authority.pem())).await.unwrap();
    std::fs::write(&key, leaf.serialize_pem()).unwrap();
    house.process().hang_up();
    says("the TLS certificate was reloaded").await;
    connect(Some(&stranger.pem())).await.unwrap();
    connect(Some(&authority.pem())).await.unwrap_err();
}

#[tokio::test]
async fn nobody_and_somebody_else_are_told_apart() {
    let house = House::new().await;
    let nobody = house.connect().await.unwrap_err();
    let refused = matches!(nobody, PublishingError::NotReached { reason: NotReached::Connect { .. }, .. });
    assert!(refused, "{nobody:?}");
    let listener = TcpListener::bind(house.address).await.unwrap();
    let somebody = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mail.example.test ESMTP\r\n").await.unwrap();
        let mut heard = Vec::new();
        let _reset = stream.read_to_end(&mut heard).await;
    });
    let error = house.connect().await.unwrap_err();
    assert!(matches!(error, PublishingError::Protocol { .. }), "{error:?}");
    somebody.await.unwrap();
    for error in [nobody, error] {
        assert!(!error.advice().is_empty());
        assert_ne!(error.status(), Status::OK);
    }
}

#[tokio::test]
async fn what_is_too_large_or_senseless_is_refused_and_others_are_answered() {
    let mut house = House::new().await;
    let key = house.key(5).await;
    house.serve(&[]).await;
    let publishing = house.connect().await.unwrap();
    for nonsense in [Vec::new(), vec![0xFF; 100], vec![0; FILE_BYTES_MAX + 1], vec![0; 3 << 20]] {
        let bytes = nonsense.len();
        let error = publishing.activate(nonsense.clone()).await.unwrap_err();
        assert!(matches!(error, PublishingError::Protocol { .. }), "{bytes} bytes: {error:?}");
        let error = publishing.activate_directly(nonsense).await.unwrap_err();
        assert!(matches!(error, PublishingError::Protocol { .. }), "{bytes} bytes: {error:?}");
        // The connection still works.
        publishing.activate(request(&key, 1)).await.unwrap();
    }
    // Silent connections and connections with malformed input, beside an honest node.
    let mut silent = Vec::new();
    for _ in 0..30 {
        silent.push(TcpStream::connect(house.address).await.unwrap());
        let mut noisy = TcpStream::connect(house.address).await.unwrap();
        noisy.write_all(&[0x16; 4096]).await.unwrap();
        let mut heard = Vec::new();
        let closed = timeout(quorate_tests::TIMEOUT, noisy.read_to_end(&mut heard)).await;
        drop(closed.expect("what is no TLS is closed"));
    }
    let publishing = house.connect().await.unwrap();
    certificate(&publishing.activate(request(&key, 2)).await.unwrap(), &house.trust());
    assert!(!house.process().said().contains("panicked"), "{}", house.process().said());
    assert_eq!(house.stop().await, Some(0), "silent connections hold nothing up");
}

#[tokio::test]
async fn r24_a_machine_is_activated_directly_and_again_for_nothing() {
    let mut house = House::new().await;
    let issue = words!["direct-key", "issue", "--product", "suite-standard-1", "--activations", "1"];
    let issued = house.json(&issue).await;
    house.serve(&[]).await;
    let trust = house.trust();
    let asked = |machine: u8| DirectRequest {
        request_id: [machine; 16],
        key: issued["key"].as_str().unwrap().parse().unwrap(),
        product: ProductId::derive(trust.publisher, "suite-standard-1"),
        cmid: Cmid([machine; 16]),
        machine: MachineDigest([machine; 8]),
    };
    let publishing = house.connect().await.unwrap();
    let first = publishing.activate_directly(asked(1).encode()).await.unwrap();
    let certificate = DirectCertificate::decode(&first).unwrap();
    certificate.verify(&trust.activation_keys).unwrap();
    assert!(certificate.is_for(asked(1).product, asked(1).cmid, asked(1).machine));
    assert_eq!(publishing.activate_directly(asked(1).encode()).await.unwrap(), first);
    let refused = publishing.activate_directly(asked(2).encode()).await.unwrap_err();
    assert_eq!(refused.status(), Status::KEY_LIMIT_REACHED);
    assert_eq!(refused.to_string(), "the publisher refused: 0xC004C008 the limit of 1 machines of this key is reached");
    let listed = house.json(&words!["direct-key", "list"]).await;
    assert_eq!((&listed["keys"][0]["used"], &listed["keys"][0]["key_id"]), (&1.into(), &issued["key_id"]));
}

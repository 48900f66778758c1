//! Both ends of a connection, and which callers are accepted.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_stream::StreamExt;
use tonic::transport::Uri;
use tower::Service;

use crate::*;

const DAY: Duration = Duration::from_secs(86_400);
const TIMEOUT: Duration = Duration::from_secs(5);

#[expect(clippy::disallowed_methods, reason = "certificates are verified by the clock of this machine")]
fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

fn authority() -> Authority {
    Authority::create(now_ms()).unwrap()
}

fn person(role: Role) -> Subject {
    Subject::person("Ada", role).unwrap()
}

fn identity_until(authority: &Authority, subject: &Subject, now_ms: u64, lifetime: Duration) -> Identity {
    let (certificate, key) = authority.issue_with_key(subject, now_ms, lifetime).unwrap();
    Identity::from_pem(certificate.as_bytes(), key.as_bytes(), authority.certificate_pem().as_bytes()).unwrap()
}

fn own(authority: &Authority, subject: &Subject) -> Arc<PresentedIdentity> {
    Arc::new(PresentedIdentity::new(identity_until(authority, subject, now_ms(), DAY)))
}

/// An identity whose certificate was issued three days ago for one day.
fn expired(authority: &Authority, subject: &Subject) -> Arc<PresentedIdentity> {
    let then = now_ms() - 3 * u64::try_from(DAY.as_millis()).unwrap();
    Arc::new(PresentedIdentity::new(identity_until(authority, subject, then, DAY)))
}

/// An admission that treats every holder of a valid certificate as known.
fn admission(standing: Standing) -> Admission {
    let connections = Connections::new("test", Limits::TLS, Rules::default());
    Admission { connections, standing, is_known: Arc::new(|_| true) }
}

/// A node that replies to each connection with the subject that it verified.
async fn greeter(own: Arc<PresentedIdentity>, audience: Audience) -> Uri {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepting, mut connections) = listen(listener, own, audience, admission(Standing::unconditional()));
    tokio::spawn(accepting);
    tokio::spawn(async move {
        while let Some(Ok(mut connection)) = connections.next().await {
            tokio::spawn(async move {
                let subject = connection.caller().subject().cloned();
                let greeting = subject.map_or_else(|| "a stranger".to_owned(), |subject| subject.to_string());
                let _gone = connection.write_all(greeting.as_bytes()).await;
                let _gone = connection.shutdown().await;
            });
        }
    });
    format!("http://{address}").parse().unwrap()
}

/// The reply of the node at `uri`; `None` if there is no connection, or if it breaks.
async fn greeting(mut connector: Connector, uri: &Uri) -> Option<String> {
    let connection = connector.call(uri.clone()).await.ok()?;
    let mut connection = connection.into_inner();
    let mut said = String::new();
    connection.read_to_string(&mut said).await.ok()?;
    Some(said)
}

#[tokio::test]
async fn callers_are_admitted_and_identified_by_their_certificates() {
    let (cluster, other) = (authority(), authority());
    let node = own(&cluster, &Subject::Node(1));
    let peers = greeter(Arc::clone(&node), Audience::Certified).await;
    let admin = greeter(node, Audience::Anybody).await;
    let second = Subject::Node(2);
    // The connector with the fingerprint presents no certificate; the others present theirs.
    let with = |own| connector(own, TIMEOUT);
    let nothing = pinned(cluster.fingerprint(), TIMEOUT).unwrap();
    let cases = [
        ("a node", with(own(&cluster, &second)), Some("node 2"), Some("node 2")),
        ("a reader", with(own(&cluster, &person(Role::Reader))), Some("Ada, reader"), Some("Ada, reader")),
        ("no certificate", nothing, None, Some("a stranger")),
        // A node that was off for longer than its certificate lasted; it renews it on the node port.
        ("expired", with(expired(&cluster, &second)), Some("node 2"), None),
        ("another cluster's", with(stray(&cluster, &other)), None, None),
    ];
    for (case, connector, at_peers, at_admin) in cases {
        assert_eq!(greeting(connector.clone(), &peers).await.as_deref(), at_peers, "{case}, for peers");
        assert_eq!(greeting(connector, &admin).await.as_deref(), at_admin, "{case}, for administration");
    }
}

/// An identity of another cluster that also trusts this one.
fn stray(cluster: &Authority, other: &Authority) -> Arc<PresentedIdentity> {
    let (certificate, key) = other.issue_with_key(&Subject::Node(2), now_ms(), DAY).unwrap();
    let both = format!("{}{}", other.certificate_pem(), cluster.certificate_pem());
    Arc::new(PresentedIdentity::new(
        Identity::from_pem(certificate.as_bytes(), key.as_bytes(), both.as_bytes()).unwrap(),
    ))
}

#[tokio::test]
async fn a_caller_accepts_only_a_certified_node() {
    let (cluster, other) = (authority(), authority());
    let caller = connector(own(&cluster, &Subject::Node(2)), TIMEOUT);
    let cases = [
        ("a node", own(&cluster, &Subject::Node(1)), true),
        ("another cluster's node", own(&other, &Subject::Node(1)), false),
        ("an expired node", expired(&cluster, &Subject::Node(1)), false),
        ("a person who listens", own(&cluster, &person(Role::Administrator)), false),
    ];
    for (case, shown, believed) in cases {
        let uri = greeter(shown, Audience::Anybody).await;
        assert_eq!(greeting(caller.clone(), &uri).await.is_some(), believed, "{case}");
    }
}

#[tokio::test]
async fn a_token_pins_the_authority_and_nothing_else_does() {
    let (cluster, other) = (authority(), authority());
    let uri = greeter(own(&cluster, &Subject::Node(1)), Audience::Anybody).await;
    for (fingerprint, passes) in [(cluster.fingerprint(), true), (other.fingerprint(), false), ([0; 32], false)] {
        let said = greeting(pinned(fingerprint, TIMEOUT).unwrap(), &uri).await;
        assert_eq!(said.is_some(), passes);
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_used_by_the_next_handshake_on_both_sides() {
    let cluster = authority();
    let node = expired(&cluster, &Subject::Node(1));
    let caller = expired(&cluster, &Subject::Node(2));
    let uri = greeter(Arc::clone(&node), Audience::Anybody).await;
    let connector = connector(Arc::clone(&caller), TIMEOUT);
    assert_eq!(greeting(connector.clone(), &uri).await, None, "both have expired");
    node.replace(identity_until(&cluster, &Subject::Node(1), now_ms(), DAY));
    assert_eq!(greeting(connector.clone(), &uri).await, None, "one has expired");
    caller.replace(identity_until(&cluster, &Subject::Node(2), now_ms(), DAY));
    assert_eq!(greeting(connector, &uri).await.as_deref(), Some("node 2"));
}

#[test]
fn a_certificate_holds_the_granted_subject_and_not_the_requested_one() {
    let cluster = authority();
    let (request, key) = SigningRequest::create().unwrap();
    let request = SigningRequest::from_der(&request).unwrap();
    for subject in [Subject::Node(7), person(Role::Reader), person(Role::Operator), person(Role::Administrator)] {
        let certificate = cluster.issue(&request, &subject, now_ms(), DAY).unwrap();
        let authority = cluster.certificate_pem().as_bytes();
        let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes(), authority).unwrap();
        assert_eq!(identity.subject(), &subject);
        assert!(identity.is_valid_at(now_ms()));
        assert!(!identity.is_valid_at(identity.ends_ms() + 1));
    }
}

#[test]
fn a_request_that_its_key_did_not_sign_is_refused() {
    let (mut request, _) = SigningRequest::create().unwrap();
    *request.last_mut().unwrap() ^= 1;
    assert!(SigningRequest::from_der(&request).is_err());
    assert!(SigningRequest::from_der(b"nothing").is_err());
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let cluster = authority();
    let issue = || cluster.issue_with_key(&Subject::Node(1), now_ms(), DAY).unwrap();
    let ((certificate, _), (_, key)) = (issue(), issue());
    let authority = cluster.certificate_pem();
    assert!(Identity::from_pem(certificate.as_bytes(), key.as_bytes(), authority.as_bytes()).is_err());
    let other = self::authority();
    assert!(Authority::from_pem(authority, &other.key_pem()).is_err());
}

#[test]
fn names_that_are_not_allowed_in_certificates_are_refused() {
    for name in ["", " Ada", "Ada\n", "a\"b", &"x".repeat(65)] {
        assert!(Subject::person(name, Role::Reader).is_err(), "{name:?}");
    }
    assert!(Subject::person("Ada Lovelace <ada@example.test>", Role::Reader).is_ok());
}

#[test]
fn a_token_is_read_back_as_it_was_written_and_debug_output_hides_its_secret() {
    let token = Token::create([7; 32]).unwrap();
    let text = token.text();
    assert_eq!(text.parse::<Token>().as_ref(), Ok(&token));
    assert_eq!(format!("{token:?}"), "Token");
    assert_eq!(token.digest(), Token::digest_of(token.secret()));
    for damaged in ["", "quorate-join-2.AA.AA", &text[1..], &text[..text.len() - 1], &format!("{}.x", *text)] {
        assert_eq!(damaged.parse::<Token>(), Err(MalformedToken), "{damaged}");
    }
}

#[test]
fn a_folder_holds_a_pair_also_after_a_crash_in_the_middle_of_a_renewal() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Folder::at(&folder.path().join("tls"));
    let cluster = authority();
    let issue = || cluster.issue_with_key(&Subject::Node(1), now_ms(), DAY).unwrap();
    assert!(!tls.is_made());
    tls.write_authority(cluster.certificate_pem(), &cluster.key_pem()).unwrap();
    let (certificate, key) = issue();
    tls.write_node(&certificate, &key).unwrap();
    assert!(tls.is_made());
    assert_eq!(tls.identity().unwrap().subject(), &Subject::Node(1));
    assert_eq!(tls.authority().unwrap().fingerprint(), cluster.fingerprint());
    for name in ["authority.key", "node.key"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(tls.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let (renewed, next) = issue();
    std::fs::write(tls.path().join("node.key.next"), next.as_bytes()).unwrap();
    tls.identity().expect("the old pair, while the new certificate is not written");
    std::fs::write(tls.path().join("node.pem"), &renewed).unwrap();
    tls.identity().expect("the new pair");
}

/// A certificate from an organisation's authority: it has the machine's name, and a subject as this project needs it
/// or another one.
fn of_organisation(
    issuer: &rcgen::Issuer<'_, rcgen::KeyPair>,
    authority: &str,
    unit: &str,
    name: &str,
) -> Arc<PresentedIdentity> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "quorate");
    params.distinguished_name.push(rcgen::DnType::OrganizationalUnitName, unit);
    params.distinguished_name.push(rcgen::DnType::CommonName, "1");
    let certificate = params.signed_by(&key, issuer).unwrap().pem();
    let identity = Identity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes(), authority.as_bytes());
    Arc::new(PresentedIdentity::new(identity.unwrap()))
}

#[tokio::test]
async fn with_an_organisations_authority_a_node_is_accepted_at_its_own_address_only() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "An organisation");
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(params, key);
    let caller = connector(of_organisation(&issuer, &authority, "node", "127.0.0.1"), TIMEOUT);
    let cases = [
        ("a node at its address", "node", "127.0.0.1", true),
        ("a node at another's", "node", "127.0.0.2", false),
        ("a node by the name of all nodes", "node", "node.quorate", true),
        ("an operator's machine", "operator", "127.0.0.1", false),
    ];
    for (case, unit, name, believed) in cases {
        let uri = greeter(of_organisation(&issuer, &authority, unit, name), Audience::Certified).await;
        assert_eq!(greeting(caller.clone(), &uri).await.is_some(), believed, "{case}");
    }
}

#[test]
fn a_certificate_that_names_neither_node_nor_person_is_no_identity() {
    let cluster = authority();
    let (_, key) = cluster.issue_with_key(&Subject::Node(1), now_ms(), DAY).unwrap();
    let pem = cluster.certificate_pem().as_bytes();
    assert!(matches!(Identity::from_pem(pem, key.as_bytes(), pem), Err(TransportError::Subject { .. })));
}

#[tokio::test]
async fn a_connection_ends_when_its_certificate_is_no_longer_valid() {
    let cluster = Authority::create(now_ms()).unwrap();
    let node = own(&cluster, &Subject::Node(1));
    let shown = own(&cluster, &person(Role::Reader));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (changed, changes) = tokio::sync::watch::channel(0);
    let revoked = Arc::new(std::sync::Mutex::new(None));
    let looked = Arc::clone(&revoked);
    let standing = Standing::new(changes, move |certificate| Some(certificate.key) != *looked.lock().unwrap());
    let (accepting, mut connections) = listen(listener, node, Audience::Certified, admission(standing));
    tokio::spawn(accepting);
    let connect = |own: &Arc<PresentedIdentity>| {
        let own = Arc::clone(own);
        async move { connector(own, DAY).call(format!("http://{address}").parse().unwrap()).await.unwrap().into_inner() }
    };
    let other = own(&cluster, &person(Role::Operator));
    let mut kept = Vec::new();
    for own in [&shown, &other] {
        let (client, server) = tokio::join!(connect(own), connections.next());
        kept.push((client, server.unwrap().unwrap()));
    }
    let (mut other_client, mut other_server) = kept.pop().unwrap();
    let (client, mut server) = kept.pop().unwrap();
    let reading = tokio::spawn(async move { server.read_u8().await.map_err(|error| error.kind()) });
    *revoked.lock().unwrap() = Some(shown.now().certificate().key);
    changed.send_modify(|change| *change += 1);
    assert_eq!(reading.await.unwrap(), Err(std::io::ErrorKind::PermissionDenied), "while it waits for bytes");
    // A renewed certificate for the same key has the same holder; connections of other holders stay open.
    other_client.write_u8(7).await.unwrap();
    assert_eq!(other_server.read_u8().await.unwrap(), 7);
    drop(client);
}

#[tokio::test]
async fn a_connection_whose_certificate_becomes_known_is_not_closed_for_others_from_then_on() {
    let cluster = Authority::create(now_ms()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (changed, changes) = tokio::sync::watch::channel(0);
    let known = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let looked = Arc::clone(&known);
    let limits = Limits { strangers: 2, strangers_per_source: 2, ..Limits::TLS };
    let port = Connections::new("test", limits, Rules::default());
    let admission = Admission {
        connections: port.clone(),
        standing: Standing::new(changes, |_| true),
        is_known: Arc::new(move |_| looked.load(std::sync::atomic::Ordering::Relaxed)),
    };
    let (accepting, mut connections) =
        listen(listener, own(&cluster, &Subject::Node(1)), Audience::Certified, admission);
    tokio::spawn(accepting);
    let mut second = connector(own(&cluster, &Subject::Node(2)), DAY);
    let (client, server) = tokio::join!(second.call(format!("http://{address}").parse().unwrap()), connections.next());
    let (mut client, mut server) = (client.unwrap().into_inner(), server.unwrap().unwrap());
    assert_eq!(port.strangers(), 1);
    known.store(true, std::sync::atomic::Ordering::Relaxed);
    changed.send_modify(|change| *change += 1);
    client.write_u8(7).await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), 7);
    assert_eq!(port.strangers(), 0);
    // Two connections have slots, and the first of three is closed for the third.
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    assert!(matches!(silent[0].read(&mut [0]).await, Ok(0) | Err(_)));
    client.write_u8(8).await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), 8);
}

#[tokio::test]
async fn a_renewed_certificate_has_the_same_key_and_is_seen_at_its_address() {
    let cluster = Authority::create(now_ms()).unwrap();
    let (certificate, key) = cluster.issue_with_key(&Subject::Node(1), now_ms(), DAY).unwrap();
    let before = Certificate::from_pem(&certificate).unwrap();
    let renewed = cluster.renew(&Subject::Node(1), &key, now_ms(), DAY).unwrap();
    let after = Certificate::from_pem(&renewed).unwrap();
    assert_eq!(before.key, after.key);
    assert_ne!(before.serial, after.serial);
    let request = SigningRequest::from_der(&SigningRequest::with_key(&key).unwrap()).unwrap();
    let asked = cluster.issue(&request, &Subject::Node(1), now_ms(), DAY).unwrap();
    assert_eq!(Certificate::from_pem(&asked).unwrap().key, before.key);
    let identity = |pem: &str| {
        let authority = cluster.certificate_pem().as_bytes();
        Arc::new(PresentedIdentity::new(Identity::from_pem(pem.as_bytes(), key.as_bytes(), authority).unwrap()))
    };
    let uri = greeter(identity(&renewed), Audience::Certified).await;
    let address = uri.authority().unwrap().as_str();
    assert_eq!(certificate_at(address, &identity(&certificate), DAY).await.unwrap(), after);
}

#[tokio::test]
async fn a_known_key_is_recognised_whatever_authority_certified_it() {
    let (before, after) = (authority(), authority());
    let identity = |authority: &Authority, subject: &Subject, known: &KnownKeys| {
        let (certificate, key) = authority.issue_with_key(subject, now_ms(), DAY).unwrap();
        let believed = authority.certificate_pem().as_bytes();
        let identity = Identity::from_pem_knowing(certificate.as_bytes(), key.as_bytes(), believed, known).unwrap();
        Arc::new(PresentedIdentity::new(identity))
    };
    let (at_node, at_person) = (KnownKeys::default(), KnownKeys::default());
    let node = identity(&after, &Subject::Node(1), &at_node);
    let ada = identity(&before, &person(Role::Reader), &at_person);
    let admin = greeter(Arc::clone(&node), Audience::Anybody).await;
    let peers = greeter(Arc::clone(&node), Audience::Certified).await;
    let ask = async |uri: &Uri| greeting(connector(Arc::clone(&ada), TIMEOUT), uri).await;
    assert_eq!(ask(&admin).await, None, "neither trusts the other's authority");
    at_person.replace([node.now().certificate().key], []);
    assert_eq!(ask(&admin).await, None, "the node does not know the caller's key");
    let (key, ends_ms) = (ada.now().certificate().key, ada.now().certificate().ends_ms);
    at_node.replace([], [(key, ends_ms - 1)]);
    assert_eq!(
        ask(&admin).await,
        None,
        "a certificate that expires later than any issued one was not issued by the cluster"
    );
    at_node.replace([], [(key, ends_ms)]);
    assert_eq!(ask(&admin).await.as_deref(), Some("Ada, reader"));
    assert_eq!(ask(&peers).await, None, "a person's key is not a node's key");
    // A person's key is not accepted for a server, which must be a node.
    at_person.replace([], [(node.now().certificate().key, u64::MAX)]);
    assert_eq!(ask(&admin).await, None);
}

#[test]
fn a_folder_follows_the_authority_that_replaces_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Folder::at(&folder.path().join("tls"));
    let (before, after) = (authority(), authority());
    tls.write_authority(before.certificate_pem(), &before.key_pem()).unwrap();
    let (certificate, key) = before.issue_with_key(&Subject::Node(1), now_ms(), DAY).unwrap();
    tls.write_node(&certificate, &key).unwrap();
    // The node that holds the authority's key and staged the new one.
    tls.stage_authority(&after).unwrap();
    assert_eq!(tls.authority().unwrap().fingerprint(), before.fingerprint(), "staged is not taken");
    let (current, previous) = (after.certificate_der(), Some(before.certificate_der()));
    assert!(tls.follow_authority(current, previous).unwrap());
    assert!(!tls.follow_authority(current, previous).unwrap(), "once");
    assert_eq!(tls.authority().unwrap().fingerprint(), after.fingerprint());
    assert_eq!(tls.identity().unwrap().subject(), &Subject::Node(1), "its own certificate stays in use meanwhile");
    assert_ne!(
        Authority::name_of(&tls.authority_pem().unwrap()).unwrap(),
        tls.identity().unwrap().certificate().issuer
    );
    assert!(tls.follow_authority(current, None).unwrap(), "the overlap is over");
    assert!(tls.holds_authority_key());
    // Another node, which has the old key.
    assert!(tls.follow_authority(authority().certificate_der(), None).unwrap());
    assert!(!tls.holds_authority_key(), "an unusable key is destroyed");
}

//! Installation of keys and certificates, and the rights that follow.

use activation::certificate::{CertificateError, NodeCertificate};
use activation::key::{KeyKind, TypedKey};
use activation::state::{Applied, Command, CommandRefusal, RecordOutcome, Refusal};

use super::world::*;

fn install(cluster: &mut Cluster, certificates: Vec<(u64, NodeCertificate)>) -> Applied {
    let signed = cluster.publisher.answer(certificates).encode().into();
    cluster.apply(&Command::InstallActivation { signed })
}

#[test]
fn a_certificate_is_signed_over_every_field() {
    let publisher = Publisher::new(1);
    let right = publisher.certify(1, &host_key(1), GROUP_B, PLATFORM_STANDARD);
    let keys = publisher.activation_keys();
    assert_eq!(right.verify(&keys), Ok(()));
    assert_eq!(NodeCertificate::decode(&right.encode()), Ok(right.clone()));
    let wrong = [
        NodeCertificate { publisher: Publisher::new(50).id(), ..right.clone() },
        NodeCertificate { key: host_key(2).key_id(), ..right.clone() },
        NodeCertificate { group: GROUP_CLIENT, ..right.clone() },
        NodeCertificate { platform: 1, ..right.clone() },
        NodeCertificate { issued_minutes: 0, ..right.clone() },
        NodeCertificate { node_key: node_key(2).verifying_key().to_bytes(), ..right.clone() },
        NodeCertificate { signature: [0; 64], ..right.clone() },
    ];
    for certificate in wrong {
        assert_eq!(certificate.verify(&keys), Err(CertificateError::Signature), "{certificate:?}");
    }
    assert_eq!(right.verify(&Publisher::new(50).activation_keys()), Err(CertificateError::Signature));
    let weak = NodeCertificate { node_key: [0; 32], ..right };
    assert!(matches!(weak.verify(&keys), Err(CertificateError::Malformed(_))));
}

#[test]
fn either_activation_key_may_sign() {
    let publisher = Publisher::new(1);
    let node = node_key(1).verifying_key();
    for key in &publisher.activation {
        let certificate = NodeCertificate::issue(publisher.id(), host_key(1).key_id(), 3, 4, 0, &node, key);
        assert_eq!(certificate.verify(&publisher.activation_keys()), Ok(()));
    }
    let by_root = NodeCertificate::issue(publisher.id(), host_key(1).key_id(), 3, 4, 0, &node, &publisher.root);
    assert_eq!(by_root.verify(&publisher.activation_keys()), Err(CertificateError::Signature));
}

#[test]
fn only_host_keys_are_installed_on_hosts() {
    let mut cluster = Cluster::empty();
    for kind in [KeyKind::Setup, KeyKind::Direct] {
        let key = TypedKey::generate(kind, 1, [1; 16]);
        let publisher = cluster.publisher.id();
        assert_eq!(
            cluster.apply(&Command::InstallKey { publisher, key }),
            Applied::Refused(CommandRefusal::NotAHostKey(kind))
        );
    }
    let (publisher, key) = (cluster.publisher.id(), host_key(1));
    let unknown = cluster.apply(&Command::InstallKey { publisher, key });
    assert_eq!(unknown, Applied::Refused(CommandRefusal::UnknownPublisher));
    cluster.install_catalog(&example());
    cluster.install_key(&host_key(1));
    cluster.install_key(&host_key(1));
    assert_eq!(cluster.state.keys().map(|key| key.id).collect::<Vec<_>>(), [host_key(1).key_id()]);
}

#[test]
fn keys_are_listed_with_the_nodes_that_are_activated() {
    let mut cluster = Cluster::activated();
    cluster.install_key(&host_key(2));
    let nodes = |cluster: &Cluster, key: &TypedKey| {
        let installed = cluster.state.keys().find(|installed| installed.id == key.key_id()).unwrap();
        installed.activations.keys().copied().collect::<Vec<_>>()
    };
    assert_eq!(nodes(&cluster, &host_key(1)), [1, 2, 3]);
    assert_eq!(nodes(&cluster, &host_key(2)), [0; 0]);
    assert!(cluster.state.is_activated(cluster.publisher.id(), 3));
    assert!(!cluster.state.is_activated(cluster.publisher.id(), 4));
}

#[test]
fn a_certificate_that_does_not_fit_is_refused_with_its_reason() {
    let mut cluster = Cluster::activated();
    let publisher = Publisher::new(1);
    let certificate = |group, platform| publisher.certify(4, &host_key(1), group, platform);
    let refused = |cluster: &mut Cluster, certificate| match install(cluster, vec![(4, certificate)]) {
        Applied::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let node = 4;
    let signature = CommandRefusal::Certificate { node, source: CertificateError::Signature };
    assert_eq!(refused(&mut cluster, NodeCertificate { group: 4, ..certificate(3, 4) }), signature);
    let key = host_key(9).key_id();
    assert_eq!(
        refused(&mut cluster, publisher.certify(4, &host_key(9), 3, 4)),
        CommandRefusal::KeyNotInstalled { node, key }
    );
    assert_eq!(refused(&mut cluster, certificate(99, 4)), CommandRefusal::UnknownGroup { node, group: 99 });
    // R34: a client platform may hold keys for client products only.
    let expected = CommandRefusal::PlatformMayNotHold { node, platform: 1, group: GROUP_B };
    assert_eq!(refused(&mut cluster, certificate(GROUP_B, 1)), expected);
    assert!(!cluster.state.is_activated(publisher.id(), 4));
    cluster.publisher = Publisher::new(50);
    let foreign = cluster.publisher.certify(4, &host_key(1), 3, 4);
    assert_eq!(refused(&mut cluster, foreign), CommandRefusal::UnknownPublisher);
}

#[test]
fn certificates_are_installed_all_or_none() {
    let mut cluster = Cluster::activated();
    let before = cluster.state.hash();
    let right = cluster.publisher.certify(4, &host_key(1), GROUP_B, PLATFORM_STANDARD);
    let wrong = NodeCertificate { group: 4, ..cluster.publisher.certify(5, &host_key(1), GROUP_B, PLATFORM_STANDARD) };
    assert!(matches!(install(&mut cluster, vec![(4, right), (5, wrong)]), Applied::Refused(_)));
    assert_eq!(cluster.state.hash(), before);
}

#[test]
fn a_newer_certificate_replaces_an_older_one_and_not_the_reverse() {
    let mut cluster = Cluster::activated();
    let (id, key) = (cluster.publisher.id(), host_key(1).key_id());
    let node = node_key(1).verifying_key();
    let issued = |minutes| NodeCertificate::issue(id, key, GROUP_B, 4, minutes, &node, &signing_key(2));
    let installed = |cluster: &Cluster| cluster.state.certificate(id, key, 1).unwrap().issued_minutes;
    let now = installed(&cluster);
    for (offered, stands) in [(now + 5, now + 5), (now + 2, now + 5), (now + 5, now + 5), (now + 6, now + 6)] {
        assert_eq!(install(&mut cluster, vec![(1, issued(offered))]), Applied::Done);
        assert_eq!(installed(&cluster), stands);
    }
}

#[test]
fn a_certificate_issued_again_in_the_same_minute_for_another_node_key_replaces_the_first() {
    let mut cluster = Cluster::activated();
    let (id, key) = (cluster.publisher.id(), host_key(1).key_id());
    let first = cluster.state.certificate(id, key, 1).unwrap().clone();
    let node = node_key(9).verifying_key();
    let again = NodeCertificate::issue(id, key, GROUP_B, 4, first.issued_minutes, &node, &signing_key(2));
    assert_eq!(install(&mut cluster, vec![(1, again.clone())]), Applied::Done);
    assert_eq!(cluster.state.certificate(id, key, 1), Some(&again));
}

#[test]
fn a_node_answers_with_the_covering_certificate_of_the_smallest_key_id() {
    let mut cluster = Cluster::empty();
    cluster.install_catalog(&example());
    let mut keys = [host_key(1), host_key(2), host_key(3)];
    keys.sort_by_key(TypedKey::key_id);
    for (key, group) in keys.iter().zip([GROUP_CLIENT, GROUP_B, GROUP_B]) {
        cluster.install_key(key);
        cluster.certify(1, key, group, PLATFORM_STANDARD);
    }
    assert_eq!(cluster.ask(CLIENT, 1).key, keys[0].key_id());
    assert_eq!(cluster.ask(SERVER, 2).key, keys[1].key_id());
}

#[test]
fn a_blocked_certificate_gives_no_rights_from_the_next_catalog_on() {
    let mut cluster = Cluster::activated();
    cluster.ask(CLIENT, 1);
    let key = host_key(1).key_id();
    let text = edited("serial = 1", "serial = 2").replace("\nkeys = []", &format!("\nkeys = [\"{key}\"]"));
    cluster.install_catalog(&activation::catalog::Catalog::from_toml(&text).unwrap());
    let record = cluster.record(CLIENT, 2);
    assert_eq!(cluster.outcome(record), RecordOutcome::Refused(Refusal::KeyBlocked), "all certificates are blocked");
    cluster.install_key(&host_key(2));
    cluster.certify(1, &host_key(2), GROUP_CLIENT, PLATFORM_STANDARD);
    assert_eq!(cluster.ask(CLIENT, 2).key, host_key(2).key_id(), "another key still counts");
    let record = cluster.record(SERVER, 3);
    assert_eq!(cluster.outcome(record), RecordOutcome::Refused(Refusal::NotCovered), "what is blocked covers nothing");
}

#[test]
fn catalogs_are_installed_once_and_replaced_by_newer_ones_only() {
    let mut cluster = Cluster::activated();
    cluster.ask_all(CLIENT, 1..=3);
    let before = cluster.state.hash();
    cluster.install_catalog(&example());
    assert_eq!(cluster.state.hash(), before, "the same bytes again change nothing");
    let other = example_with("threshold = 25", "threshold = 30");
    let signed = cluster.publisher.sign(&other).bytes().clone();
    assert!(matches!(cluster.apply(&Command::InstallCatalog { signed }), Applied::Refused(CommandRefusal::Catalog(_))));
    assert_eq!(cluster.state.hash(), before, "the same serial with another content is refused");
    cluster.install_catalog(&example_with("serial = 1", "serial = 7"));
    let publisher = cluster.state.publishers().next().unwrap();
    assert_eq!((publisher.serial(), publisher.name()), (7, "Northlight Software"));
    assert_eq!(cluster.count("platform"), 3, "counts stay");
}

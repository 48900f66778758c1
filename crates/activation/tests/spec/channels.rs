//! Conversion between volume and direct activation (R24, R35).

use activation::channel::{Channel, DirectError, DirectKey, InstallKeyError, KeyStillNeeded};
use activation::direct::{DirectCertificate, DirectRequest};
use activation::id::{MachineDigest, ProductId};
use activation::key::{KeyKind, TypedKey};

use super::world::*;

const MACHINE: MachineDigest = MachineDigest([5; 8]);

fn setup_key(product: &str) -> TypedKey {
    example().product(product).unwrap().editions[0].setup_key
}

fn direct_key(seed: u8) -> TypedKey {
    TypedKey::generate(KeyKind::Direct, 0, [seed; 16])
}

fn install(before: Option<&Channel>, key: TypedKey) -> Result<Channel, InstallKeyError> {
    Channel::install_key(before, key, None, &example())
}

fn volume() -> Channel {
    install(None, setup_key(CLIENT)).unwrap()
}

/// The channel `Direct` with the publisher's certificate.
fn activated() -> Channel {
    let request = DirectRequest {
        request_id: [1; 16],
        key: direct_key(1),
        product: ProductId::derive(Publisher::new(1).id(), CLIENT),
        cmid: cmid(1),
        machine: MACHINE,
    };
    let certificate = DirectCertificate::issue(Publisher::new(1).id(), &request, 7, &Publisher::new(1).activation[1]);
    Channel::Direct {
        product: CLIENT.parse().unwrap(),
        key: DirectKey::Typed(direct_key(1)),
        certificate: Some(certificate),
    }
}

#[test]
fn r35_a_setup_key_selects_volume_activation_of_its_product() {
    for product in [CLIENT, SERVER] {
        let channel = install(None, setup_key(product)).unwrap();
        assert_eq!(channel, Channel::Volume { product: product.parse().unwrap(), setup_key: setup_key(product) });
    }
}

#[test]
fn r24_a_direct_key_turns_a_volume_client_into_a_directly_activated_one_and_the_setup_key_turns_it_back() {
    let direct = install(Some(&volume()), direct_key(1)).unwrap();
    let expected =
        Channel::Direct { product: CLIENT.parse().unwrap(), key: DirectKey::Typed(direct_key(1)), certificate: None };
    assert_eq!(direct, expected);
    assert_eq!(install(Some(&activated()), setup_key(CLIENT)).unwrap(), volume());
}

#[test]
fn the_same_direct_key_again_keeps_what_the_publisher_gave_and_another_does_not() {
    assert_eq!(install(Some(&activated()), direct_key(1)).unwrap(), activated());
    assert!(matches!(install(Some(&activated()), direct_key(2)), Ok(Channel::Direct { certificate: None, .. })));
    let other = Channel::install_key(Some(&activated()), direct_key(1), Some(SERVER.parse().unwrap()), &example());
    assert!(matches!(other, Ok(Channel::Direct { certificate: None, .. })), "another product, another certificate");
}

#[test]
fn a_direct_key_is_cleared_once_it_has_done_its_work_and_the_machine_stays_activated() {
    let fresh = install(Some(&volume()), direct_key(1)).unwrap();
    assert_eq!(fresh.clear_key(), Err(KeyStillNeeded));
    assert_eq!(volume().clear_key().unwrap(), volume(), "a setup key is public");
    let cleared = activated().clear_key().unwrap();
    assert!(matches!(&cleared, Channel::Direct { key: DirectKey::Cleared(id), .. } if *id == direct_key(1).key_id()));
    assert_eq!(cleared.check_direct(&Publisher::new(1).trust(None), cmid(1), MACHINE), Ok(()));
    assert_eq!(cleared.clear_key().unwrap(), cleared);
    assert_eq!(
        install(Some(&cleared), direct_key(1)).unwrap(),
        activated(),
        "typed again, as if it had never been cleared"
    );
}

#[test]
fn keys_that_are_not_for_clients_or_not_of_the_catalog_are_refused() {
    let unknown = TypedKey::generate(KeyKind::Setup, 0, [1; 16]);
    let toaster = "toaster".parse().unwrap();
    assert_eq!(install(None, host_key(1)), Err(InstallKeyError::HostKey));
    assert_eq!(install(None, unknown), Err(InstallKeyError::UnknownSetupKey));
    assert_eq!(install(None, direct_key(1)), Err(InstallKeyError::NoProduct));
    let refused = Channel::install_key(None, direct_key(1), Some(toaster), &example());
    assert_eq!(refused, Err(InstallKeyError::UnknownProduct("toaster".parse().unwrap())));
}

#[test]
fn r24_a_direct_certificate_activates_the_machine_that_it_was_given_for_and_no_other() {
    let trust = Publisher::new(1).trust(Some(&example()));
    assert_eq!(activated().check_direct(&trust, cmid(1), MACHINE), Ok(()));
    let Channel::Direct { product, key, certificate: Some(certificate) } = activated() else { unreachable!() };
    let with = |key, certificate| Channel::Direct { product: product.clone(), key, certificate: Some(certificate) };
    let changed = DirectCertificate { cmid: cmid(2), ..certificate.clone() };
    let text = edited("\nkeys = []", &format!("\nkeys = [\"{}\"]", key.id()));
    let blocking = Publisher::new(1).trust(Some(&activation::catalog::Catalog::from_toml(&text).unwrap()));
    let other = Publisher::new(50).trust(None);
    let cases = [
        (volume().check_direct(&trust, cmid(1), MACHINE), DirectError::NotYet),
        (with(key, changed).check_direct(&trust, cmid(2), MACHINE), DirectError::Signature),
        (activated().check_direct(&other, cmid(1), MACHINE), DirectError::Signature),
        (activated().check_direct(&trust, cmid(2), MACHINE), DirectError::ForAnother),
        (
            with(DirectKey::Typed(direct_key(2)), certificate).check_direct(&trust, cmid(1), MACHINE),
            DirectError::ForAnother,
        ),
        (activated().check_direct(&trust, cmid(1), MachineDigest([6; 8])), DirectError::Machine),
        (activated().check_direct(&blocking, cmid(1), MACHINE), DirectError::Blocked),
    ];
    for (found, expected) in cases {
        assert_eq!(found, Err(expected));
    }
}

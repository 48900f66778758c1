//! Checks that are made before the turn to change the records is taken.

use activation::{
    SigningKey,
    catalog::Name,
    host_activation::{ActivationRequests, HostActivation, HostActivationRequest, IdentityKind},
    id::MachineDigest,
    key::{KeyKind, TypedKey},
};
use futures::FutureExt;

use crate::{ActivateError, Publisher, Reason};

const EXAMPLE: &str = include_str!("../../../../deploy/catalogs/example.toml");

fn request(key: TypedKey) -> HostActivationRequest {
    let platform: Name = "server-standard-and-enterprise".parse().unwrap();
    let asked = HostActivation {
        request_id: [1; 16],
        node: 1,
        key,
        platform,
        machine: MachineDigest([1; 8]),
        identity: IdentityKind::Machine,
    };
    HostActivationRequest::sign(asked, &SigningKey::from_bytes(&[1; 32]), None)
}

#[tokio::test]
async fn signatures_are_verified_while_another_request_has_the_turn() {
    let folder = tempfile::tempdir().unwrap();
    let publisher = Publisher::init(&folder.path().join("publisher"), None, None).unwrap();
    publisher.sign_catalog(EXAMPLE, None).unwrap();
    let key = TypedKey::generate(KeyKind::Host, 3, [9; 16]);
    let sound = ActivationRequests { requests: vec![request(key)], releases: Vec::new() };
    let mut forged = sound.encode();
    *forged.last_mut().unwrap() ^= 1;
    let forged = ActivationRequests::decode(&forged).unwrap();

    let turn = publisher.records.turn().await.unwrap();
    let refused = publisher.activate(&forged).now_or_never().expect("it waits for nothing");
    let Err(ActivateError::Refused(refusals)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusals.0[0].reason, Reason::Signature);
    assert!(publisher.activate(&sound).now_or_never().is_none(), "what needs the records waits for its turn");
    drop(turn);
    let refused = publisher.activate(&sound).await;
    let Err(ActivateError::Refused(refusals)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusals.0[0].reason, Reason::UnknownKey);
}

//! Checks that are made before the turn to change the records is taken; and what depends on the time of a request.

use std::num::NonZeroU16;

use activation::{
    SigningKey,
    catalog::Name,
    host_activation::{ActivationAnswer, ActivationRequests, HostActivation, HostActivationRequest, IdentityKind},
    id::MachineDigest,
    key::{KeyKind, TypedKey},
};
use futures::FutureExt;
use tempfile::TempDir;

use crate::{ActivateError, KeyLimits, Publisher, Reason};

const EXAMPLE: &str = include_str!("../../../../deploy/catalogs/example.toml");

fn request(key: TypedKey) -> HostActivationRequest {
    numbered(key, 1, 1)
}

/// A request of node 1, with the node key and the request id of these numbers.
fn numbered(key: TypedKey, node_key: u8, request_id: u8) -> HostActivationRequest {
    let platform: Name = "server-standard-and-enterprise".parse().unwrap();
    let asked = HostActivation {
        request_id: [request_id; 16],
        node: 1,
        key,
        platform,
        machine: MachineDigest([1; 8]),
        identity: IdentityKind::Machine,
    };
    HostActivationRequest::sign(asked, &SigningKey::from_bytes(&[node_key; 32]), None)
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

const DAY_MS: u64 = 86_400_000;
const ISSUED_MS: u64 = 20_000 * DAY_MS;

/// A publisher whose catalog gives certificates 90 days, and a host key for one host.
async fn with_90_days() -> (TempDir, Publisher, TypedKey) {
    let folder = tempfile::tempdir().unwrap();
    let publisher = Publisher::init(&folder.path().join("publisher"), None, None).unwrap();
    publisher.sign_catalog(&catalog(1, Some(90)), None).unwrap();
    let key = publisher.issue_key("server-b", KeyLimits { hosts: 1, reactivations: 1 }).await.unwrap().key;
    (folder, publisher, key)
}

fn catalog(serial: u64, days: Option<u16>) -> String {
    let days = days.map_or_else(String::new, |days| format!("certificate_days = {days}\n"));
    EXAMPLE.replacen("serial = 1\n", &format!("serial = {serial}\n{days}"), 1)
}

async fn ask_at(publisher: &Publisher, asked: HostActivationRequest, clock_ms: fn() -> u64) -> ActivationAnswer {
    let file = ActivationRequests { requests: vec![asked], releases: Vec::new() };
    let signed = publisher.activate_at(&file, clock_ms).await.unwrap();
    signed.answers().answers[0].clone()
}

#[tokio::test]
async fn r31_a_renewal_by_the_certified_key_keeps_the_slot_and_spends_no_reactivation() {
    let (_folder, publisher, key) = with_90_days().await;
    let first = ask_at(&publisher, numbered(key, 1, 1), || ISSUED_MS).await;
    assert_eq!((first.certificate.days, first.reactivations_left), (NonZeroU16::new(90), 1));

    // The first day on which it can be renewed, and each renewal again in the middle of its own lifetime.
    let second = ask_at(&publisher, numbered(key, 1, 2), || ISSUED_MS + 45 * DAY_MS).await;
    assert_eq!(second.certificate.validity().ends_ms(), Some(ISSUED_MS + 135 * DAY_MS));
    // The last moment: 30 days after the end.
    let third = ask_at(&publisher, numbered(key, 1, 3), || ISSUED_MS + 165 * DAY_MS - 1).await;
    assert_eq!((second.reactivations_left, third.reactivations_left), (1, 1));
    let hosts = publisher.keys().unwrap().remove(0).hosts;
    assert_eq!((hosts.len(), hosts[0].reactivations), (1, 0), "one host, in the slot that it had");
    assert_eq!(hosts[0].activated_ms, ISSUED_MS + 165 * DAY_MS - 1);

    let again = ask_at(&publisher, numbered(key, 1, 3), || ISSUED_MS + 200 * DAY_MS).await;
    assert_eq!(again, third, "a request that was answered before gets the same certificate");
}

#[tokio::test]
async fn r31_before_the_middle_of_its_lifetime_and_30_days_after_its_end_a_request_is_a_reactivation() {
    for asked_at in [(|| ISSUED_MS + 44 * DAY_MS) as fn() -> u64, || ISSUED_MS + 120 * DAY_MS] {
        let (_folder, publisher, key) = with_90_days().await;
        ask_at(&publisher, numbered(key, 1, 1), || ISSUED_MS).await;
        assert_eq!(ask_at(&publisher, numbered(key, 1, 2), asked_at).await.reactivations_left, 0, "{}", asked_at());
    }
}

#[tokio::test]
async fn r31_another_node_key_of_the_same_machine_is_a_reactivation_not_a_renewal() {
    let (_folder, publisher, key) = with_90_days().await;
    ask_at(&publisher, numbered(key, 1, 1), || ISSUED_MS).await;
    assert_eq!(ask_at(&publisher, numbered(key, 2, 2), || ISSUED_MS + 60 * DAY_MS).await.reactivations_left, 0);
    let old = ActivationRequests { requests: vec![numbered(key, 1, 3)], releases: Vec::new() };
    let refused = publisher.activate_at(&old, || ISSUED_MS + 60 * DAY_MS).await;
    let Err(ActivateError::Refused(refusals)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusals.0[0].reason, Reason::NodeKeySpent { node: 1 }, "the replaced key renews nothing");
}

#[tokio::test]
async fn r6_a_catalog_without_certificate_days_issues_certificates_that_do_not_end_also_as_renewals() {
    let (_folder, publisher, key) = with_90_days().await;
    ask_at(&publisher, numbered(key, 1, 1), || ISSUED_MS).await;
    publisher.sign_catalog(&catalog(2, None), None).unwrap();
    let renewed = ask_at(&publisher, numbered(key, 1, 2), || ISSUED_MS + 60 * DAY_MS).await;
    assert_eq!((renewed.certificate.days, renewed.reactivations_left), (None, 1));
    let named = ask_at(&publisher, numbered(key, 1, 3), || ISSUED_MS + 61 * DAY_MS).await;
    assert_eq!(named.reactivations_left, 0, "a certificate that does not end is never renewed");
}

#[tokio::test]
async fn certificates_of_a_spent_key_leave_the_catalog_once_no_client_accepts_them() {
    let (_folder, publisher, key) = with_90_days().await;
    let first = ask_at(&publisher, numbered(key, 1, 1), || ISSUED_MS).await;
    ask_at(&publisher, numbered(key, 2, 2), || ISSUED_MS + DAY_MS).await;
    let spent = |now_ms| publisher.spent_certificates(&[].into(), now_ms).unwrap();
    assert_eq!(spent(ISSUED_MS + 120 * DAY_MS), [first.certificate.id()].into());
    assert_eq!(spent(ISSUED_MS + 121 * DAY_MS), [].into());
}

//! Node certificates that expire, because the publisher's catalog limits their lifetime: what is signed, and when a
//! node's certificate has expired for the cluster and for a client.

use std::num::NonZeroU16;

use activation::certificate::{CertificateError, NodeCertificate, Validity};
use activation::clock::{SkewReference, Stamp};
use activation::limits::CLOCK_AGREEMENT_MS;
use activation::message::{AnswerBody, AnswerError, Record, Request, ValidRequest, sign_answer, verify_answer};
use activation::state::{Applied, Batch, Command, CommandRefusal, Format, RecordOutcome, Refusal, State};

use super::world::*;

const DAYS: u16 = 90;
const END_MS: u64 = START_MS + DAYS as u64 * DAY_MS;

fn ending(publisher: &Publisher, node: u64, key: u8, group: u8, days: u16) -> NodeCertificate {
    let validity = Validity { issued_minutes: u32::try_from(START_MS / 60_000).unwrap(), days: NonZeroU16::new(days) };
    let (id, node_key) = (host_key(key).key_id(), node_key(node).verifying_key());
    NodeCertificate::issue_for(
        publisher.id(),
        id,
        (group, PLATFORM_STANDARD),
        validity,
        &node_key,
        &publisher.activation[0],
    )
}

/// A cluster of format 3 whose node 1 has a certificate of 90 days.
fn cluster() -> Cluster {
    let mut cluster = Cluster::empty();
    cluster.install_catalog(&example());
    cluster.install_key(&host_key(1));
    assert_eq!(cluster.apply(&Command::SetFormat { format: Format::NEWEST }), Applied::Done);
    install(&mut cluster, 1, GROUP_B, DAYS);
    cluster
}

fn install(cluster: &mut Cluster, key: u8, group: u8, days: u16) {
    let certificate = ending(&cluster.publisher, 1, key, group, days);
    let signed = cluster.publisher.answer(vec![(1, certificate)]).encode().into();
    assert_eq!(cluster.apply(&Command::InstallActivation { signed }), Applied::Done);
}

/// The outcome of one machine's request in a batch with this stamp.
fn outcome(cluster: &mut Cluster, time_ms: u64, skew: SkewReference, expiry_ms: u64) -> RecordOutcome {
    let record = Record { client_time_ms: time_ms, ..cluster.record(SERVER, 1) };
    let stamp = Stamp { time_ms, skew, expiry_ms: Some(expiry_ms) };
    match cluster.apply(&Command::Batch(Batch { stamp, records: vec![record] })) {
        Applied::Batch { outcomes, .. } => outcomes[0],
        other => panic!("a batch gave {other:?}"),
    }
}

fn at(cluster: &mut Cluster, now_ms: u64) -> RecordOutcome {
    outcome(cluster, now_ms, SkewReference::Other(now_ms), now_ms)
}

const NOT_ACTIVATED: RecordOutcome = RecordOutcome::Refused(Refusal::NotActivated);

#[test]
fn the_lifetime_is_signed_and_a_certificate_without_one_is_as_before() {
    let publisher = Publisher::new(1);
    let (right, keys) = (ending(&publisher, 1, 1, GROUP_B, DAYS), publisher.activation_keys());
    assert_eq!((right.verify(&keys), right.fields().len()), (Ok(()), 16));
    assert_eq!(NodeCertificate::decode(&right.encode()), Ok(right.clone()));
    for days in [None, NonZeroU16::new(DAYS + 1)] {
        let changed = NodeCertificate { days, ..right.clone() };
        assert_eq!(changed.verify(&keys), Err(CertificateError::Signature), "{days:?}");
    }
    let without = publisher.certify(1, &host_key(1), GROUP_B, PLATFORM_STANDARD);
    assert_eq!((without.days, without.fields().len(), without.validity().ends_ms()), (None, 14, None));

    let parts = |fields: &[u8]| NodeCertificate::from_parts(publisher.id(), fields, right.node_key, right.signature);
    let (mut zero, fields) = (right.fields(), right.fields());
    zero[14..].fill(0);
    for malformed in [&zero[..], &fields[..15], &[&fields[..], &[0]].concat()] {
        assert!(matches!(parts(malformed), Err(CertificateError::Malformed(_))), "{malformed:?}");
    }
}

#[test]
fn a_lifetime_has_a_middle_a_last_third_an_end_and_30_days_after_it() {
    let validity = ending(&Publisher::new(1), 1, 1, GROUP_B, DAYS).validity();
    assert_eq!((validity.ends_ms(), validity.due_ms()), (Some(END_MS), Some(START_MS + 60 * DAY_MS)));
    assert!(!validity.has_ended_at(END_MS - 1) && validity.has_ended_at(END_MS));
    let renewable = [START_MS + 45 * DAY_MS, END_MS, END_MS + 30 * DAY_MS - 1];
    assert!(renewable.iter().all(|time_ms| validity.may_be_renewed_at(*time_ms)));
    assert!(!validity.may_be_renewed_at(START_MS + 45 * DAY_MS - 1));
    assert!(!validity.may_be_renewed_at(END_MS + 30 * DAY_MS));
    let never = Validity { days: None, ..validity };
    assert!(!never.has_ended_at(u64::MAX) && !never.is_due_at(u64::MAX) && !never.may_be_renewed_at(u64::MAX));
}

#[test]
fn a_node_whose_certificate_has_ended_is_not_activated_until_it_is_renewed() {
    let mut cluster = cluster();
    let publisher = cluster.publisher.id();
    assert!(matches!(at(&mut cluster, END_MS - 1), RecordOutcome::Counted(_)));
    assert!(cluster.state.is_activated(publisher, 1));
    assert_eq!(at(&mut cluster, END_MS), NOT_ACTIVATED);
    assert!(!cluster.state.is_activated(publisher, 1));
    assert_eq!(cluster.state.groups_held(publisher, 1), []);
    let product = cluster.record(SERVER, 1).product;
    assert_eq!(cluster.state.refusal(1, publisher, product), Some(Refusal::NotActivated), "before the log, too");

    let renewed = NodeCertificate::issue_for(
        publisher,
        host_key(1).key_id(),
        (GROUP_B, PLATFORM_STANDARD),
        Validity { issued_minutes: u32::try_from(END_MS / 60_000).unwrap(), days: NonZeroU16::new(DAYS) },
        &node_key(1).verifying_key(),
        &cluster.publisher.activation[0],
    );
    let signed = cluster.publisher.answer(vec![(1, renewed)]).encode().into();
    assert_eq!(cluster.apply(&Command::InstallActivation { signed }), Applied::Done);
    assert!(cluster.state.is_activated(publisher, 1), "at once, without another batch");
    assert!(matches!(at(&mut cluster, END_MS + 1), RecordOutcome::Counted(_)));
}

#[test]
fn no_certificate_ends_during_a_clock_alarm() {
    let late = END_MS + 100 * DAY_MS;
    for (case, time_ms, median_ms, expiry_ms) in [
        ("an unconfirmed jump", late, late, START_MS),
        ("an unconfirmed jump from a time after the end", late + 2 * DAY_MS, late + 2 * DAY_MS, late),
        ("cluster time is ahead", late, late - CLOCK_AGREEMENT_MS - 1, late),
    ] {
        let mut cluster = cluster();
        let counted = outcome(&mut cluster, time_ms, SkewReference::Other(median_ms), expiry_ms);
        assert!(matches!(counted, RecordOutcome::Counted(_)), "{case}: {counted:?}");
        assert!(cluster.state.is_activated(cluster.publisher.id(), 1), "{case}");
    }
    // Without a majority of the clocks, and an hour ahead of the confirmed time: no alarm.
    assert_eq!(outcome(&mut cluster(), late, SkewReference::LeaveOut, late - HOUR_MS), NOT_ACTIVATED);
}

#[test]
fn a_command_that_sets_a_clock_ends_no_certificate_before_the_next_batch() {
    for command in [Command::ResetClock { time_ms: START_MS }, Command::AcceptClock { time_ms: END_MS }] {
        let mut cluster = cluster();
        assert_eq!(at(&mut cluster, END_MS), NOT_ACTIVATED);
        assert_eq!(cluster.apply(&command), Applied::Done);
        assert_eq!(cluster.state.certificate_clock_ms(), None);
        assert!(cluster.state.is_activated(cluster.publisher.id(), 1));
    }
}

#[test]
fn another_certificate_that_covers_the_product_takes_over_and_one_that_does_not_cover_it_does_not() {
    let mut cluster = cluster();
    cluster.install_key(&host_key(2));
    install(&mut cluster, 2, GROUP_CLIENT, 2 * DAYS);
    assert_eq!(at(&mut cluster, END_MS), NOT_ACTIVATED, "its certificate for servers has ended");
    cluster.install_key(&host_key(3));
    install(&mut cluster, 3, GROUP_B, 2 * DAYS);
    let RecordOutcome::Counted(counted) = at(&mut cluster, END_MS + 1) else { panic!("refused") };
    assert_eq!(counted.key, host_key(3).key_id());
}

#[test]
fn formats_before_3_refuse_certificates_that_end_as_versions_before_do_and_lose_them() {
    let mut cluster = Cluster::empty();
    cluster.install_catalog(&example());
    cluster.install_key(&host_key(1));
    let certificate = ending(&cluster.publisher, 1, 1, GROUP_B, DAYS);
    let signed = cluster.publisher.answer(vec![(1, certificate)]).encode();
    let refused = cluster.apply(&Command::InstallActivation { signed: signed.into() });
    let Applied::Refused(CommandRefusal::Answers(why)) = refused else { panic!("{refused:?}") };
    assert_eq!(why.to_string(), "the file is damaged or is not an activation file: certificate");

    let mut cluster = self::cluster();
    assert_eq!(cluster.apply(&Command::SetFormat { format: Format::AUDITED }), Applied::Done);
    assert!(cluster.state.keys().all(|key| key.activations.is_empty()));
    let restored = State::decode_snapshot(&cluster.state.encode_snapshot()).unwrap();
    assert_eq!(restored.hash(), cluster.state.hash());
}

/// The verdict of a client whose clock shows `asked_ms` on an answer that is dated `answered_ms`.
fn judged(asked_ms: u64, answered_ms: u64) -> Result<(), AnswerError> {
    let publisher = Publisher::new(1);
    let request = Request { client_time_ms: asked_ms, ..request(publisher.id(), CLIENT) };
    let body = AnswerBody {
        count: 26,
        threshold: 25,
        activation_interval_minutes: 120,
        renewal_interval_minutes: 10_080,
        cluster_time_ms: answered_ms,
        log_index: 77,
        offset: 3,
    };
    let bytes = request.encode();
    let digest = *ValidRequest::decode(&bytes).unwrap().digest();
    let answer = sign_answer(&body, &ending(&publisher, 1, 1, GROUP_B, DAYS), &node_key(1), &digest);
    verify_answer(&answer, &bytes, &publisher.trust(Some(&example())), request.product).map(drop)
}

#[test]
fn a_client_judges_a_certificate_by_the_answers_time() {
    assert_eq!(judged(END_MS - 1, END_MS - 1), Ok(()));
    assert_eq!(judged(END_MS, END_MS), Err(AnswerError::Ended));
    assert_eq!(judged(END_MS + HOUR_MS, END_MS - 1), Ok(()), "the client's clock is ahead, within the 4 hours");
    assert_eq!(judged(END_MS - 1, END_MS + 100 * DAY_MS), Ok(()), "cluster time ran ahead: the host has a clock alarm");
    let after_renewal_ms = END_MS + 30 * DAY_MS;
    assert_eq!(judged(after_renewal_ms - 1, START_MS), Ok(()));
    assert_eq!(judged(after_renewal_ms, START_MS), Err(AnswerError::Ended), "an answer that is dated back");
}

#[test]
fn a_catalog_says_how_long_certificates_last() {
    assert_eq!(example().certificate_days(), None);
    for (line, days) in [("certificate_days = 1", 1), ("certificate_days = 65535", 65_535)] {
        let catalog = example_with("serial = 1\n", &format!("serial = 1\n{line}\n"));
        assert_eq!(catalog.certificate_days(), NonZeroU16::new(days));
        let opened = activation::catalog::SignedCatalog::open(Publisher::new(1).sign(&catalog).bytes()).unwrap();
        assert_eq!(opened.catalog, catalog);
    }
    for wrong in ["0", "65536", "-1", "\"90\""] {
        let text = edited("serial = 1\n", &format!("serial = 1\ncertificate_days = {wrong}\n"));
        let error = activation::catalog::Catalog::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains("nonzero u16") || error.contains("invalid value"), "{wrong}: {error}");
    }
}

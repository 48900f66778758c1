//! Released activation slots, and the publisher's statement of a key's remaining slots (R31).

use activation::host_activation::{KeyStanding, ReleaseStatement};
use activation::state::{Applied, Command, CommandRefusal, KeySlots, RecordOutcome, Refusal};

use super::world::*;

fn statement(node: u64) -> ReleaseStatement {
    ReleaseStatement::sign(Publisher::new(1).id(), host_key(1).key_id(), node, &node_key(node))
}

fn release(cluster: &mut Cluster, statements: Vec<ReleaseStatement>) -> Applied {
    cluster.apply(&Command::Release { statements })
}

fn pending(cluster: &Cluster) -> Vec<u64> {
    cluster.state.publishers().flat_map(|publisher| publisher.pending_releases()).map(|release| release.node).collect()
}

/// The publisher's answer after it received the statement.
fn confirm(cluster: &mut Cluster, node: u64) {
    let mut answers = cluster.publisher.answers(vec![]);
    answers.released = vec![(host_key(1).key_id(), node_key(node).verifying_key().to_bytes())];
    let signed = answers.sign(&cluster.publisher.activation[0]).encode().into();
    assert_eq!(cluster.apply(&Command::InstallActivation { signed }), Applied::Done);
}

#[test]
fn r31_a_node_that_released_its_slot_answers_not_activated_and_the_others_continue() {
    let mut cluster = Cluster::activated();
    cluster.ask(CLIENT, 1);
    assert_eq!(release(&mut cluster, vec![statement(1)]), Applied::Done);
    let record = cluster.record(CLIENT, 2);
    assert_eq!(cluster.outcome(record.clone()), RecordOutcome::Refused(Refusal::NotActivated));
    let by_another = activation::message::Record { node: 2, ..record };
    assert!(matches!(cluster.outcome(by_another), RecordOutcome::Counted(counted) if counted.count == 2));
}

#[test]
fn a_statement_waits_until_the_publisher_confirms_it() {
    let mut cluster = Cluster::activated();
    assert_eq!(release(&mut cluster, vec![statement(1), statement(3)]), Applied::Done);
    assert_eq!(release(&mut cluster, vec![statement(1)]), Applied::Done, "a retry changes nothing");
    let mut waiting = pending(&cluster);
    waiting.sort_unstable();
    assert_eq!(waiting, [1, 3]);
    confirm(&mut cluster, 3);
    assert_eq!(pending(&cluster), [1]);
    confirm(&mut cluster, 1);
    assert_eq!(pending(&cluster), [0; 0]);
}

#[test]
fn only_the_node_itself_releases_its_slot() {
    let mut cluster = Cluster::activated();
    let before = cluster.state.hash();
    let key = host_key(1).key_id();
    let mut by_another = statement(2);
    by_another.node = 1;
    let without_certificate = statement(4);
    let publisher = Publisher::new(50);
    let of_another = ReleaseStatement::sign(publisher.id(), key, 1, &node_key(1));
    let cases = [
        (by_another, CommandRefusal::NotSignedByNode { node: 1 }),
        (
            ReleaseStatement::sign(Publisher::new(1).id(), key, 1, &node_key(2)),
            CommandRefusal::NotHeld { node: 1, key },
        ),
        (without_certificate, CommandRefusal::NotHeld { node: 4, key }),
        (of_another, CommandRefusal::UnknownPublisher),
    ];
    for (wrong, refusal) in cases {
        assert_eq!(release(&mut cluster, vec![statement(2), wrong]), Applied::Refused(refusal));
    }
    assert_eq!(cluster.state.hash(), before, "all or none");
}

#[test]
fn an_older_answer_does_not_restore_a_released_slot() {
    let mut cluster = Cluster::activated();
    release(&mut cluster, vec![statement(1)]);
    cluster.certify(1, &host_key(1), GROUP_B, PLATFORM_STANDARD);
    assert!(!cluster.state.is_activated(cluster.publisher.id(), 1));
    assert_eq!(pending(&cluster), [1]);
}

#[test]
fn a_node_is_activated_again_with_a_new_node_key() {
    let mut cluster = Cluster::activated();
    release(&mut cluster, vec![statement(1)]);
    confirm(&mut cluster, 1);
    let node = signing_key(77).verifying_key();
    let (id, key) = (cluster.publisher.id(), host_key(1).key_id());
    let signer = &cluster.publisher.activation[0];
    let certificate =
        activation::certificate::NodeCertificate::issue(id, key, GROUP_B, PLATFORM_STANDARD, 0, &node, signer);
    let signed = cluster.publisher.answer(vec![(1, certificate)]).encode().into();
    assert_eq!(cluster.apply(&Command::InstallActivation { signed }), Applied::Done);
    assert!(cluster.state.is_activated(id, 1));
}

#[test]
fn r31_what_is_left_of_a_key_is_what_the_publisher_said_last() {
    let mut cluster = Cluster::activated();
    let key = host_key(1).key_id();
    let standing = |cluster: &Cluster| cluster.state.keys().next().unwrap().standing;
    assert_eq!(standing(&cluster), None);
    for (answered_ms, hosts_used, holds) in [(5_000, 3, 3), (4_000, 2, 3), (5_000, 4, 4), (6_000, 1, 1)] {
        let certificate = cluster.publisher.certify(2, &host_key(1), GROUP_B, PLATFORM_STANDARD);
        let mut answers = cluster.publisher.answers(vec![(2, certificate)]);
        answers.answered_ms = answered_ms;
        answers.answers[0].reactivations_left = 7;
        answers.standings = vec![KeyStanding { key, hosts_limit: 6, hosts_used }];
        let signed = answers.sign(&cluster.publisher.activation[1]).encode().into();
        assert_eq!(cluster.apply(&Command::InstallActivation { signed }), Applied::Done);
        let told_ms = answered_ms.max(if holds == 3 { 5_000 } else { 0 });
        assert_eq!(standing(&cluster), Some(KeySlots { hosts_limit: 6, hosts_used: holds, told_ms }));
    }
    let key = cluster.state.keys().next().unwrap();
    let left: Vec<_> =
        key.activations.iter().map(|(node, activation)| (*node, activation.reactivations_left)).collect();
    assert_eq!(left, [(1, 9), (2, 7), (3, 9)]);
}

#[test]
fn an_answer_that_the_publisher_did_not_sign_changes_nothing() {
    let mut cluster = Cluster::activated();
    let before = cluster.state.hash();
    let certificate = cluster.publisher.certify(4, &host_key(1), GROUP_B, PLATFORM_STANDARD);
    let forged = cluster.publisher.answers(vec![(4, certificate)]).sign(&signing_key(99)).encode().into();
    let refused = cluster.apply(&Command::InstallActivation { signed: forged });
    assert!(matches!(refused, Applied::Refused(CommandRefusal::NotSignedByPublisher(_))), "{refused:?}");
    let refused = cluster.apply(&Command::InstallActivation { signed: b"rubbish".to_vec().into() });
    assert!(matches!(refused, Applied::Refused(CommandRefusal::Answers(_))), "{refused:?}");
    assert_eq!(cluster.state.hash(), before);
}

#[test]
fn a_key_installed_for_the_wrong_publisher_is_moved_while_no_node_is_activated_with_it() {
    let mut cluster = Cluster::activated();
    let other = Publisher::new(50);
    let catalog = example_with("publisher = \"Northlight Software\"", "publisher = \"Eastwind Software\"");
    let signed = other.sign(&catalog).bytes().clone();
    assert_eq!(cluster.apply(&Command::InstallCatalog { signed }), Applied::Done);
    let of = |cluster: &Cluster, key: &activation::key::TypedKey| {
        let key = key.key_id();
        cluster
            .state
            .keys()
            .filter(|installed| installed.id == key)
            .map(|installed| installed.publisher)
            .collect::<Vec<_>>()
    };
    cluster.install_key(&host_key(2));
    let moved = cluster.apply(&Command::InstallKey { publisher: other.id(), key: host_key(2) });
    assert_eq!((moved, of(&cluster, &host_key(2))), (Applied::Done, vec![other.id()]));
    let key = host_key(1).key_id();
    let kept = cluster.apply(&Command::InstallKey { publisher: other.id(), key: host_key(1) });
    assert_eq!(kept, Applied::Refused(CommandRefusal::KeyOfAnother { key }));
    assert_eq!(of(&cluster, &host_key(1)), [cluster.publisher.id()]);
}

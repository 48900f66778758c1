use proptest::prelude::*;

use super::*;
use crate::limits::{ANSWER_BYTES_MAX, BINDING_TIMEOUT, READ_BYTES};

const S: Duration = Duration::from_secs(1);
const T0: Duration = Duration::ZERO;

fn pdu(kind: u8, flags: u8, call_id: u32, body: &[u8]) -> Vec<u8> {
    let mut pdu = vec![5, 0, kind, flags, 0x10, 0, 0, 0];
    pdu.extend_from_slice(&u16::try_from(16 + body.len()).unwrap().to_le_bytes());
    pdu.extend_from_slice(&[0, 0]);
    pdu.extend_from_slice(&call_id.to_le_bytes());
    pdu.extend_from_slice(body);
    pdu
}

fn ack() -> Vec<u8> {
    let mut body = vec![0xd0, 0x16, 0xd0, 0x16, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    body.extend_from_slice(&[0; 24]);
    pdu(12, 3, 1, &body)
}

fn nak(reason: u8) -> Vec<u8> {
    pdu(13, 3, 1, &[reason, 0, 1, 5, 0])
}

fn request(call_id: u32) -> Vec<u8> {
    pdu(0, 3, call_id, &[0; 16])
}

fn response(call_id: u32) -> Vec<u8> {
    pdu(2, 3, call_id, &[0; 16])
}

fn begun(candidates: usize) -> Association {
    let (association, step) = Association::begin(candidates, Timeouts::default(), T0);
    assert_eq!(step.action, Action::Connect(0));
    association
}

fn bound() -> Association {
    let mut association = begun(2);
    assert_eq!(association.take(Event::Connected, T0).action, Action::SendBind);
    let step = association.take(Event::Received(Side::Upstream, &ack()), T0);
    assert_eq!(step, Action::PassOn(ack()).into());
    association
}

fn next(to: usize, failed: usize, failure: Failure) -> Step {
    Step { action: Action::Connect(to), failed: Some((failed, failure)) }
}

#[test]
fn g2_what_fails_before_the_bind_ack_was_passed_on_is_tried_elsewhere() {
    let mut association = begun(5);
    assert_eq!(association.take(Event::Failed(Failure::Connect), T0), next(1, 0, Failure::Connect));
    association.take(Event::Connected, T0);
    assert_eq!(association.take(Event::Ended(Side::Upstream), T0), next(2, 1, Failure::Closed));
    association.take(Event::Connected, T0);
    association.take(Event::Received(Side::Upstream, &ack()[..30]), T0);
    assert_eq!(association.take(Event::Broken(Side::Upstream), T0), next(3, 2, Failure::Closed));
    association.take(Event::Connected, T0);
    assert_eq!(association.take(Event::Time, S * 2).action, Action::Nothing);
    assert_eq!(association.take(Event::Time, S * 3), next(4, 3, Failure::Silent));
    association.take(Event::Connected, S * 3);
    let step = association.take(Event::Received(Side::Upstream, b"220 mail.example.test ready\r\n"), S * 3);
    assert_eq!(step, Step { action: Action::Close(Ending::NoUpstream), failed: Some((4, Failure::Protocol)) });
}

#[test]
fn g2_a_transient_bind_nak_goes_to_the_next_upstream_and_to_the_client_when_there_is_none() {
    for reason in [1, 2] {
        let mut association = begun(2);
        association.take(Event::Connected, T0);
        let step = association.take(Event::Received(Side::Upstream, &nak(reason)), T0);
        assert_eq!(step, next(1, 0, Failure::Refused));
        let step = association.take(Event::Failed(Failure::Connect), T0);
        assert_eq!(step, Step { action: Action::Refuse(nak(reason)), failed: Some((1, Failure::Connect)) });
    }
}

#[test]
fn g2_another_bind_nak_and_a_fault_are_the_upstreams_answer() {
    for answer in [nak(0), nak(4), nak(8), pdu(3, 3, 1, &[0; 16])] {
        let mut association = begun(2);
        association.take(Event::Connected, T0);
        let step = association.take(Event::Received(Side::Upstream, &answer), T0);
        assert_eq!(step, Action::PassOn(answer).into());
        assert!(association.acknowledgement().is_none());
        assert!(matches!(association.take(Event::Broken(Side::Upstream), T0).action, Action::Close(_)));
    }
}

#[test]
fn g2_after_the_bind_ack_nothing_is_tried_again() {
    let mut association = bound();
    assert_eq!(association.acknowledgement().map(|ack| ack.group), Some(7));
    association.take(Event::Received(Side::Client, &request(2)), T0);
    let step = association.take(Event::Broken(Side::Upstream), T0);
    let ending = Ending::Failed(Failure::Closed);
    assert_eq!(step, Step { action: Action::Close(ending), failed: Some((0, Failure::Closed)) });
    assert_eq!(association.take(Event::Time, S * 900), Action::Nothing.into());
}

#[test]
fn no_upstream_closes_and_all_attempts_share_one_deadline() {
    let (_, step) = Association::begin(0, Timeouts::default(), T0);
    assert_eq!(step.action, Action::Close(Ending::NoUpstream));
    let mut association = begun(4);
    assert!(matches!(association.take(Event::Failed(Failure::Connect), BINDING_TIMEOUT).action, Action::Close(_)));
}

#[test]
fn g6_idle_time_and_the_deadline_of_a_pdu_end_an_association() {
    let timeouts = Timeouts::default();
    let mut association = bound();
    assert_eq!(association.deadline(), Some(timeouts.idle));
    assert_eq!(association.take(Event::Time, timeouts.idle).action, Action::Close(Ending::Idle));

    // Dripping byte by byte does not move the deadline.
    let mut association = bound();
    for (at, byte) in (0u32..).zip(&request(2)[..10]) {
        association.take(Event::Received(Side::Client, &[*byte]), S * at);
    }
    assert_eq!(association.deadline(), Some(timeouts.pdu));
    assert_eq!(association.take(Event::Time, timeouts.pdu).action, Action::Close(Ending::Slow(Side::Client)));

    let mut association = bound();
    association.take(Event::Received(Side::Client, &request(2)), T0);
    association.take(Event::Received(Side::Upstream, &response(2)[..20]), S);
    let step = association.take(Event::Time, S + timeouts.pdu);
    let ending = Ending::Slow(Side::Upstream);
    assert_eq!(step, Step { action: Action::Close(ending), failed: Some((0, Failure::Slow)) });

    let mut association = bound();
    association.take(Event::Stalled(Side::Client, true), S);
    association.take(Event::Stalled(Side::Client, true), S * 5);
    assert_eq!(association.deadline(), Some(S + timeouts.pdu));
    let step = association.take(Event::Time, S + timeouts.pdu);
    assert_eq!(step, Action::Close(Ending::Slow(Side::Client)).into());
}

#[test]
fn half_closed_sides_are_kept_until_both_have_ended() {
    let mut association = bound();
    association.take(Event::Received(Side::Client, &request(2)), T0);
    assert_eq!(association.take(Event::Ended(Side::Client), T0), Action::EndSending(Side::Upstream).into());
    assert_eq!(association.take(Event::Received(Side::Upstream, &response(2)), T0), Action::Nothing.into());
    assert_eq!(association.take(Event::Ended(Side::Upstream), T0), Action::Close(Ending::Finished).into());
}

#[test]
fn an_upstream_that_ends_with_a_call_open_has_failed() {
    let mut association = bound();
    association.take(Event::Received(Side::Client, &request(2)), T0);
    let step = association.take(Event::Ended(Side::Upstream), T0);
    let action = Action::EndSending(Side::Client);
    assert_eq!(step, Step { action, failed: Some((0, Failure::Closed)) });
}

#[test]
fn a_stopping_node_closes_idle_associations_at_once_and_others_after_their_calls_or_five_seconds() {
    assert_eq!(bound().take(Event::Stopping, T0).action, Action::Close(Ending::Stopped));
    assert_eq!(begun(1).take(Event::Stopping, T0).action, Action::Close(Ending::Stopped));

    let with_call = || {
        let mut association = bound();
        association.take(Event::Received(Side::Client, &request(2)), T0);
        assert_eq!(association.take(Event::Stopping, S).action, Action::Nothing);
        association
    };
    let mut answered = with_call();
    let step = answered.take(Event::Received(Side::Upstream, &response(2)), S * 2);
    assert_eq!((step.action, answered.answered()), (Action::Close(Ending::Stopped), 1));
    let mut late = with_call();
    assert_eq!(late.deadline(), Some(S + STOP_TIMEOUT));
    assert_eq!(late.take(Event::Time, S + STOP_TIMEOUT).action, Action::Close(Ending::Stopped));

    let mut mid_pdu = bound();
    mid_pdu.take(Event::Received(Side::Client, &request(2)[..7]), T0);
    assert_eq!(mid_pdu.take(Event::Stopping, T0).action, Action::Nothing);
}

#[test]
fn calls_are_open_until_their_last_answer_and_alter_context_is_one() {
    let mut association = bound();
    association.take(Event::Received(Side::Client, &[request(2), pdu(14, 3, 3, &[0; 12])].concat()), T0);
    association.take(Event::Received(Side::Upstream, &pdu(2, 1, 2, &[0; 16])), T0);
    association.take(Event::Received(Side::Upstream, &pdu(15, 3, 3, &[0; 16])), T0);
    assert!(association.has_calls() && association.answered() == 0);
    association.take(Event::Received(Side::Upstream, &pdu(2, 2, 2, &[0; 16])), T0);
    assert!(!association.has_calls() && association.answered() == 1);
    association.take(Event::Received(Side::Client, &request(4)), T0);
    association.take(Event::Received(Side::Client, &pdu(19, 3, 4, &[])), T0);
    assert!(!association.has_calls(), "an orphaned call gets no answer");
    association.take(Event::Received(Side::Upstream, &response(9)), T0);
    assert_eq!(association.answered(), 1, "an answer without a request does not count");
}

proptest! {
    /// Whatever an upstream answers, however it is split: at most one bind is passed on, the bytes for the client are a
    /// prefix of what one upstream sent, and what is held is bounded.
    #[test]
    fn g2_an_answer_is_passed_on_whole_from_one_upstream_and_what_is_held_is_bounded(
        answers in prop::collection::vec(prop_oneof![
            Just(ack()), Just(nak(1)), Just(nak(2)), Just(nak(0)), Just(b"HTTP/1.1 400 Bad Request\r\n".to_vec()),
            Just(pdu(12, 3, 1, &[0xff; 65_000])), prop::collection::vec(any::<u8>(), 0..100),
        ], 1..4),
        cut in 1usize..READ_BYTES,
    ) {
        let mut association = begun(answers.len());
        let mut passed = Vec::new();
        for (at, answer) in answers.iter().enumerate() {
            association.take(Event::Connected, T0);
            let mut is_next = false;
            for chunk in answer.chunks(cut) {
                let step = association.take(Event::Received(Side::Upstream, chunk), T0);
                prop_assert!(association.held_bytes() <= 2 * (ANSWER_BYTES_MAX + READ_BYTES));
                match step.action {
                    Action::Connect(next) => { prop_assert_eq!(next, at + 1); is_next = true; break }
                    Action::PassOn(bytes) => {
                        prop_assert!(answer.starts_with(&bytes));
                        passed.push(bytes);
                    }
                    Action::Refuse(bytes) => { prop_assert!(answers.iter().any(|answer| answer.starts_with(&bytes))); }
                    Action::Nothing | Action::Close(_) => {}
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            if !is_next && !matches!(association.take(Event::Failed(Failure::Connect), T0).action, Action::Connect(_)) {
                break;
            }
        }
        prop_assert!(passed.len() <= 1);
    }
}

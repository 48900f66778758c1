//! Answers of hosts that do not verify, and so activate nothing.

use activation::message::AnswerError;
use activation::status::Status;
use activation::trust::Trust;
use client::{ActivateError, ReceivedAnswer, Session};
use tokio::io::DuplexStream;

use crate::hosts::{Reply, session_with};
use crate::world::{GROUP_CLIENT, Publisher};

const GROUP_SUITE: u8 = 10;

fn distrusted(result: Result<ReceivedAnswer, ActivateError>) -> AnswerError {
    match result {
        Err(ActivateError::NotTrusted { error, .. }) => error,
        other => panic!("should not be trusted: {other:?}"),
    }
}

#[tokio::test]
async fn a_host_of_another_publisher_activates_nothing() {
    let (ours, theirs) = (Publisher::new(1), Publisher::new(50));
    let node = theirs.node(GROUP_CLIENT);
    let mut session = session_with(move |request| Reply::Answer(node.answer(request, 50))).await;
    assert_eq!(distrusted(session.exchange(&ours.request(), &ours.trust()).await), AnswerError::UntrustedHost);
}

#[tokio::test]
async fn a_rogue_host_that_shows_an_honest_nodes_certificate_activates_nothing() {
    let publisher = Publisher::new(1);
    let mut node = publisher.node(GROUP_CLIENT);
    node.key = activation::SigningKey::from_bytes(&[66; 32]);
    let mut session = session_with(move |request| Reply::Answer(node.answer(request, 50))).await;
    let result = session.exchange(&publisher.request(), &publisher.trust()).await;
    assert_eq!(distrusted(result), AnswerError::Signature);
}

#[tokio::test]
async fn a_key_of_another_group_activates_nothing_and_says_so() {
    let publisher = Publisher::new(1);
    let node = publisher.node(GROUP_SUITE);
    let mut session = session_with(move |request| Reply::Answer(node.answer(request, 50))).await;
    let error = session.exchange(&publisher.request(), &publisher.trust()).await.unwrap_err();
    assert_eq!(error.status(), Status::KEY_DOES_NOT_COVER_PRODUCT);
    assert_eq!(distrusted(Err(error)), AnswerError::NotCovered);
}

#[tokio::test]
async fn an_answer_to_an_earlier_request_activates_nothing() {
    let publisher = Publisher::new(1);
    let node = publisher.node(GROUP_CLIENT);
    let mut recorded = None;
    let mut session =
        session_with(move |request| Reply::Answer(recorded.get_or_insert_with(|| node.answer(request, 50)).clone()))
            .await;
    let first = publisher.request();
    assert!(session.exchange(&first, &publisher.trust()).await.is_ok());
    // The same machine, product and time: only the nonce differs.
    let again = client::request(first.publisher, first.product, first.cmid, &crate::world::machine()).unwrap();
    let again = activation::message::Request { client_time_ms: first.client_time_ms, ..again };
    assert_eq!(distrusted(session.exchange(&again, &publisher.trust()).await), AnswerError::Signature);
}

#[tokio::test]
async fn an_unsigned_success_activates_nothing() {
    let publisher = Publisher::new(1);
    let mut session = session_with(|_| Reply::Answer(Vec::new())).await;
    let error = distrusted(session.exchange(&publisher.request(), &publisher.trust()).await);
    assert!(matches!(error, AnswerError::Malformed(_)), "{error:?}");
}

#[tokio::test]
async fn an_answer_with_any_bit_changed_on_the_way_activates_nothing() {
    let publisher = Publisher::new(1);
    let (node, request, trust) = (publisher.node(GROUP_CLIENT), publisher.request(), publisher.trust());
    let bits = 8 * node.answer(&request.encode(), 50).len();
    let mut bit = 0;
    let mut session = session_with(move |request| {
        let mut answer = node.answer(request, 50);
        if bit < bits {
            answer[bit / 8] ^= 1 << (bit % 8);
        }
        bit += 1;
        Reply::Answer(answer)
    })
    .await;
    for bit in 0..bits {
        refuses(&mut session, &request, &trust, bit).await;
    }
    let unchanged = session.exchange(&request, &trust).await.unwrap();
    assert!(unchanged.answer.body.is_activated());
}

async fn refuses(
    session: &mut Session<DuplexStream>,
    request: &activation::message::Request,
    trust: &Trust,
    bit: usize,
) {
    let result = session.exchange(request, trust).await;
    assert!(matches!(result, Err(ActivateError::NotTrusted { .. })), "bit {bit}: {result:?}");
}

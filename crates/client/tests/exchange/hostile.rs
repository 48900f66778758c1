//! Servers that send nothing, send single bytes, break the protocol or never stop. Time is tokio's paused time,
//! which advances only for deadlines.

use std::time::Duration;

use client::{ActivateError, Deadlines, NotAHost, NotReached, Session};
use dcerpc::{AssociationError, Interface, ProtocolError};
use tokio::io::{AsyncWriteExt, duplex};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::hosts::{Reply, activation, bind_answered_with, bind_to, peer, session_with};
use crate::world::{GROUP_CLIENT, Publisher};

fn is_silent(error: &ActivateError) -> bool {
    matches!(error, ActivateError::NotReached { reason: NotReached::Silent, .. })
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_the_bind_costs_the_exchange_deadline() {
    let (near, _far) = duplex(1024);
    let start = Instant::now();
    let error = Session::over(near, peer(), Deadlines::default()).await.unwrap_err();
    assert!(is_silent(&error), "{error:?}");
    assert_eq!(start.elapsed(), Deadlines::default().exchange);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_never_answers_a_request_costs_the_exchange_deadline_and_the_session() {
    let publisher = Publisher::new(1);
    let mut session = session_with(|_| Reply::Silence).await;
    let start = Instant::now();
    let error = session.exchange(&publisher.request(), &publisher.trust()).await.unwrap_err();
    assert!(is_silent(&error), "{error:?}");
    assert_eq!(start.elapsed(), Deadlines::default().exchange);
    let next = session.exchange(&publisher.request(), &publisher.trust()).await.unwrap_err();
    assert!(matches!(next, ActivateError::NotReached { reason: NotReached::SessionOver, .. }), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drips_bytes_gains_no_time() {
    let (near, mut far) = duplex(1024);
    // A bind_ack of 60 bytes, one byte each second.
    let header = [5, 0, 12, 3, 0x10, 0, 0, 0, 60, 0, 0, 0, 1, 0, 0, 0];
    tokio::spawn(async move {
        for byte in header.into_iter().chain([0; 44]) {
            sleep(Duration::from_secs(1)).await;
            if far.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    });
    let start = Instant::now();
    let error = Session::over(near, peer(), Deadlines::default()).await.unwrap_err();
    assert!(is_silent(&error), "{error:?}");
    assert_eq!(start.elapsed(), Deadlines::default().exchange);
}

#[tokio::test(start_paused = true)]
async fn fragments_without_an_end_and_without_content_run_into_the_deadline() {
    let publisher = Publisher::new(1);
    // The first of many fragments of the answer to call 2, without a byte of the answer; then more of them.
    let fragment = |flags| vec![5, 0, 2, flags, 0x10, 0, 0, 0, 24, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut session = session_with(move |_| Reply::Endless { first: fragment(1), next: fragment(0) }).await;
    let error = session.exchange(&publisher.request(), &publisher.trust()).await.unwrap_err();
    assert!(is_silent(&error), "{error:?}");
}

#[tokio::test]
async fn bytes_that_are_no_answer_to_a_bind_are_named_and_never_repeated() {
    for (what, bytes, expected) in [
        (
            "a web server",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            ProtocolError::Version { major: b'H', minor: b'T' },
        ),
        (
            "a fragment of 65535 bytes",
            vec![5, 0, 12, 3, 0x10, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0],
            ProtocolError::FragmentLength(65_535),
        ),
        (
            "a fragment shorter than its header",
            vec![5, 0, 12, 3, 0x10, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0],
            ProtocolError::FragmentLength(3),
        ),
        (
            "an answer before the request",
            vec![5, 0, 2, 3, 0x10, 0, 0, 0, 24, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ProtocolError::PduType(2),
        ),
        ("an empty bind_ack", vec![5, 0, 12, 3, 0x10, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0], ProtocolError::Truncated(12)),
    ] {
        let error = bind_answered_with(bytes).await;
        let ActivateError::Protocol { error: NotAHost::Rpc(AssociationError::Protocol(found)), .. } = &error else {
            panic!("{what}: {error:?}");
        };
        assert_eq!(*found, expected, "{what}");
        assert!(error.to_string().is_ascii() && !error.to_string().contains("HTTP"), "{what}: {error}");
    }
}

#[tokio::test]
async fn a_server_of_another_interface_or_version_is_not_a_host() {
    for other in [
        Interface { uuid: Uuid::from_u128(1), ..activation() },
        Interface { major: activation().major + 1, ..activation() },
    ] {
        let error = bind_to(other).await;
        assert!(
            matches!(
                error,
                ActivateError::Protocol {
                    error: NotAHost::Rpc(AssociationError::InterfaceRefused { result: 2, reason: 1 }),
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_not_marshalled_as_agreed_is_a_broken_protocol() {
    let publisher = Publisher::new(1);
    for stub in [vec![], vec![0xff; 16], vec![0xff; 4096]] {
        let mut session = session_with(move |_| Reply::Stub(stub.clone())).await;
        let error = session.exchange(&publisher.request(), &publisher.trust()).await.unwrap_err();
        assert!(matches!(error, ActivateError::Protocol { error: NotAHost::Stub(_), .. }), "{error:?}");
    }
}

#[tokio::test]
async fn garbage_instead_of_an_answer_ends_the_session() {
    let publisher = Publisher::new(1);
    let mut session = session_with(|_| Reply::Raw(vec![0x5a; 64])).await;
    let error = session.exchange(&publisher.request(), &publisher.trust()).await.unwrap_err();
    assert!(matches!(error, ActivateError::Protocol { error: NotAHost::Rpc(_), .. }), "{error:?}");
    let next = session.exchange(&publisher.request(), &publisher.trust()).await.unwrap_err();
    assert!(matches!(next, ActivateError::NotReached { reason: NotReached::SessionOver, .. }), "{next:?}");
}

#[tokio::test]
async fn an_exchange_that_was_dropped_half_way_ends_the_session() {
    let publisher = Publisher::new(1);
    let (trust, node) = (publisher.trust(), publisher.node(GROUP_CLIENT));
    let mut replies = vec![Reply::Silence];
    let mut session =
        session_with(move |request| replies.pop().unwrap_or_else(|| Reply::Answer(node.answer(request, 9)))).await;
    let request = publisher.request();
    tokio::select! {
        biased;
        result = session.exchange(&request, &trust) => panic!("no host answered, but the result is {result:?}"),
        () = std::future::ready(()) => {}
    }
    let next = session.exchange(&request, &trust).await.unwrap_err();
    assert!(matches!(next, ActivateError::NotReached { reason: NotReached::SessionOver, .. }), "{next:?}");
}

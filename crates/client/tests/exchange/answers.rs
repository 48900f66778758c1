//! Valid answers and refusals of a host, and how the client processes them.

use activation::limits::PDU_BYTES_MAX;
use activation::message::RefusalDetail;
use activation::status::Status;
use client::{ActivateError, NotReached};

use crate::hosts::{Reply, peer, session_with};
use crate::world::{GROUP_CLIENT, Publisher, THRESHOLD, body};

#[tokio::test]
async fn r9_the_client_is_activated_from_the_threshold_on_and_learns_the_count_either_way() {
    let publisher = Publisher::new(1);
    for (count, status) in [
        (1, Status::BELOW_THRESHOLD),
        (THRESHOLD - 1, Status::BELOW_THRESHOLD),
        (THRESHOLD, Status::OK),
        (50, Status::OK),
    ] {
        let node = publisher.node(GROUP_CLIENT);
        let certificate = node.certificate.clone();
        let mut session = session_with(move |request| Reply::Answer(node.answer(request, count))).await;
        let answered = session.exchange(&publisher.request(), &publisher.trust()).await.unwrap();
        assert_eq!(answered.answer.body, body(count));
        assert_eq!(answered.status(), status, "count {count}");
        assert_eq!(answered.answer.certificate, certificate);
        assert_eq!(answered.peer, peer());
    }
}

#[tokio::test]
async fn r2_both_pdus_fit_256_bytes_and_are_reported_as_they_were_on_the_wire() {
    let publisher = Publisher::new(1);
    let node = publisher.node(GROUP_CLIENT);
    let request = publisher.request();
    let (message, answer) = (request.encode().len(), node.answer(&request.encode(), 50).len());
    let mut session = session_with(move |request| Reply::Answer(node.answer(request, 50))).await;
    let answered = session.exchange(&request, &publisher.trust()).await.unwrap();
    assert_eq!(answered.request_pdu_bytes, 24 + 8 + message);
    assert_eq!(answered.response_pdu_bytes, 24 + 12 + answer.next_multiple_of(4) + 4);
    println!("request PDU {} bytes, response PDU {} bytes", answered.request_pdu_bytes, answered.response_pdu_bytes);
    assert!(answered.request_pdu_bytes <= PDU_BYTES_MAX && answered.response_pdu_bytes <= PDU_BYTES_MAX);
}

#[tokio::test]
async fn one_session_carries_many_requests() {
    let publisher = Publisher::new(1);
    let node = publisher.node(GROUP_CLIENT);
    let mut count = 0;
    let mut session = session_with(move |request| {
        count += 1;
        Reply::Answer(node.answer(request, count))
    })
    .await;
    for expected in 1..=30 {
        let answered = session.exchange(&publisher.request(), &publisher.trust()).await.unwrap();
        assert_eq!(answered.answer.body.count, expected);
    }
}

#[tokio::test]
async fn a_refusal_keeps_its_code_and_the_session_continues() {
    let publisher = Publisher::new(1);
    for code in [Status::HOST_NOT_ACTIVATED.0, Status::CLOCK_SKEW.0, 0xDEAD_BEEF, 1] {
        let node = publisher.node(GROUP_CLIENT);
        let mut replies = vec![Reply::Refuse(code)];
        let mut session =
            session_with(move |request| replies.pop().unwrap_or_else(|| Reply::Answer(node.answer(request, 7)))).await;
        let refused = session.exchange(&publisher.request(), &publisher.trust()).await.unwrap_err();
        assert!(
            matches!(refused, ActivateError::Refused { status, peer: by, detail: None } if status.0 == code && by == peer()),
            "{refused:?}"
        );
        assert_eq!((refused.status(), refused.advice()), (Status(code), Status(code).advice()));
        assert!(session.exchange(&publisher.request(), &publisher.trust()).await.is_ok());
    }
}

#[tokio::test]
async fn a_refusal_for_the_group_names_the_group_needed_and_those_held_and_is_believed_no_further() {
    let publisher = Publisher::new(1);
    let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<_>>();
    let encoded = |needed: Option<&str>, held: &[&str]| {
        let needed = needed.map(|name| name.parse().unwrap());
        RefusalDetail { needed, held: names(held), new_cmids_per_minute: 0 }.encode()
    };
    let limited = RefusalDetail { new_cmids_per_minute: 30, ..RefusalDetail::default() }.encode();
    let not_covered = Status::KEY_DOES_NOT_COVER_PRODUCT;
    for (status, data, says) in [
        (
            not_covered,
            encoded(Some("server-c"), &["server-b"]),
            Some("needs a host key of group server-c or higher; the host has keys of server-b"),
        ),
        (
            not_covered,
            encoded(Some("server-c"), &["client", "suite"]),
            Some("needs a host key of group server-c or higher; the host has keys of client, suite"),
        ),
        (
            not_covered,
            encoded(None, &["server-b"]),
            Some("the host's catalog does not list this product; the host has keys of server-b"),
        ),
        (not_covered, Vec::new(), None),
        (not_covered, vec![0xff; 40], None),
        (not_covered, b"\x0a\x09a\x1b[31mred".to_vec(), None),
        (not_covered, vec![0; 4096], None),
        (
            Status::HOST_UNAVAILABLE,
            limited,
            Some(
                "it accepts 30 new machines per minute from one client address, and this limit is reached; try again \
                 in a minute",
            ),
        ),
        (Status::HOST_UNAVAILABLE, encoded(Some("server-c"), &["server-b"]), None),
        (Status::HOST_UNAVAILABLE, Vec::new(), None),
        (Status::HOST_NOT_ACTIVATED, encoded(Some("server-c"), &["server-b"]), None),
    ] {
        let data_sent = data.clone();
        let mut session = session_with(move |_| Reply::RefuseWith(status.0, data_sent.clone())).await;
        let refused = session.exchange(&publisher.request(), &publisher.trust()).await.unwrap_err();
        let ActivateError::Refused { status: found, detail, .. } = &refused else { panic!("{refused:?}") };
        assert_eq!(*found, status);
        assert_eq!(detail.is_some(), says.is_some(), "{data:?}: {detail:?}");
        let shown = refused.to_string();
        assert!(says.is_none_or(|says| shown.ends_with(says)), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }
}

#[test]
fn r2_a_refusal_with_all_its_groups_fits_256_bytes_where_names_have_up_to_15_characters() {
    let name: activation::catalog::Name = "fifteen-letters".parse().unwrap();
    let held = vec![name.clone(); RefusalDetail::HELD_MAX + 9];
    let stub =
        dcerpc::ndr::encode_answer(&RefusalDetail { needed: Some(name), held, new_cmids_per_minute: 0 }.encode(), 1);
    assert!(24 + stub.len() <= PDU_BYTES_MAX, "{} bytes", 24 + stub.len());
}

#[tokio::test]
async fn a_fault_is_not_a_refusal_and_the_session_continues() {
    let publisher = Publisher::new(1);
    for code in [dcerpc::fault::SERVER_TOO_BUSY, dcerpc::fault::BAD_STUB_DATA, 0x1234_5678] {
        let node = publisher.node(GROUP_CLIENT);
        let mut replies = vec![Reply::Fault(code)];
        let mut session =
            session_with(move |request| replies.pop().unwrap_or_else(|| Reply::Answer(node.answer(request, 7)))).await;
        let fault = session.exchange(&publisher.request(), &publisher.trust()).await.unwrap_err();
        assert!(matches!(fault, ActivateError::Fault { status, .. } if status == code), "{fault:?}");
        assert_eq!(fault.status(), Status::HOST_UNAVAILABLE);
        assert!(session.exchange(&publisher.request(), &publisher.trust()).await.is_ok());
    }
}

#[tokio::test]
async fn a_host_that_hangs_up_or_asks_to_be_left_was_not_reached() {
    let publisher = Publisher::new(1);
    for reply in [|| Reply::Close, || Reply::Shutdown] {
        let mut session = session_with(move |_| reply()).await;
        let error = session.exchange(&publisher.request(), &publisher.trust()).await.unwrap_err();
        assert!(matches!(error, ActivateError::NotReached { reason: NotReached::Closed, .. }), "{error:?}");
        assert_eq!(error.status(), Status::NO_HOST_REACHED);
    }
}

#[test]
fn a_random_cmid_is_a_version_4_uuid_and_never_the_same() {
    let (first, second) = (client::random_cmid().unwrap(), client::random_cmid().unwrap());
    assert_ne!(first, second);
    assert_eq!(first.0[6] >> 4, 4);
    assert_eq!(first.0[8] >> 6, 0b10);
}

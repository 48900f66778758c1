//! Upstreams that break the protocol, each in its own way: the next one serves, and what is held stays bounded.

use std::time::Duration;

use gateway::{Ending, Failure, GroupName, State, Timeouts};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{interval, timeout},
};

use crate::{
    bed::{Bed, Scripted, Server, group, hasty, listen, until},
    pdus::{BIND_ACK, DEADLINE, Order, ack_of, bind, bind_on, call, call_id, kind, nak, read_pdu, request, response},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hostility {
    NeverAcknowledges,
    TransientNak,
    ClosesMidPdu,
    Drips,
    SpeaksFirst,
    AnswersWithRequest,
    Resets,
    HugeLength,
}

const ALL: [(Hostility, Failure); 8] = [
    (Hostility::NeverAcknowledges, Failure::Silent),
    (Hostility::TransientNak, Failure::Refused),
    (Hostility::ClosesMidPdu, Failure::Closed),
    (Hostility::Drips, Failure::Silent),
    (Hostility::SpeaksFirst, Failure::Protocol),
    (Hostility::AnswersWithRequest, Failure::Protocol),
    (Hostility::Resets, Failure::Closed),
    (Hostility::HugeLength, Failure::Silent),
];

async fn misbehave(how: Hostility, mut stream: TcpStream) {
    if how == Hostility::SpeaksFirst {
        let _gone = stream.write_all(b"220 mail.example.test ready, and more than a header\r\n").await;
    }
    if how == Hostility::Resets {
        let _gone = stream.set_zero_linger();
        return;
    }
    let Some(read) = read_pdu(&mut stream).await else { return };
    let ack = ack_of(Order::Little, BIND_ACK, call_id(&read), 1, 1);
    let _gone = match how {
        Hostility::TransientNak => stream.write_all(&nak(call_id(&read), 2)).await,
        Hostility::ClosesMidPdu => {
            let _gone = stream.write_all(&ack[..ack.len() - 1]).await;
            return;
        }
        Hostility::Drips => {
            let mut drops = interval(Duration::from_millis(60));
            for byte in ack {
                drops.tick().await;
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
            Ok(())
        }
        Hostility::AnswersWithRequest => stream.write_all(&request(1, b"what?")).await,
        Hostility::HugeLength => {
            let mut huge = ack;
            huge[8..10].copy_from_slice(&u16::MAX.to_le_bytes());
            stream.write_all(&huge).await
        }
        Hostility::NeverAcknowledges | Hostility::SpeaksFirst | Hostility::Resets => Ok(()),
    };
    let _end = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_every_hostile_upstream_is_passed_over_and_taken_out_by_its_probes() {
    let mut each = JoinSet::new();
    for (how, expected) in ALL {
        each.spawn(passed_over(how, expected));
    }
    while let Some(done) = each.join_next().await {
        done.unwrap();
    }
}

async fn passed_over(how: Hostility, expected: Failure) {
    let hostile = Scripted::new(move |stream| misbehave(how, stream)).await;
    let server = Server::new().await;
    let bed = Bed::with(listen().await, group(&[hostile.address, server.address]), hasty(), true).await;
    // Otherwise it comes after the healthy one as soon as that was probed.
    bed.gateway.set_preferred(&GroupName::default_group(), Some(hostile.address.into()));
    let mut client = bed.client().await;
    assert_eq!(bind_on(&mut client, &bind()).await.as_deref().map(kind), Some(BIND_ACK), "{how:?}");
    assert_eq!(call(&mut client, 2, b"asked").await.as_deref(), Some(b"asked".as_slice()), "{how:?}");
    let failures = bed.seen.failure_kinds();
    // A reset may arrive while the connection is being established.
    let is_reset = how == Hostility::Resets && failures == [Failure::Connect];
    assert!(failures == [expected] || is_reset, "{how:?}: {failures:?}");
    until("three probes fail", || bed.state_of(hostile.address) == State::Failing).await;
    let mut client = bed.client().await;
    bind_on(&mut client, &bind()).await.unwrap();
    assert_eq!(bed.seen.failure_kinds().len(), 1, "{how:?}: what is out is not tried");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn with_no_usable_upstream_the_connection_is_closed_at_once() {
    let hostile = Scripted::new(|stream| misbehave(Hostility::Resets, stream)).await;
    let bed = Bed::new(group(&[hostile.address])).await;
    until("it is out", || bed.state_of(hostile.address) == State::Failing).await;
    assert!(!bed.gateway.status().is_ready());
    let mut client = bed.client().await;
    assert_eq!(bind_on(&mut client, &bind()).await, None);
    until("the end is told", || !bed.seen.ended.lock().unwrap().is_empty()).await;
    assert_eq!(bed.seen.ended.lock().unwrap()[0].ending, Ending::NoUpstream);
}

/// Binds, then does `then` with the connection.
fn bound<F: Future<Output = ()> + Send + 'static>(
    then: impl Fn(TcpStream) -> F + Send + Sync + Clone + 'static,
) -> impl Future<Output = Scripted> {
    Scripted::new(move |mut stream| {
        let then = then.clone();
        async move {
            let Some(read) = read_pdu(&mut stream).await else { return };
            let _gone = stream.write_all(&ack_of(Order::Little, BIND_ACK, call_id(&read), 1, 1)).await;
            then(stream).await;
        }
    })
}

#[tokio::test]
async fn g6_a_flood_of_answers_is_held_back_and_ends_when_the_client_does_not_take_it() {
    let flood = bound(|mut stream| async move {
        let answer = response(9, &[7; 60_000]);
        while stream.write_all(&answer).await.is_ok() {}
    })
    .await;
    let timeouts = Timeouts { pdu: Duration::from_millis(400), ..Timeouts::default() };
    let bed = Bed::with(listen().await, group(&[flood.address]), timeouts, false).await;
    let mut client = bed.client().await;
    bind_on(&mut client, &bind()).await.unwrap();
    until("the association ends", || !bed.seen.ended.lock().unwrap().is_empty()).await;
    let end = bed.seen.ended.lock().unwrap()[0].clone();
    assert_eq!(end.ending, Ending::Slow(gateway::Side::Client));
    // What the system's buffers of two connections take, and no more.
    assert!(end.upstream_bytes < 64 << 20, "{} bytes", end.upstream_bytes);
    // A client's own slowness is no failure of the upstream.
    assert!(bed.seen.failures.lock().unwrap().is_empty());
}

#[tokio::test]
async fn g6_an_upstream_that_drips_its_answer_ends_at_the_deadline_of_a_pdu() {
    let dripping = bound(|mut stream| async move {
        let Some(read) = read_pdu(&mut stream).await else { return };
        let mut drops = interval(Duration::from_millis(40));
        for byte in response(call_id(&read), &[1; 600]) {
            drops.tick().await;
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    })
    .await;
    let timeouts = Timeouts { pdu: Duration::from_millis(300), ..Timeouts::default() };
    let bed = Bed::with(listen().await, group(&[dripping.address]), timeouts, false).await;
    let mut client = bed.client().await;
    bind_on(&mut client, &bind()).await.unwrap();
    assert_eq!(call(&mut client, 2, b"asked").await, None);
    until("the end is told", || !bed.seen.ended.lock().unwrap().is_empty()).await;
    assert_eq!(bed.seen.ended.lock().unwrap()[0].ending, Ending::Slow(gateway::Side::Upstream));
    assert_eq!(bed.seen.failure_kinds(), [Failure::Slow]);
}

#[tokio::test]
async fn g6_an_idle_association_ends() {
    let server = Server::new().await;
    let timeouts = Timeouts { idle: Duration::from_millis(200), ..Timeouts::default() };
    let bed = Bed::with(listen().await, group(&[server.address]), timeouts, false).await;
    let mut client = bed.client().await;
    bind_on(&mut client, &bind()).await.unwrap();
    assert_eq!(read_pdu(&mut client).await, None);
    until("the end is told", || !bed.seen.ended.lock().unwrap().is_empty()).await;
    assert_eq!(bed.seen.ended.lock().unwrap()[0].ending, Ending::Idle);
}

#[tokio::test]
async fn a_fragment_shorter_than_its_header_ends_the_association() {
    let server = Server::new().await;
    let bed = Bed::with(listen().await, group(&[server.address]), Timeouts::default(), false).await;
    let mut client = bed.client().await;
    bind_on(&mut client, &bind()).await.unwrap();
    let mut short = request(2, b"");
    short[8..10].copy_from_slice(&3u16.to_le_bytes());
    client.write_all(&short).await.unwrap();
    let end = timeout(DEADLINE, client.read(&mut [0; 100])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)));
    until("the end is told", || !bed.seen.ended.lock().unwrap().is_empty()).await;
    assert_eq!(bed.seen.ended.lock().unwrap()[0].ending, Ending::Malformed(gateway::Side::Client));
}

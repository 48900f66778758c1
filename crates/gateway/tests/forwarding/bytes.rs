//! Both sides see the same bytes (G1).

use std::sync::Arc;

use gateway::Timeouts;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Mutex,
    task::JoinSet,
    time::timeout,
};

use crate::{
    bed::{Bed, Scripted, group},
    pdus::{
        ALTER, ALTER_RESPONSE, AUTH3, BIND, BIND_ACK, CO_CANCEL, DEADLINE, FAULT, Order, REQUEST, RESPONSE, ack_of,
        bind_of, pdu_of,
    },
};

/// What client and upstream send, in turns: the client's bytes, then the upstream's.
type Turns = Vec<(Vec<u8>, Vec<u8>)>;

/// The fragments of one call.
fn fragments(random: &mut StdRng, order: Order, kind: u8, call: u32) -> Vec<u8> {
    let count = random.random_range(1..=3);
    let mut bytes = Vec::new();
    for index in 0..count {
        let flags = u8::from(index == 0) | u8::from(index == count - 1) << 1;
        let largest = if random.random_range(0..20) == 0 { 65_519 } else { 600 };
        let mut body = vec![0; random.random_range(8..=largest)];
        random.fill(&mut body[..]);
        bytes.extend(pdu_of(order, kind, flags, call, 0, &body));
    }
    bytes
}

fn turns(seed: u64) -> Turns {
    let random = &mut StdRng::seed_from_u64(seed);
    let order = |random: &mut StdRng| if random.random() { Order::Big } else { Order::Little };
    let (client, upstream) = (order(random), order(random));
    let contexts = random.random_range(1..=9);
    let mut bind = bind_of(client, BIND, 1, 0, contexts);
    let is_authenticated = random.random_range(0..4) == 0;
    if is_authenticated {
        bind.extend_from_slice(&[10, 6, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let length = client.u16(u16::try_from(bind.len()).unwrap());
        bind[8..10].copy_from_slice(&length);
        bind[10..12].copy_from_slice(&client.u16(8));
    }
    let mut turns = vec![(bind, ack_of(upstream, BIND_ACK, 1, 5, contexts))];
    for call in 2..2 + random.random_range(0..6) {
        let mut sent = Vec::new();
        if is_authenticated && call == 2 {
            sent.extend(pdu_of(client, AUTH3, 3, call, 16, &[7; 28]));
        }
        let answer = match random.random_range(0..6) {
            0 => {
                sent.extend(bind_of(client, ALTER, call, 0, 2));
                ack_of(upstream, ALTER_RESPONSE, call, 5, 2)
            }
            1 => {
                sent.extend(fragments(random, client, REQUEST, call));
                sent.extend(pdu_of(client, CO_CANCEL, 3, call, 0, &[]));
                pdu_of(upstream, FAULT, 3, call, 0, &[9; 16])
            }
            _ => {
                sent.extend(fragments(random, client, REQUEST, call));
                fragments(random, upstream, RESPONSE, call)
            }
        };
        turns.push((sent, answer));
    }
    turns
}

/// Writes `bytes` in random pieces.
async fn write(stream: &mut TcpStream, random: &mut StdRng, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(random.random_range(1..=rest.len().min(40_000)));
        stream.write_all(now).await.unwrap();
        tokio::task::yield_now().await;
        rest = later;
    }
}

async fn expect(stream: &mut TcpStream, seed: u64, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    let whole = timeout(DEADLINE, stream.read_exact(&mut read)).await.expect("bytes before the deadline");
    assert!(whole.is_ok(), "sequence {seed}: the connection ended: {whole:?}");
    assert!(read == bytes, "sequence {seed}: other bytes arrived");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_a_thousand_random_sequences_of_pdus_pass_unchanged_in_both_directions() {
    // The upstream knows the sequence by its connection: one at a time has each of eight upstreams.
    let mut lanes = JoinSet::new();
    for lane in 0..8u64 {
        lanes.spawn(async move {
            let seed = Arc::new(Mutex::new(0u64));
            let current = Arc::clone(&seed);
            let upstream = Scripted::new(move |mut stream| {
                let current = Arc::clone(&current);
                async move {
                    stream.set_nodelay(true).unwrap();
                    let seed = *current.lock().await;
                    let mut random = StdRng::seed_from_u64(seed ^ 1 << 40);
                    for (sent, answer) in turns(seed) {
                        expect(&mut stream, seed, &sent).await;
                        write(&mut stream, &mut random, &answer).await;
                    }
                    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "the client's end is forwarded");
                }
            })
            .await;
            let bed =
                Bed::with(crate::bed::listen().await, group(&[upstream.address]), Timeouts::default(), false).await;
            for number in 0..125 {
                let this = lane * 1000 + number;
                *seed.lock().await = this;
                let mut client = bed.client().await;
                client.set_nodelay(true).unwrap();
                let mut random = StdRng::seed_from_u64(this ^ 1 << 41);
                for (sent, answer) in turns(this) {
                    write(&mut client, &mut random, &sent).await;
                    expect(&mut client, this, &answer).await;
                }
                client.shutdown().await.unwrap();
                let end = timeout(DEADLINE, client.read(&mut [0])).await.expect("the upstream's end is forwarded");
                assert_eq!(end.unwrap(), 0);
            }
            crate::bed::until("all are told of", || bed.seen.ended.lock().unwrap().len() == 125).await;
            for end in bed.seen.ended.lock().unwrap().iter() {
                assert_eq!(end.ending, gateway::Ending::Finished);
            }
            assert!(bed.seen.failures.lock().unwrap().is_empty());
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane.unwrap();
    }
}

#[tokio::test]
async fn g1_a_client_that_pipelines_behind_its_bind_is_served_after_the_bind_ack() {
    let server = crate::bed::Server::new().await;
    let bed = Bed::new(group(&[server.address])).await;
    let mut client = bed.client().await;
    let all = [crate::pdus::bind(), crate::pdus::request(2, b"two"), crate::pdus::request(3, b"three")].concat();
    client.write_all(&all).await.unwrap();
    for expected in [BIND_ACK, RESPONSE, RESPONSE] {
        let pdu = crate::pdus::read_pdu(&mut client).await.unwrap();
        assert_eq!(crate::pdus::kind(&pdu), expected);
    }
    assert_eq!(server.received.lock().unwrap().as_slice(), [all]);
}

#[tokio::test]
async fn g1_half_closed_connections_are_kept() {
    let upstream = Scripted::new(|mut stream| async move {
        let bind = crate::pdus::read_pdu(&mut stream).await.unwrap();
        stream.write_all(&ack_of(Order::Little, BIND_ACK, crate::pdus::call_id(&bind), 1, 1)).await.unwrap();
        let mut rest = Vec::new();
        // Answers only after the client's end.
        stream.read_to_end(&mut rest).await.unwrap();
        if !rest.is_empty() {
            stream.write_all(&crate::pdus::response(2, &rest[24..])).await.unwrap();
        }
    })
    .await;
    let bed = Bed::new(group(&[upstream.address])).await;
    let mut client = bed.client().await;
    crate::pdus::bind_on(&mut client, &crate::pdus::bind()).await.unwrap();
    client.write_all(&crate::pdus::request(2, b"asked")).await.unwrap();
    client.shutdown().await.unwrap();
    let mut rest = Vec::new();
    timeout(DEADLINE, client.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, crate::pdus::response(2, b"asked"));
}

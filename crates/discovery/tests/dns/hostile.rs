//! Malicious servers: each causes an error within bounded time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use discovery::{Credentials, Desired, Finder, Neighbours, Primary, PublishError, RecordPublisher};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};

use crate::named::{ZONE, desired, key, name, now};

/// Returns the bytes of an answer to the bytes of a query.
type Answer = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

fn answer(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Answer {
    Arc::new(answer)
}

/// The query, marked as an authoritative answer with these counts, followed by `records`.
fn echoed(question: &[u8], flags: [u8; 2], counts: [u16; 3], records: &[u8]) -> Vec<u8> {
    // The header, then one question: a name, type, class.
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let mut bytes = question[..end].to_vec();
    bytes[2] = (question[2] & 0x78) | flags[0];
    bytes[3] = flags[1];
    for (place, count) in [6, 8, 10].into_iter().zip(counts) {
        bytes[place..place + 2].copy_from_slice(&count.to_be_bytes());
    }
    bytes.extend_from_slice(records);
    bytes
}

const AUTHORITATIVE: [u8; 2] = [0x84, 0];
const TRUNCATED: [u8; 2] = [0x86, 0];

/// A record at the queried name.
fn record(rtype: u16, rdata: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rdata.len()).unwrap();
    let fields = [&[0xC0, 12][..], &rtype.to_be_bytes(), &[0, 1, 0, 0, 1, 44], &length.to_be_bytes(), rdata];
    fields.concat()
}

fn soa() -> Vec<u8> {
    record(6, &[&[0, 0][..], &[0; 20]].concat())
}

async fn serve_tcp(listener: TcpListener, answer: Answer) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(converse(stream, Arc::clone(&answer)));
    }
}

async fn converse(mut stream: TcpStream, answer: Answer) -> std::io::Result<()> {
    loop {
        let mut question = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut question).await?;
        let bytes = answer(&question);
        stream.write_u16(u16::try_from(bytes.len()).unwrap()).await?;
        stream.write_all(&bytes).await?;
    }
}

/// A server with the same answers on UDP and TCP of one port.
async fn server(answer: Answer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(address).await.unwrap();
    tokio::spawn(serve_tcp(listener, Arc::clone(&answer)));
    tokio::spawn(async move {
        let mut question = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut question).await {
            let mut bytes = answer(&question[..length]);
            bytes.truncate(65_000);
            let _ = socket.send_to(&bytes, from).await;
        }
    });
    address
}

fn publisher(primary: SocketAddr, credentials: Credentials) -> RecordPublisher {
    let finder = Finder::with_servers(&[primary], Vec::new()).unwrap();
    let mut publisher = RecordPublisher::new(Primary::Address(primary), credentials, Neighbours::default(), finder);
    publisher.timeout = Duration::from_secs(2);
    publisher
}

fn wrong_id(question: &[u8]) -> Vec<u8> {
    let mut bytes = echoed(question, AUTHORITATIVE, [1, 0, 0], &soa());
    bytes[0] ^= 0xFF;
    bytes
}

fn looping_alias(question: &[u8]) -> Vec<u8> {
    echoed(question, AUTHORITATIVE, [1, 0, 0], &record(5, &[0xC0, 12]))
}

/// A name that points at itself.
fn looping_name(question: &[u8]) -> Vec<u8> {
    let at = u16::try_from(echoed(question, AUTHORITATIVE, [0; 3], &[]).len()).unwrap() | 0xC000;
    let bytes = [&at.to_be_bytes()[..], &[0, 33, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    echoed(question, AUTHORITATIVE, [1, 0, 0], &bytes)
}

fn huge(question: &[u8]) -> Vec<u8> {
    let records = record(1, &[127, 0, 0, 1]).repeat(4000);
    echoed(question, AUTHORITATIVE, [4000, 0, 0], &records)
}

fn more_than_it_has(question: &[u8]) -> Vec<u8> {
    echoed(question, AUTHORITATIVE, [65_535, 65_535, 65_535], &soa())
}

fn another_question(question: &[u8]) -> Vec<u8> {
    let mut bytes = echoed(question, AUTHORITATIVE, [1, 0, 0], &soa());
    bytes[13] ^= 1;
    bytes
}

#[tokio::test]
async fn a_hostile_primary_gives_an_error_that_names_what_is_wrong() {
    let table: Vec<(&str, Answer, &str)> = vec![
        ("wrong id", answer(wrong_id), "id of another"),
        ("no answer", answer(<[u8]>::to_vec), "not an answer"),
        ("truncated", answer(|question| echoed(question, TRUNCATED, [0; 3], &[])), "truncated"),
        ("cut", answer(|question| question[..7].to_vec()), "shorter than a header"),
        ("empty", answer(|_| Vec::new()), "shorter than a header"),
        ("another question", answer(another_question), "another query"),
        ("looping name", answer(looping_name), "cannot be read"),
        ("looping alias", answer(looping_alias), "alias"),
        ("huge", answer(huge), "too many records"),
        ("more than it has", answer(more_than_it_has), "cannot be read"),
        ("no zone", answer(|question| echoed(question, AUTHORITATIVE, [0; 3], &[])), "does not contain its zone"),
        ("no authority", answer(|question| echoed(question, [0x80, 0], [1, 0, 0], &soa())), "not authoritative"),
        ("failing", answer(|question| echoed(question, [0x84, 2], [0; 3], &[])), "SERVFAIL"),
    ];
    for (case, answer, said) in table {
        let publisher = publisher(server(answer).await, Credentials::Unsigned);
        let outcome = timeout(Duration::from_secs(10), publisher.publish(&desired(1, 60), now())).await.unwrap();
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(said), "{case}: {error}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_signed_with_the_key_is_not_believed() {
    let unsigned = server(answer(|question| echoed(question, AUTHORITATIVE, [1, 0, 0], &soa()))).await;
    let error = publisher(unsigned, Credentials::Tsig(key(1))).publish(&desired(1, 60), now()).await.unwrap_err();
    assert!(matches!(error, PublishError::Unsigned { .. }), "{error}");

    // The signature of the query, sent back.
    let replayed = answer(|question: &[u8]| {
        let mut bytes = question.to_vec();
        bytes[2] |= 0x84;
        bytes
    });
    let error =
        publisher(server(replayed).await, Credentials::Tsig(key(1))).publish(&desired(1, 60), now()).await.unwrap_err();
    assert!(matches!(error, PublishError::Forged { .. }), "{error}");
}

#[tokio::test]
async fn a_primary_that_drips_or_hangs_up_is_given_up_in_time() {
    for (case, drips) in [("drips", true), ("hangs up", false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut ticks = tokio::time::interval(Duration::from_millis(50));
            while drips && stream.write_all(&[0xFF]).await.is_ok() {
                ticks.tick().await;
            }
        });
        let begun = Instant::now();
        let error = publisher(address, Credentials::Unsigned).publish(&desired(1, 60), now()).await.unwrap_err();
        assert_eq!(matches!(error, PublishError::Timeout { .. }), drips, "{case}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{case}");
    }
}

#[tokio::test]
async fn a_hostile_resolver_gives_an_error_in_bounded_time() {
    let table: Vec<(&str, Answer)> = vec![
        ("wrong id", answer(wrong_id)),
        ("no answer", answer(<[u8]>::to_vec)),
        ("truncated", answer(|question| echoed(question, TRUNCATED, [0; 3], &[]))),
        ("cut", answer(|question| question[..7].to_vec())),
        ("another question", answer(another_question)),
        ("looping name", answer(looping_name)),
        ("looping alias", answer(looping_alias)),
        ("huge", answer(huge)),
        ("more than it has", answer(more_than_it_has)),
        ("refusing", answer(|question| echoed(question, [0x80, 5], [0; 3], &[]))),
    ];
    let all = table.into_iter().map(|(case, answer)| async move {
        let finder = Finder::with_servers(&[server(answer).await], Vec::new()).unwrap();
        let mut random = StdRng::seed_from_u64(1);
        let domain = name(ZONE);
        let found = timeout(
            discovery::limits::SEARCH_TIMEOUT + Duration::from_secs(5),
            finder.find(Desired::SERVICE, Some(&domain), &mut random),
        );
        let outcome = found.await.unwrap_or_else(|_| panic!("{case}: no end"));
        assert!(outcome.is_err(), "{case}: {outcome:?}");
    });
    futures::future::join_all(all).await;
}

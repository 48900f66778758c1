//! Malformed input on port 1688 does no harm: an honest machine is counted meanwhile and afterwards, memory use falls
//! again, no raw input gets into the log, and the node stops when it is told to.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use dcerpc::{fault, limits::FRAGMENT_BYTES_MAX};
use quorate_tests::{
    Cluster, Plan, Product, Quorate, TIMEOUT, cmid, eventually,
    wire::{self, Reply},
    words,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, sink},
    net::{TcpSocket, TcpStream},
    time::{MissedTickBehavior, interval, timeout},
};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const MEGABYTE: u64 = 1 << 20;
/// How much more memory than before a node may use afterwards, in bytes: for the log in memory up to the next
/// snapshot, and for what the allocator keeps.
const MEMORY_KEPT_BYTES_MAX: u64 = 16 * MEGABYTE;
/// A text in the input that must not get into the log.
const PLANTED: &str = "planted";
/// Numbers of the loopback addresses from which malformed input comes; the nodes have lower ones.
const STRANGERS: std::ops::Range<u8> = 8..14;

/// A node for one kind of malformed input. It logs at the most detailed level.
struct Attacked {
    cluster: Cluster,
    node: SocketAddr,
    honest: Product,
    /// A product of another application, for which the malformed requests ask: where one of them is counted, the
    /// honest count stays the same.
    imitated: Product,
    machines: u64,
    resident_before_bytes: u64,
}

impl Attacked {
    async fn new() -> Self {
        let plan = Plan { variables: &[("QUORATE_LOG", "debug")], ..Plan::of(1) };
        let cluster = Cluster::activated(&Quorate::at(QUORATE), plan).await;
        let [honest, imitated] = ["workstation-professional-2", "suite-standard-1"].map(|name| cluster.product(name));
        let node = cluster.node(1).clients;
        let mut attacked = Self { cluster, node, honest, imitated, machines: 0, resident_before_bytes: 0 };
        for _ in 0..20 {
            attacked.count_one_more().await;
        }
        attacked.resident_before_bytes = attacked.cluster.process(1).resident_bytes();
        attacked
    }

    async fn count_one_more(&mut self) {
        self.machines += 1;
        let count = self.honest.count(self.node, self.machines).await;
        assert_eq!(count, self.machines, "an honest machine is counted as if it were alone");
    }

    /// Runs `strangers`, and meanwhile counts honest machines repeatedly.
    async fn meanwhile<T>(&self, strangers: impl Future<Output = T>) -> T {
        let over = std::cell::Cell::new(false);
        let strangers = async {
            let result = strangers.await;
            over.set(true);
            result
        };
        let honest = async {
            while !over.get() {
                let count = self.honest.count(self.node, 1).await;
                assert_eq!(count, self.machines, "a renewal beside strangers");
            }
        };
        tokio::join!(strangers, honest).0
    }

    async fn connect(&self, number: usize) -> TcpStream {
        connect(self.node, self.stranger(number)).await
    }

    fn stranger(&self, number: usize) -> Ipv4Addr {
        let numbers: Vec<_> = STRANGERS.collect();
        self.cluster.loopback().address(numbers[number % numbers.len()])
    }

    /// A valid request for the product for which the malformed requests ask.
    fn sound_message(&self, machine: u64) -> Vec<u8> {
        self.imitated.request(cmid(machine)).encode()
    }

    async fn must_be_unharmed(mut self) {
        self.count_one_more().await;
        let process = self.cluster.process(1);
        eventually("memory comes back", async || {
            (process.resident_bytes() < self.resident_before_bytes + MEMORY_KEPT_BYTES_MAX).then_some(())
        })
        .await;
        let said = process.said();
        let raw = said.split('\n').find(|line| line.chars().any(char::is_control) || line.contains(PLANTED));
        assert_eq!(raw, None, "a line of the log");
        assert!(said.contains("DEBUG"), "the log says all it can:\n{said}");
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(self.cluster.stop(1).await, Some(0));
    }
}

async fn connect(node: SocketAddr, source: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    socket.connect(node).await.unwrap()
}

/// Writes `bytes`, shuts down the sending side, and reads until the other side closes too.
async fn send_and_leave(mut stream: TcpStream, bytes: &[u8]) {
    let exchange = async {
        // The node may close the connection before it has read everything.
        let _refused = stream.write_all(bytes).await;
        let _refused = stream.shutdown().await;
        let _reset = copy(&mut stream, &mut sink()).await;
    };
    timeout(TIMEOUT, exchange).await.expect("the node closes a connection on which no more will come");
}

#[tokio::test]
async fn random_bytes_disturb_nobody() {
    let attacked = Attacked::new().await;
    let mut random = StdRng::seed_from_u64(1);
    attacked
        .meanwhile(async {
            for connection in 0..500 {
                let mut bytes = vec![0; random.random_range(1..4096)];
                random.fill(&mut bytes[..]);
                // Half of the connections begin like the protocol.
                if connection % 2 == 0 {
                    let bind = wire::bind();
                    let kept = bytes.len().min(random.random_range(1..bind.len()));
                    bytes[..kept].copy_from_slice(&bind[..kept]);
                }
                send_and_leave(attacked.connect(connection).await, &bytes).await;
            }
        })
        .await;
    attacked.must_be_unharmed().await;
}

fn with_flipped_bits(random: &mut StdRng, mut pdu: Vec<u8>) -> Vec<u8> {
    for _ in 0..random.random_range(1..=3) {
        let at = random.random_range(0..pdu.len());
        pdu[at] ^= 1 << random.random_range(0..8);
    }
    pdu
}

/// Sends requests with flipped bits on one connection until the node closes it, and returns how many were sent.
async fn flipped_on_one_connection(attacked: &Attacked, number: usize, random: &mut StdRng, requests: u32) -> u32 {
    let (mut reader, mut writer) = attacked.connect(number).await.into_split();
    let reading = tokio::spawn(async move { copy(&mut reader, &mut sink()).await });
    let mut sent = 0;
    if writer.write_all(&wire::bind()).await.is_ok() {
        while sent < requests {
            let pdu = wire::request(2 + sent, &attacked.sound_message(sent.into()));
            if writer.write_all(&with_flipped_bits(random, pdu)).await.is_err() {
                break;
            }
            sent += 1;
        }
    }
    let _refused = writer.shutdown().await;
    let _reset = timeout(TIMEOUT, reading).await.expect("the node closes a connection on which no more will come");
    sent
}

#[tokio::test]
async fn machine_ten_thousand_requests_with_flipped_bits_disturb_nobody() {
    const KEPT_OPEN: u32 = 8_000;
    const ON_NEW_CONNECTIONS: usize = 2_000;
    let attacked = Attacked::new().await;
    let mut random = StdRng::seed_from_u64(2);
    attacked
        .meanwhile(async {
            let (mut sent, mut connections) = (0, 0);
            while sent < KEPT_OPEN {
                sent += flipped_on_one_connection(&attacked, connections, &mut random, KEPT_OPEN - sent).await;
                connections += 1;
            }
            for number in 0..ON_NEW_CONNECTIONS {
                let pdu = wire::request(2, &attacked.sound_message(number as u64));
                let pdu = with_flipped_bits(&mut random, pdu);
                send_and_leave(attacked.connect(number).await, &[wire::bind(), pdu].concat()).await;
            }
        })
        .await;
    let counted = attacked.cluster.administrate(1, &words!["count", "--application", "suite"]).await;
    assert!(counted.pointer("/applications/0/count").unwrap().as_u64() > Some(1), "some are sound enough: {counted}");
    attacked.must_be_unharmed().await;
}

#[tokio::test]
async fn pdus_cut_short_at_every_byte_disturb_nobody() {
    let attacked = Attacked::new().await;
    let whole = [wire::bind(), wire::request(2, &attacked.sound_message(0))].concat();
    attacked
        .meanwhile(async {
            for length in 0..whole.len() {
                send_and_leave(attacked.connect(length).await, &whole[..length]).await;
            }
        })
        .await;
    attacked.must_be_unharmed().await;
}

#[tokio::test]
async fn a_fragment_larger_than_negotiated_is_a_fault_and_the_end_of_the_connection() {
    let attacked = Attacked::new().await;
    attacked
        .meanwhile(async {
            for stub_bytes in [usize::from(FRAGMENT_BYTES_MAX), 16 << 10, 60 << 10] {
                for flags in [0x01, 0x02, 0x03] {
                    let mut stream = attacked.connect(stub_bytes).await;
                    stream.write_all(&wire::bind()).await.unwrap();
                    assert_eq!(wire::read(&mut stream).await.unwrap(), Some(Reply::BindAck));
                    let fragment = wire::fragment(2, flags, &vec![0xa5; stub_bytes]);
                    // The header is enough for a refusal: the node reads nothing of the rest.
                    let (header, rest) = fragment.split_at(24);
                    stream.write_all(header).await.unwrap();
                    let reply = wire::read(&mut stream).await.unwrap();
                    assert_eq!(reply, Some(Reply::Fault(fault::PROTOCOL_ERROR)), "{stub_bytes} bytes, flags {flags}");
                    assert_eq!(wire::read(&mut stream).await.unwrap(), None, "the connection is closed");
                    let _refused = stream.write_all(rest).await;
                }
            }
        })
        .await;
    attacked.must_be_unharmed().await;
}

/// A valid message except for the machine name, which is `name`.
fn message_with_name(attacked: &Attacked, name: &str) -> Vec<u8> {
    let mut request = attacked.imitated.request(cmid(0));
    let stand_in = "x".repeat(name.len());
    request.machine_name = stand_in.parse().unwrap();
    let mut message = request.encode();
    let at = message.windows(stand_in.len()).position(|window| window == stand_in.as_bytes()).unwrap();
    message[at..at + name.len()].copy_from_slice(name.as_bytes());
    message
}

#[tokio::test]
async fn a_machine_name_of_control_characters_is_a_fault_and_is_printed_nowhere() {
    let attacked = Attacked::new().await;
    let names =
        ["\x1b]0;planted\x07", "planted\r\n2026-01-01 ERROR planted", "planted\0\x08\x7f", "planted \u{202e}\u{9b}"];
    attacked
        .meanwhile(async {
            let mut stream = attacked.connect(0).await;
            stream.write_all(&wire::bind()).await.unwrap();
            assert_eq!(wire::read(&mut stream).await.unwrap(), Some(Reply::BindAck));
            for (call, name) in (2..).zip(names) {
                stream.write_all(&wire::request(call, &message_with_name(&attacked, name))).await.unwrap();
                let reply = wire::read(&mut stream).await.unwrap();
                assert_eq!(reply, Some(Reply::Fault(fault::BAD_STUB_DATA)), "{name:?}");
            }
            let plain = wire::request(9, &message_with_name(&attacked, "a-plain-name"));
            stream.write_all(&plain).await.unwrap();
            let reply = wire::read(&mut stream).await.unwrap();
            assert!(matches!(reply, Some(Reply::Response(_, 0))), "the name alone was wrong: {reply:?}");
        })
        .await;
    attacked.must_be_unharmed().await;
}

/// Sends one byte a second, and returns how many bytes the node accepted before it closed the connection.
async fn drip(mut stream: TcpStream, bytes: &[u8]) -> usize {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answer = [0; 64];
    for (sent, byte) in bytes.iter().enumerate() {
        second.tick().await;
        if stream.write_all(&[*byte]).await.is_err() || matches!(stream.try_read(&mut answer), Ok(0)) {
            return sent;
        }
    }
    bytes.len()
}

#[tokio::test]
async fn one_byte_a_second_from_two_hundred_connections_holds_nobody_up() {
    let attacked = Attacked::new().await;
    let bind = wire::bind();
    attacked
        .meanwhile(async {
            let mut dripping = tokio::task::JoinSet::new();
            for number in 0..200 {
                let (stream, bind) = (attacked.connect(number).await, bind.clone());
                dripping.spawn(async move { drip(stream, &bind).await });
            }
            for taken in dripping.join_all().await {
                assert!(taken < bind.len(), "a connection was kept for all {taken} seconds");
            }
        })
        .await;
    attacked.must_be_unharmed().await;
}

#[tokio::test]
async fn machine_a_thousand_idle_connections_cost_less_than_fifteen_megabytes_and_give_them_back() {
    const IDLE: usize = 1_000;
    let mut attacked = Attacked::new().await;
    let before = attacked.cluster.process(1).resident_bytes();
    let mut idle = Vec::new();
    attacked
        .meanwhile(async {
            for number in 0..IDLE {
                let mut stream = attacked.connect(number).await;
                stream.write_all(&wire::bind()).await.unwrap();
                assert_eq!(wire::read(&mut stream).await.unwrap(), Some(Reply::BindAck), "connection {number}");
                idle.push(stream);
            }
        })
        .await;
    attacked.count_one_more().await;
    let cost = attacked.cluster.process(1).resident_bytes().saturating_sub(before);
    assert!(cost < 15 * MEGABYTE, "{cost} bytes for {IDLE} connections");
    // The idle connections were open all the time.
    for stream in &mut idle {
        let open = timeout(Duration::ZERO, stream.read(&mut [0])).await;
        assert!(open.is_err(), "a connection was closed: {open:?}");
    }
    drop(idle);
    attacked.must_be_unharmed().await;
}

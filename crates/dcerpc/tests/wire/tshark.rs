//! tshark's dissector, an independent decoder of every PDU: one whole exchange as a capture file, nothing malformed.

use std::path::Path;
use std::process::Command;

use dcerpc::{AssociationGroups, ClientAssociation, ClientEvent, ndr};

use crate::echo::{ECHO, Echo, Happening};
use crate::pdus::*;

const SERVER_PORT: u16 = 1688;

/// A capture of raw IPv4 packets (link type 101) in the classic pcap format. tshark leaves checksums unchecked.
struct Capture {
    octets: Vec<u8>,
    packets: u32,
}

impl Capture {
    fn new() -> Self {
        let mut octets = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
        for version in [2_u16, 4] {
            octets.extend(version.to_le_bytes());
        }
        for field in [0_u32, 0, 65_535, 101] {
            octets.extend(field.to_le_bytes());
        }
        Self { octets, packets: 0 }
    }

    fn packet(&mut self, segment: &[u8]) {
        let bytes = u32::try_from(20 + segment.len()).unwrap();
        for field in [self.packets, 0, bytes, bytes] {
            self.octets.extend(field.to_le_bytes());
        }
        self.packets += 1;
        let [high, low] = u16::try_from(bytes).unwrap().to_be_bytes();
        self.octets.extend([0x45, 0, high, low, 0, 0, 0x40, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        self.octets.extend(segment);
    }
}

/// One TCP connection within a capture.
struct Connection<'a> {
    capture: &'a mut Capture,
    client_port: u16,
    /// Next sequence number of the client's and of the server's bytes.
    sequence: [u32; 2],
}

impl<'a> Connection<'a> {
    fn open(capture: &'a mut Capture, client_port: u16) -> Self {
        const SYN: u8 = 0x02;
        const ACK: u8 = 0x10;
        let mut connection = Self { capture, client_port, sequence: [1000, 9000] };
        connection.segment(0, SYN, &[]);
        connection.sequence[0] += 1;
        connection.segment(1, SYN | ACK, &[]);
        connection.sequence[1] += 1;
        connection.segment(0, ACK, &[]);
        connection
    }

    fn segment(&mut self, from: usize, flags: u8, payload: &[u8]) {
        let ports = [self.client_port, SERVER_PORT];
        let mut segment = Vec::new();
        segment.extend(ports[from].to_be_bytes());
        segment.extend(ports[1 - from].to_be_bytes());
        segment.extend(self.sequence[from].to_be_bytes());
        segment.extend(self.sequence[1 - from].to_be_bytes());
        segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        segment.extend(payload);
        self.capture.packet(&segment);
        self.sequence[from] += u32::try_from(payload.len()).unwrap();
    }

    /// Records one packet for each fragment.
    fn pdus(&mut self, from: usize, mut pdus: &[u8]) {
        const PSH_ACK: u8 = 0x18;
        while !pdus.is_empty() {
            let length = if pdus[4] == 0 { u16::from_be_bytes } else { u16::from_le_bytes }([pdus[8], pdus[9]]);
            let (fragment, rest) = pdus.split_at(usize::from(length));
            self.segment(from, PSH_ACK, fragment);
            pdus = rest;
        }
    }

    /// Records the client's bytes and the echo server's answer.
    fn exchange(&mut self, echo: &mut Echo, sent: &[u8]) -> Vec<u8> {
        self.pdus(0, sent);
        let mut answers = Vec::new();
        for happening in echo.feed(sent) {
            if let Happening::Sent(answer) = happening {
                self.pdus(1, &answer);
                answers.extend(answer);
            }
        }
        answers
    }
}

/// Records a connection on which the client sends these PDUs, each answered before the next.
fn record(capture: &mut Capture, client_port: u16, sent: &[&str]) {
    let mut echo = Echo::new(&AssociationGroups::new());
    let mut connection = Connection::open(capture, client_port);
    for pdu in sent {
        connection.exchange(&mut echo, &octets(pdu));
    }
    if let Some(shutdown) = echo.association.shutdown() {
        connection.pdus(1, &shutdown);
    }
}

/// Records a connection of this crate's client, with a call and an answer in fragments.
fn record_own_client(capture: &mut Capture, client_port: u16) {
    let mut echo = Echo::new(&AssociationGroups::new());
    let mut connection = Connection::open(capture, client_port);
    let mut client = ClientAssociation::new(ECHO);
    let ack = connection.exchange(&mut echo, &client.bind());
    assert_eq!(client.receive(&mut ack.as_slice()), Some(Ok(ClientEvent::Bound)));
    let request = client.request(0, &ndr::encode_request(&[7; 10_000])).unwrap();
    connection.exchange(&mut echo, &request);
}

/// The lines that tshark prints for a capture, with each TCP stream on the server's port decoded as DCE/RPC.
fn tshark(capture: &Path, arguments: &[&str]) -> Vec<String> {
    let output = Command::new("tshark")
        .args(["-d", "tcp.port==1688,dcerpc", "-r"])
        .arg(capture)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| {
            panic!("this test needs tshark: `apt-get install tshark`, or `cargo xtask test` ({error})")
        });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The packets that tshark marks as malformed, or as a protocol error.
fn malformed(capture: &Path) -> Vec<String> {
    tshark(capture, &["-Y", "_ws.malformed || (dcerpc && _ws.expert.severity == error)"])
}

fn stored(capture: &Capture) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".pcap").tempfile().unwrap();
    std::fs::write(file.path(), &capture.octets).unwrap();
    file
}

#[test]
fn tshark_finds_every_pdu_and_nothing_malformed() {
    let mut capture = Capture::new();
    record(
        &mut capture,
        40_001,
        &[
            BIND,
            REQUEST,
            REQUEST_WITH_OBJECT,
            REQUEST_BAD_OPERATION,
            FRAGMENT_FIRST,
            FRAGMENT_MIDDLE,
            FRAGMENT_LAST,
            ALTER_CONTEXT,
            REQUEST_IN_CONTEXT_1,
            CO_CANCEL,
            ORPHANED,
        ],
    );
    record(&mut capture, 40_002, &[BIND_BIG_ENDIAN, REQUEST_BIG_ENDIAN]);
    record(&mut capture, 40_003, &[&edited(BIND, 20, "09000000")]);
    record(&mut capture, 40_004, &[BIND, FRAGMENT_LAST]);
    record_own_client(&mut capture, 40_005);
    let file = stored(&capture);

    let field = |stream: usize, field: &str| {
        let filter = format!("tcp.stream == {stream} && {field}");
        tshark(file.path(), &["-Y", &filter, "-T", "fields", "-e", field]).join(" ")
    };
    let expected_types =
        ["11 12 0 2 0 2 0 3 0 0 0 2 14 15 0 2 18 19 17", "11 12 0 2 17", "11 13", "11 12 0 3", "11 12 0 0 2 2"];
    for (stream, types) in expected_types.iter().enumerate() {
        assert_eq!(field(stream, "dcerpc.pkt_type"), *types, "PDU types on connection {stream}");
    }
    assert_eq!(field(0, "dcerpc.reassembled.length"), "12");
    assert_eq!(field(4, "dcerpc.reassembled.length"), "10008 10016");
    assert_eq!(malformed(file.path()), Vec::<String>::new());
}

#[test]
fn tshark_would_find_a_malformed_pdu() {
    let mut capture = Capture::new();
    // The count states nine contexts, and there is one.
    Connection::open(&mut capture, 40_001).pdus(0, &octets(&edited(BIND, 24, "09")));
    assert_eq!(malformed(stored(&capture).path()).len(), 1);
}

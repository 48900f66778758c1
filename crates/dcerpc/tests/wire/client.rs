//! The client's behaviour, case by case: events from a server's octets after the client has sent bind and request.

use dcerpc::limits::CALL_STUB_BYTES_MAX;
use dcerpc::{AssociationError, ByteOrder, ClientAssociation, ClientEvent, ProtocolError, RequestError, ndr};

use crate::echo::{ECHO, Echo};
use crate::pdus::*;

type Received = Result<ClientEvent, AssociationError>;

const BOUND: Received = Ok(ClientEvent::Bound);

fn drain(client: &mut ClientAssociation, mut input: &[u8]) -> Vec<Received> {
    std::iter::from_fn(|| client.receive(&mut input)).collect()
}

/// Binds on the first answer, sends call 2, and returns all events of the answers.
fn converse(answers: &[&str]) -> Vec<Received> {
    let mut client = ClientAssociation::new(ECHO);
    client.bind();
    let mut seen = Vec::new();
    for answer in answers {
        let events = drain(&mut client, &octets(answer));
        let bound = events.contains(&BOUND);
        seen.extend(events);
        if bound {
            client.request(0, &ndr::encode_request(&[0, 1, 2, 3])).unwrap();
        }
    }
    seen
}

fn broken(error: ProtocolError) -> Received {
    Err(AssociationError::Protocol(error))
}

#[test]
fn bind_and_request_are_what_other_clients_send() {
    let mut client = ClientAssociation::new(ECHO);
    assert_eq!(text(&client.bind()), edited(BIND, 16, "d016 d016"));
    assert_eq!(drain(&mut client, &octets(BIND_ACK)), [BOUND]);
    let request = client.request(0, &ndr::encode_request(&[0, 1, 2, 3])).unwrap();
    assert_eq!(text(&request), edited(REQUEST, 12, "02000000"));
}

#[test]
fn a_server_s_octets_mean_what_the_protocol_says() {
    let response = edited(RESPONSE, 12, "02000000");
    let answered = |stub: &str, order| Ok(ClientEvent::Response { call_id: 2, stub: octets(stub), order });
    let stub = "04000000 00000200 04000000 00010203 00000000";
    let big_endian = "05000203 00000000 002c 0000 00000002 | 00000014 0000 0000 \
        | 00000004 00020000 00000004 00010203 00000000";
    let (first, last) = (edited(FRAGMENT_FIRST, 2, "02"), edited(FRAGMENT_LAST, 2, "02"));
    let (first, last) = (edited(&first, 12, "02000000"), edited(&last, 12, "02000000"));
    let cases: Vec<(&str, Vec<&str>, Vec<Received>)> = vec![
        ("an answer", vec![BIND_ACK, &response], vec![BOUND, answered(stub, ByteOrder::Little)]),
        (
            "a big-endian answer",
            vec![BIND_ACK, big_endian],
            vec![BOUND, answered("00000004 00020000 00000004 00010203 00000000", ByteOrder::Big)],
        ),
        (
            "an answer in fragments",
            vec![BIND_ACK, &first, &last],
            vec![BOUND, answered("04000000 04000000 0203", ByteOrder::Little)],
        ),
        ("shutdown", vec![BIND_ACK, SHUTDOWN, &response], vec![BOUND, Ok(ClientEvent::Shutdown)]),
        ("bind_nak", vec![BIND_NAK_LOCAL_LIMIT, BIND_ACK], vec![Err(AssociationError::BindRefused { reason: 2 })]),
    ];
    for (name, answers, expected) in cases {
        assert_eq!(converse(&answers), expected, "{name}");
    }
    let fault = edited(FAULT_ACCESS, 12, "02000000");
    assert_eq!(converse(&[BIND_ACK, &fault]), [BOUND, Ok(ClientEvent::Fault { call_id: 2, status: 5 })]);
    let refused = edited(BIND_ACK, 36, "0200 0100 00000000000000000000000000000000 00000000");
    assert_eq!(converse(&[&refused]), [Err(AssociationError::InterfaceRefused { result: 2, reason: 1 })]);
}

#[test]
fn a_server_that_breaks_the_protocol_is_left() {
    let first = edited(&edited(FRAGMENT_FIRST, 2, "02"), 12, "02000000");
    let cases: Vec<(&str, Vec<String>, ProtocolError)> = vec![
        ("version", vec![edited(BIND_ACK, 0, "04")], ProtocolError::Version { major: 4, minor: 0 }),
        ("a length below the header's", vec![edited(BIND_ACK, 8, "0f00")], ProtocolError::FragmentLength(15)),
        ("a length above what was offered", vec![edited(BIND_ACK, 8, "d116")], ProtocolError::FragmentLength(5841)),
        ("an answer to another bind", vec![edited(BIND_ACK, 12, "09")], ProtocolError::CallId(9)),
        ("a response before bind_ack", vec![RESPONSE.into()], ProtocolError::PduType(2)),
        ("a client's PDU", vec![BIND.into()], ProtocolError::PduType(11)),
        ("two results", vec![edited(BIND_ACK, 32, "02")], ProtocolError::Ack),
        ("no results", vec![edited(BIND_ACK, 32, "00")], ProtocolError::Ack),
        ("another transfer syntax", vec![edited(BIND_ACK, 40, "05")], ProtocolError::Ack),
        ("a receive size of nothing", vec![edited(BIND_ACK, 18, "0000")], ProtocolError::ReceiveSize(0)),
        ("bind_ack too short", vec![edited(BIND_ACK, 24, "ffff")], ProtocolError::Truncated(12)),
        ("a verifier", vec![edited(BIND_ACK, 10, "0400")], ProtocolError::Verifier),
        ("a second bind_ack", vec![BIND_ACK.into(), BIND_ACK.into()], ProtocolError::PduType(12)),
        ("an answer to another call", vec![BIND_ACK.into(), RESPONSE.into()], ProtocolError::CallId(1)),
        ("two first fragments", vec![BIND_ACK.into(), first.clone(), first], ProtocolError::FragmentSequence),
        (
            "a fault without a status",
            vec![BIND_ACK.into(), edited(&edited(FAULT_ACCESS, 12, "02"), 8, "1800")],
            ProtocolError::Truncated(3),
        ),
    ];
    for (name, answers, error) in cases {
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        assert_eq!(converse(&answers).last(), Some(&broken(error)), "{name}");
    }
}

#[test]
fn an_answer_that_outgrows_the_limit_is_cut_off() {
    let mut client = ClientAssociation::new(ECHO);
    client.bind();
    drain(&mut client, &octets(BIND_ACK));
    client.request(0, &[]).unwrap();
    let mut fragment = octets("05000200 10000000 1810 0000 02000000 | ffffffff 0000 0000");
    fragment.resize(24 + 4096, 0);
    let mut seen = Vec::new();
    for flags in std::iter::once(1).chain(std::iter::repeat_n(0, 16)) {
        fragment[3] = flags;
        seen.extend(drain(&mut client, &fragment));
        assert!(client.held_bytes() <= CALL_STUB_BYTES_MAX);
    }
    assert_eq!(seen, [broken(ProtocolError::AnswerTooLong)]);
}

#[test]
fn requests_wait_for_the_bind_and_for_the_answer_before_them() {
    let mut client = ClientAssociation::new(ECHO);
    assert_eq!(client.request(0, &[]), Err(RequestError::NotBound));
    client.bind();
    assert_eq!(client.request(0, &[]), Err(RequestError::NotBound));
    drain(&mut client, &octets(BIND_ACK));
    let bytes = CALL_STUB_BYTES_MAX + 1;
    assert_eq!(client.request(0, &vec![0; bytes]), Err(RequestError::StubTooLong { bytes }));
    client.request(0, &[]).unwrap();
    assert_eq!(client.request(0, &[]), Err(RequestError::CallOpen { call_id: 2 }));
    drain(&mut client, &octets(&edited(RESPONSE, 12, "02000000")));
    assert!(client.request(0, &[]).is_ok());
    assert_eq!(drain(&mut client, &octets(BIND_NAK_VERSION)), [broken(ProtocolError::PduType(13))]);
    assert_eq!(client.request(0, &[]), Err(RequestError::NotBound));
}

#[test]
fn client_and_server_understand_each_other_at_every_size() {
    let mut echo = Echo::new(&dcerpc::AssociationGroups::new());
    let mut client = ClientAssociation::new(ECHO);
    let mut exchange = |client: &mut ClientAssociation, pdus: &[u8]| -> Vec<Received> {
        let answers = echo.feed(pdus).into_iter().filter_map(|happening| match happening {
            crate::echo::Happening::Sent(pdu) => Some(pdu),
            _ => None,
        });
        drain(client, &answers.collect::<Vec<_>>().concat())
    };
    let bind = client.bind();
    assert_eq!(exchange(&mut client, &bind), [BOUND]);
    for length in [0, 1, 3, 4, 5807, 5808, 5809, 11_616, 40_000, CALL_STUB_BYTES_MAX - 16] {
        let data: Vec<u8> = (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect();
        let request = client.request(0, &ndr::encode_request(&data)).unwrap();
        let seen = exchange(&mut client, &request);
        let [Ok(ClientEvent::Response { stub, order, .. })] = seen.as_slice() else { panic!("{length}: {seen:?}") };
        assert_eq!(ndr::decode_answer(stub, *order), Ok((data.as_slice(), 0)));
    }
}

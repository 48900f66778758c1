//! The server's behaviour, case by case: octets in, octets and calls out.

use dcerpc::limits::{CALL_STUB_BYTES_MAX, FRAGMENT_BYTES_MAX};
use dcerpc::{AssociationGroups, Violation};

use crate::echo::{Echo, Happening};
use crate::pdus::*;

/// One case: what the client sends on a new connection, and all resulting events.
struct Case {
    name: &'static str,
    sent: Vec<String>,
    happens: Vec<String>,
}

fn case<S: Into<String>, H: Into<String>>(
    name: &'static str,
    sent: impl IntoIterator<Item = S>,
    happens: impl IntoIterator<Item = H>,
) -> Case {
    Case {
        name,
        sent: sent.into_iter().map(Into::into).collect(),
        happens: happens.into_iter().map(Into::into).collect(),
    }
}

fn check(cases: Vec<Case>) {
    for Case { name, sent, happens } in cases {
        let mut echo = Echo::new(&AssociationGroups::new());
        let seen = transcript(&echo.feed(&octets(&sent.concat())));
        let expected: Vec<String> = happens.iter().map(|line| normal(line)).collect();
        assert_eq!(seen, expected, "{name}");
        assert!(!echo.association.is_mid_pdu(), "{name}: bytes are left over");
    }
}

/// A line that is a PDU, without the dividers.
fn normal(line: &str) -> String {
    if line.starts_with("05") { text(&octets(line)) } else { line.to_owned() }
}

/// One line for each event: a PDU that was sent, a call, or the close.
fn transcript(seen: &[Happening]) -> Vec<String> {
    let line = |happening: &Happening| match happening {
        Happening::Sent(pdu) => text(pdu),
        Happening::Called { opnum, object, order, stub } => {
            let object = object.map_or_else(String::new, |object| format!(" on {object}"));
            format!("call {opnum}{object}, {order:?}: {}", text(stub))
        }
        Happening::Closed(why) => format!("close: {why}"),
    };
    seen.iter().map(line).collect()
}

const CALL: &str = "call 0, Little: 040000000400000000010203";

/// The answer to a bind with these context results, each 24 bytes of result, reason and syntax.
fn ack(results: &[&str]) -> String {
    let length = u16::try_from(36 + 24 * results.len()).unwrap();
    let count = u8::try_from(results.len()).unwrap();
    format!(
        "05000c03 10000000 {} 0000 01000000 | b810 b810 01000000 | 0500 3136383800 00 | {count:02x}000000 | {}",
        text(&length.to_le_bytes()),
        results.concat()
    )
}

/// A bind of these contexts, each written from its number on.
fn bind(contexts: &[&str]) -> String {
    let contexts = contexts.iter().map(|context| text(&octets(context))).collect::<Vec<_>>();
    let count = u8::try_from(contexts.len()).unwrap();
    let contexts = contexts.concat();
    let length = u16::try_from(28 + contexts.len() / 2).unwrap();
    format!(
        "05000b03 10000000 {} 0000 01000000 | b810 b810 00000000 | {count:02x}000000 | {contexts}",
        text(&length.to_le_bytes())
    )
}

const ACCEPTED: &str = "0000 0000 045d888aeb1cc9119fe808002b104860 02000000";
const UNKNOWN_INTERFACE: &str = "0200 0100 00000000000000000000000000000000 00000000";
const UNKNOWN_SYNTAX: &str = "0200 0200 00000000000000000000000000000000 00000000";
const ECHO_NDR: &str =
    "0000 0100 9d7c5b3a2f1e6b4a8c7d9e0f1a2b3c4d 01000000 | 045d888aeb1cc9119fe808002b104860 02000000";
const ECHO_NDR64: &str =
    "0000 0100 9d7c5b3a2f1e6b4a8c7d9e0f1a2b3c4d 01000000 | 33057171babe37498319b5dbef9ccc36 01000000";
const ECHO_NDR64_AND_NDR: &str = "0000 0200 9d7c5b3a2f1e6b4a8c7d9e0f1a2b3c4d 01000000 \
    | 33057171babe37498319b5dbef9ccc36 01000000 | 045d888aeb1cc9119fe808002b104860 02000000";
/// Requests security context multiplexing (1) and keeping the connection on an orphan (2).
const FEATURES: &str =
    "0100 0100 9d7c5b3a2f1e6b4a8c7d9e0f1a2b3c4d 01000000 | 2c1cb76c12984045 0300000000000000 01000000";

#[test]
fn a_bind_answers_each_presentation_context() {
    let echo = "9d7c5b3a2f1e6b4a8c7d9e0f1a2b3c4d";
    check(vec![
        case("the bind that impacket sends", [BIND], [BIND_ACK]),
        case("the same from a big-endian client", [BIND_BIG_ENDIAN], [BIND_ACK]),
        case("another interface", [ECHO_NDR.replace("9d7c", "9d7d")].map(|c| bind(&[&c])), [ack(&[UNKNOWN_INTERFACE])]),
        case(
            "another major version",
            [ECHO_NDR.replace(&format!("{echo} 01000000"), &format!("{echo} 02000000"))].map(|c| bind(&[&c])),
            [ack(&[UNKNOWN_INTERFACE])],
        ),
        case(
            "a minor version above the server's",
            [ECHO_NDR.replace(&format!("{echo} 01000000"), &format!("{echo} 01000100"))].map(|c| bind(&[&c])),
            [ack(&[UNKNOWN_INTERFACE])],
        ),
        case("NDR64 only", [bind(&[ECHO_NDR64])], [ack(&[UNKNOWN_SYNTAX])]),
        case("NDR64 or NDR", [bind(&[ECHO_NDR64_AND_NDR])], [ack(&[ACCEPTED])]),
        case(
            "bind-time feature negotiation",
            [bind(&[ECHO_NDR, FEATURES])],
            [ack(&[ACCEPTED, "0300 0200 00000000000000000000000000000000 00000000"])],
        ),
        case(
            "negotiation of a feature that is not here",
            [bind(&[&FEATURES.replace("0300000000000000", "0100000000000000")])],
            [ack(&["0300 0000 00000000000000000000000000000000 00000000"])],
        ),
        case("flags of header signing and multiplexing are not echoed", [edited(BIND, 3, "17")], [BIND_ACK]),
    ]);
}

#[test]
fn fragment_sizes_are_clamped() {
    check(vec![
        case("too small", [edited(BIND, 16, "e803 e803")], [edited(BIND_ACK, 16, "0008 0008")]),
        case("too large", [edited(BIND, 16, "ffff ffff")], [edited(BIND_ACK, 16, "d016 d016")]),
        // The client's transmit size is the server's receive size.
        case("each its own way", [edited(BIND, 16, "b810 ffff")], [edited(BIND_ACK, 16, "d016 b810")]),
    ]);
}

#[test]
fn a_bind_that_cannot_be_answered_is_refused_and_the_connection_closed() {
    let verifier =
        |kind: &str| format!("{} | {kind}020000 00000000 | 4e544c4d", edited(&edited(BIND, 8, "5400"), 10, "0400"));
    check(vec![
        case("protocol version 4", [edited(BIND, 0, "04")], [BIND_NAK_VERSION, "close: protocol version 4.0, not 5.0"]),
        case("minor version 1", [edited(BIND, 1, "01")], [BIND_NAK_VERSION, "close: protocol version 5.1, not 5.0"]),
        case("a request before the bind", [REQUEST], [BIND_NAK_VERSION, "close: request before bind"]),
        case(
            "no contexts",
            [bind(&[])],
            [BIND_NAK_NOT_SPECIFIED, "close: bind or alter_context without presentation contexts"],
        ),
        case(
            "an association group that does not exist",
            [edited(BIND, 20, "78000000")],
            [BIND_NAK_NOT_SPECIFIED, "close: unknown association group 120"],
        ),
        case("a second bind", [BIND, BIND], [BIND_ACK, BIND_NAK_NOT_SPECIFIED, "close: second bind on one connection"]),
        case(
            "a bind that ends early",
            [edited(BIND, 24, "02")],
            [BIND_NAK_NOT_SPECIFIED, "close: malformed bind or alter_context"],
        ),
        case(
            "a bind in several fragments",
            [edited(BIND, 3, "01")],
            [BIND_NAK_NOT_SPECIFIED, "close: malformed bind or alter_context"],
        ),
        case(
            "more contexts than an association keeps",
            [bind(&[ECHO_NDR; 33])],
            [BIND_NAK_LOCAL_LIMIT, "close: 33 presentation contexts in one bind or alter_context"],
        ),
        case(
            "a bind longer than any fragment",
            [edited(BIND, 8, "d116")],
            [BIND_NAK_LOCAL_LIMIT, "close: fragment of 5841 bytes, at most 5840 allowed"],
        ),
        case(
            "an unknown authentication type",
            [verifier("7f")],
            [BIND_NAK_AUTHENTICATION, "close: unknown authentication type 127"],
        ),
        case(
            "a verifier longer than its PDU",
            [edited(BIND, 10, "ffff")],
            [BIND_NAK_NOT_SPECIFIED, "close: malformed bind or alter_context"],
        ),
        case("a verifier of a known type is skipped", [verifier("0a")], [BIND_ACK]),
    ]);
}

#[test]
fn requests_are_answered() {
    let response = |call: &'static str| [BIND_ACK, call, RESPONSE];
    check(vec![
        case("little-endian", [BIND, REQUEST], response(CALL)),
        case("big-endian", [BIND_BIG_ENDIAN, REQUEST_BIG_ENDIAN], response("call 0, Big: 000000040000000400010203")),
        case("each PDU in its own byte order", [BIND_BIG_ENDIAN, REQUEST], response(CALL)),
        case(
            "with an object UUID",
            [BIND, REQUEST_WITH_OBJECT],
            response("call 0 on 33221100-5544-7766-8899-aabbccddeeff, Little: 040000000400000000010203"),
        ),
        case("in fragments", [BIND, FRAGMENT_FIRST, FRAGMENT_MIDDLE, FRAGMENT_LAST], response(CALL)),
        case(
            "with no data",
            [BIND, REQUEST_OF_NO_BYTES],
            [BIND_ACK, "call 0, Little: 0000000000000000", RESPONSE_OF_NO_BYTES],
        ),
        case("one after the other", [BIND, REQUEST, REQUEST], [BIND_ACK, CALL, RESPONSE, CALL, RESPONSE]),
    ]);
}

#[test]
fn a_refused_call_leaves_the_connection_usable() {
    check(vec![
        case("no such operation", [BIND, REQUEST_BAD_OPERATION, REQUEST], [BIND_ACK, FAULT_OPERATION, CALL, RESPONSE]),
        case("no such context", [BIND, REQUEST_BAD_CONTEXT, REQUEST], [BIND_ACK, FAULT_CONTEXT, CALL, RESPONSE]),
        case(
            "a verifier on a request",
            [BIND, REQUEST_WITH_VERIFIER, REQUEST],
            [BIND_ACK, FAULT_ACCESS, CALL, RESPONSE],
        ),
        case(
            "a stub that is too short",
            [BIND, REQUEST_SHORT_STUB, REQUEST],
            [BIND_ACK, "call 0, Little: 0400000000010203", FAULT_BAD_STUB, CALL, RESPONSE],
        ),
    ]);
}

#[test]
fn fragments_out_of_sequence_are_a_protocol_error() {
    let close = [BIND_ACK, FAULT_PROTOCOL, "close: fragment out of sequence"];
    let other_call = edited(FAULT_PROTOCOL, 12, "02000000");
    let too_long = "close: fragment of 4281 bytes, at most 4280 allowed";
    check(vec![
        case("no first fragment", [BIND, FRAGMENT_LAST], close),
        case("two first fragments", [BIND, FRAGMENT_FIRST, FRAGMENT_FIRST], close),
        case("a whole call in between", [BIND, FRAGMENT_FIRST, REQUEST], close),
        case(
            "another call's fragment",
            [BIND, FRAGMENT_FIRST, FRAGMENT_LAST_OF_CALL_2],
            [BIND_ACK, other_call.as_str(), "close: fragment out of sequence"],
        ),
        case("another context", [BIND, FRAGMENT_FIRST, FRAGMENT_LAST_OF_CONTEXT_1], close),
        case("another operation", [BIND, FRAGMENT_FIRST, FRAGMENT_LAST_OF_OPERATION_1], close),
        case("another byte order", [BIND, FRAGMENT_FIRST, FRAGMENT_LAST_BIG_ENDIAN], close),
        case("longer than negotiated", [BIND, &edited(REQUEST, 8, "b910")], [BIND_ACK, FAULT_PROTOCOL, too_long]),
        case(
            "shorter than a request header",
            [BIND, &edited(FRAGMENT_LAST, 8, "1700")],
            [BIND_ACK, FAULT_PROTOCOL, "close: malformed request"],
        ),
        case(
            "shorter than the object UUID it announces",
            [BIND, &edited(FRAGMENT_LAST, 3, "82")],
            [BIND_ACK, FAULT_PROTOCOL, "close: malformed request"],
        ),
    ]);
}

#[test]
fn what_no_client_sends_closes_without_an_answer() {
    check(vec![
        case(
            "an unknown PDU type",
            [BIND, &edited(CO_CANCEL, 2, "63")],
            [BIND_ACK, "close: PDU type 99 from a client"],
        ),
        case("a server's PDU", [BIND, RESPONSE], [BIND_ACK, "close: PDU type 2 from a client"]),
        case("shutdown", [BIND, SHUTDOWN], [BIND_ACK, "close: PDU type 17 from a client"]),
        case(
            "a fragment length below the header's",
            [BIND, &edited(REQUEST, 8, "0f00")],
            [BIND_ACK, "close: fragment length of 15 bytes is shorter than a header"],
        ),
        case(
            "the same in a bind",
            [edited(BIND, 8, "0000")],
            ["close: fragment length of 0 bytes is shorter than a header"],
        ),
        case(
            "a cancel longer than any fragment",
            [edited(CO_CANCEL, 8, "ffff")],
            ["close: fragment of 65535 bytes, at most 5840 allowed"],
        ),
    ]);
}

#[test]
fn cancels_and_orphans_are_ignored_without_a_call() {
    check(vec![
        case("co_cancel", [BIND, CO_CANCEL, REQUEST], [BIND_ACK, CALL, RESPONSE]),
        case("orphaned", [BIND, ORPHANED, REQUEST], [BIND_ACK, CALL, RESPONSE]),
        case("before the bind", [CO_CANCEL, ORPHANED, BIND], [BIND_ACK]),
        case(
            "co_cancel amid a call",
            [BIND, FRAGMENT_FIRST, CO_CANCEL, FRAGMENT_MIDDLE, FRAGMENT_LAST],
            [BIND_ACK, CALL, RESPONSE],
        ),
        case(
            "orphaned amid a call gives that call up",
            [BIND, FRAGMENT_FIRST, ORPHANED, REQUEST],
            [BIND_ACK, CALL, RESPONSE],
        ),
    ]);
}

#[test]
fn alter_context_adds_contexts_to_the_association() {
    let call_3 = edited(&edited(RESPONSE, 12, "03000000"), 20, "0100");
    let fault = |status: &str| edited(&edited(FAULT_PROTOCOL, 12, "02000000"), 24, status);
    let refused = |result: &str| edited(ALTER_CONTEXT_RESPONSE, 32, result);
    check(vec![
        case(
            "same group, empty secondary address",
            [BIND, ALTER_CONTEXT, REQUEST_IN_CONTEXT_1, REQUEST],
            [BIND_ACK, ALTER_CONTEXT_RESPONSE, CALL, &call_3, CALL, RESPONSE],
        ),
        case("an unknown interface", [BIND, &edited(ALTER_CONTEXT, 32, "00")], [BIND_ACK, &refused(UNKNOWN_INTERFACE)]),
        case(
            "features are negotiated at bind time only",
            [BIND, &edited(ALTER_CONTEXT, 52, "2c1cb76c12984045 0300000000000000 01000000")],
            [BIND_ACK, &refused(UNKNOWN_SYNTAX)],
        ),
        case("before the bind", [ALTER_CONTEXT], [fault("0b00011c").as_str(), "close: alter_context before bind"]),
        case(
            "no contexts",
            [BIND, &edited(ALTER_CONTEXT, 24, "00")],
            [BIND_ACK, &fault("0b00011c"), "close: bind or alter_context without presentation contexts"],
        ),
    ]);
}

#[test]
fn an_association_keeps_a_bounded_number_of_contexts() {
    let numbered = |numbers: std::ops::Range<u8>| -> Vec<String> {
        numbers.map(|number| edited(ECHO_NDR, 0, &format!("{number:02x}00"))).collect()
    };
    let full = numbered(0..32);
    let alter = edited(&bind(&[&numbered(31..32)[0], &numbered(32..33)[0]]), 2, "0e");
    let mut echo = Echo::new(&AssociationGroups::new());
    let first = echo.feed(&octets(&bind(&full.iter().map(String::as_str).collect::<Vec<_>>())));
    assert_eq!(transcript(&first), [normal(&ack(&[ACCEPTED; 32]))]);
    let second = transcript(&echo.feed(&octets(&alter)));
    let results =
        ["0000 0000 045d888aeb1cc9119fe808002b104860 02000000", "0200 0300 00000000000000000000000000000000 00000000"];
    assert!(second[0].ends_with(&text(&octets(&results.concat()))), "{second:?}");
}

#[test]
fn connections_share_a_group_while_one_of_them_lives() {
    let groups = AssociationGroups::new();
    let mut first = Echo::new(&groups);
    assert_eq!(transcript(&first.feed(&octets(BIND))), [normal(BIND_ACK)]);
    let joining = octets(&edited(BIND, 20, "01000000"));
    let mut second = Echo::new(&groups);
    assert_eq!(transcript(&second.feed(&joining)), [normal(BIND_ACK)]);
    drop(first);
    drop(second);
    let late = Echo::new(&groups).feed(&joining);
    assert_eq!(late.last(), Some(&Happening::Closed(Violation::UnknownGroup(1))));
}

#[test]
fn a_response_is_cut_into_fragments_of_the_size_the_client_takes() {
    // 3,000 bytes to a client that accepts 2,048: 3,016 bytes of stub in fragments of at most 2,024.
    let data = [7; 3000];
    let mut echo = Echo::new(&AssociationGroups::new());
    echo.feed(&octets(&edited(BIND, 18, "0008")));
    let stub = dcerpc::ndr::encode_request(&data);
    let mut request = octets("05000003 10000000 d80b 0000 01000000 | 00000000 0000 0000");
    request.splice(8..10, u16::try_from(24 + stub.len()).unwrap().to_le_bytes());
    request.extend(stub);
    let seen = echo.feed(&request);
    let Some(Happening::Sent(response)) = seen.last() else { panic!("no response: {seen:?}") };
    let headers = [&response[..24], &response[2048..2048 + 24]].map(text);
    assert_eq!(
        headers,
        [
            text(&octets("05000201 10000000 0008 0000 01000000 | c80b0000 0000 0000")),
            text(&octets("05000202 10000000 f803 0000 01000000 | e0030000 0000 0000")),
        ]
    );
    assert_eq!(response.len(), 24 + 24 + 3016);
}

#[test]
fn a_call_that_outgrows_the_reassembly_is_refused() {
    let mut echo = Echo::new(&AssociationGroups::new());
    let mut seen = echo.feed(&octets(BIND));
    let fragment = |flags: u8, stub: usize| {
        let mut pdu = octets("05000000 10000000 0000 0000 01000000 | ffffffff 0000 0000");
        pdu[3] = flags;
        pdu.splice(8..10, u16::try_from(24 + stub).unwrap().to_le_bytes());
        pdu.resize(24 + stub, 0);
        pdu
    };
    seen.extend(echo.feed(&fragment(1, 4096)));
    for _ in 1..16 {
        seen.extend(echo.feed(&fragment(0, 4096)));
    }
    assert_eq!(echo.association.held_bytes(), CALL_STUB_BYTES_MAX);
    seen.extend(echo.feed(&fragment(2, 1)));
    assert_eq!(transcript(&seen), [&normal(BIND_ACK), &normal(FAULT_MEMORY), "close: call longer than 65536 bytes"]);
    assert_eq!(echo.association.held_bytes(), 0);
}

#[test]
fn a_claimed_length_allocates_nothing_beyond_one_fragment() {
    let mut echo = Echo::new(&AssociationGroups::new());
    assert!(!echo.association.is_mid_pdu());
    // Only the header of the largest possible bind arrives.
    echo.feed(&octets(&edited(BIND, 8, "d016"))[..16]);
    assert!(echo.association.is_mid_pdu());
    assert!(echo.association.held_bytes() <= usize::from(FRAGMENT_BYTES_MAX));
    // A first fragment with an alloc_hint of 4 GiB holds its own eight bytes.
    let mut echo = Echo::new(&AssociationGroups::new());
    echo.feed(&octets(&[BIND, FRAGMENT_FIRST].concat()));
    assert!(echo.association.is_mid_pdu());
    assert_eq!(echo.association.held_bytes(), 8);
}

#[test]
fn shutdown_is_sent_to_bound_clients_only() {
    let mut echo = Echo::new(&AssociationGroups::new());
    assert_eq!(echo.association.shutdown(), None);
    echo.feed(&octets(BIND));
    assert_eq!(echo.association.shutdown().map(|pdu| text(&pdu)), Some(normal(SHUTDOWN)));
    assert_eq!(transcript(&echo.feed(&octets(REQUEST))), [CALL, &normal(RESPONSE)], "a crossing call is served");
}

//! Stubs of the operation, octet by octet.

use dcerpc::ndr::{BadStub, decode_answer, decode_request, encode_answer, encode_request};
use dcerpc::{ByteOrder, fault};
use proptest::prelude::*;

use crate::pdus::{octets, text};

#[test]
fn stubs_have_the_layout_of_the_definition() {
    assert_eq!(text(&encode_request(b"\x01\x02\x03")), "0300000003000000010203");
    assert_eq!(text(&encode_answer(b"\x01\x02\x03", 0xc004_f038)), "0300000000000200030000000102030038f004c0");
    assert_eq!(text(&encode_answer(b"", 0xc004_f041)), "000000000000000041f004c0");
}

#[test]
fn request_stubs_are_checked() {
    use ByteOrder::{Big, Little};

    type Decoded = Result<&'static str, BadStub>;
    let cases: &[(&str, ByteOrder, Decoded)] = &[
        ("03000000 03000000 010203", Little, Ok("010203")),
        ("00000003 00000003 010203", Big, Ok("010203")),
        ("00000000 00000000", Little, Ok("")),
        ("03000000 03000000 010203 00000000 000000", Little, Ok("010203")),
        ("03000000 03000000 010203 00000000 00000000", Little, Err(BadStub::Trailing { bytes: 8 })),
        ("03000000 04000000 01020304", Little, Err(BadStub::Lengths)),
        ("03000000 03000000 0102", Little, Err(BadStub::Truncated)),
        ("ffffffff ffffffff 0102", Little, Err(BadStub::Truncated)),
        ("03000000", Little, Err(BadStub::Truncated)),
        ("", Little, Err(BadStub::Truncated)),
    ];
    for (stub, order, expected) in cases {
        let decoded = decode_request(&octets(stub), *order).map(text);
        assert_eq!(decoded, expected.map(str::to_owned), "{stub}");
    }
}

#[test]
fn answer_stubs_are_checked() {
    use ByteOrder::{Big, Little};

    type Decoded = Result<(&'static str, u32), BadStub>;
    let cases: &[(&str, ByteOrder, Decoded)] = &[
        ("03000000 00000200 03000000 010203 00 38f004c0", Little, Ok(("010203", 0xc004_f038))),
        ("00000003 00000001 00000003 010203 ff c004f038", Big, Ok(("010203", 0xc004_f038))),
        ("00000000 00000000 41f004c0", Little, Ok(("", 0xc004_f041))),
        ("00000000 00000200 00000000 00000000", Little, Ok(("", 0))),
        ("03000000 00000000 00000000", Little, Err(BadStub::Lengths)),
        ("03000000 00000200 02000000 0102 0000 00000000", Little, Err(BadStub::Lengths)),
        ("03000000 00000200 03000000 010203 00", Little, Err(BadStub::Truncated)),
        ("03000000 00000200 03000000 010203", Little, Err(BadStub::Truncated)),
        ("00000000 00000000 00000000 0000000000000000", Little, Err(BadStub::Trailing { bytes: 8 })),
    ];
    for (stub, order, expected) in cases {
        let octets = octets(stub);
        let decoded = decode_answer(&octets, *order).map(|(data, status)| (text(data), status));
        assert_eq!(decoded, expected.map(|(data, status)| (data.to_owned(), status)), "{stub}");
    }
}

#[test]
fn a_bad_stub_is_the_fault_that_windows_gives() {
    assert_eq!(BadStub::Truncated.fault_status(), fault::BAD_STUB_DATA);
    assert_eq!(fault::BAD_STUB_DATA, 1783, "RPC_X_BAD_STUB_DATA of the Windows error list");
}

proptest! {
    #[test]
    fn whatever_is_encoded_is_decoded(data: Vec<u8>, status: u32) {
        let request = encode_request(&data);
        prop_assert_eq!(decode_request(&request, ByteOrder::Little), Ok(data.as_slice()));
        let answer = encode_answer(&data, status);
        prop_assert_eq!(decode_answer(&answer, ByteOrder::Little), Ok((data.as_slice(), status)));
    }

    #[test]
    fn no_stub_panics(stub: Vec<u8>) {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let _ = decode_request(&stub, order);
            let _ = decode_answer(&stub, order);
        }
    }
}

use domain::base::{Message, MessageBuilder};

use super::*;

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

fn question(token: &[u8]) -> Vec<u8> {
    tkey_query(&name("Key.test"), token, 0x1_0000_0002).unwrap().as_slice().to_vec()
}

#[test]
fn a_token_goes_out_in_a_tkey_record_of_the_additional_section() {
    let sent = Message::from_octets(question(b"token")).unwrap();
    let asked = sent.sole_question().unwrap();
    assert_eq!((asked.qtype(), asked.qclass()), (Rtype::TKEY, Class::ANY));
    let record = sent.additional().unwrap().next().unwrap().unwrap();
    assert_eq!((record.rtype(), record.class(), record.ttl().as_secs()), (Rtype::TKEY, Class::ANY, 0));
    let record = record.into_any_record::<AllRecordData<_, ParsedName<_>>>().unwrap();
    let AllRecordData::Unknown(rdata) = record.data() else { panic!("{record:?}") };
    let mut expected = b"\x08gss-tsig\0\x00\x00\x00\x02".to_vec();
    expected.extend(3602_u32.to_be_bytes());
    expected.extend(b"\0\x03\0\0\0\x05token\0\0");
    assert_eq!(rdata.data()[..], expected);
}

fn answer(rdata: &[u8]) -> Incoming {
    let mut builder = MessageBuilder::new_vec().answer();
    let rdata = UnknownRecordData::from_octets(Rtype::TKEY, rdata.to_vec()).unwrap();
    builder.push((name("key.TEST").wire(), Class::ANY, Ttl::from_secs(0), rdata)).unwrap();
    builder.into_message()
}

#[test]
fn the_servers_token_and_error_are_read_and_nothing_makes_the_reader_panic() {
    let whole = b"\x08gss-tsig\0\0\0\0\x01\0\0\0\x02\0\x03\0\0\0\x02ab\0\0";
    let read = |rdata: &[u8]| read_tkey(&answer(rdata), &name("key.test"));
    assert_eq!(read(whole), Ok(Some(Tkey { error: 0, token: b"ab".to_vec() })));
    assert_eq!(read_tkey(&answer(whole), &name("other.test")), Ok(None));
    let refused = b"\x08gss-tsig\0\0\0\0\0\0\0\0\0\0\x03\0\x11\0\0\0\0";
    assert_eq!(read(refused), Ok(Some(Tkey { error: 17, token: Vec::new() })));
    for cut in 0..whole.len() - 2 {
        assert!(read(&whole[..cut]).is_err(), "{cut}");
    }
    let another_mode = b"\0\0\0\0\x01\0\0\0\x02\0\x02\0\0\0\x02ab\0\0";
    assert!(read(another_mode).is_err());
    for hostile in [&b"\xff\xff"[..], b"\x40", b"\xc0\x0c", b"\x3f", &[1; 40]] {
        assert!(read(hostile).is_err(), "{hostile:?}");
    }
}

#[test]
fn what_is_signed_is_the_message_before_its_signature_was_added() {
    use domain::base::iana::TsigRcode;
    use domain::rdata::tsig::{Time48, Tsig};
    let key = name("Key.test");
    let mut message = message::query(&name("example.test"), Rtype::SRV).unwrap();
    let before = message.as_slice().to_vec();
    let id = message.header().id();
    let time = Time48::from_u64(7);
    let tsig = Tsig::new(algorithm(), time, 300, &b"mac"[..], id, TsigRcode::NOERROR, &b""[..]).unwrap();
    message.push((key.wire(), Class::ANY, Ttl::from_secs(0), tsig)).unwrap();
    // A forwarder may change a message's id; the signature covers the original one.
    message.header_mut().set_id(id.wrapping_add(1));
    let found = trailer(&Message::from_octets(message.as_slice().to_vec()).unwrap()).unwrap().unwrap();
    assert_eq!(found.message, before);
    assert!(found.of_context && found.key == key && found.time == 7 && found.mac == b"mac");
    let mut covered = Vec::new();
    Variables::of_question(&key, 7).append_to(&mut covered);
    assert_eq!(covered, b"\x03key\x04test\0\0\xff\0\0\0\0\x08gss-tsig\0\0\0\0\0\0\x07\x01\x2c\0\0\0\0");
    assert!(trailer(&Message::from_octets(before).unwrap()).unwrap().is_none());
}

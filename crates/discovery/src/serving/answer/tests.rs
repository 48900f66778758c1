use domain::base::iana::Opcode;
use proptest::prelude::*;

use super::super::cookies::{Cookies, tests as wire};
use super::*;
use crate::record::Srv;

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

fn delegated() -> Delegated {
    let zone = name("hosts.example.test");
    Delegated::new(zone.clone(), "_vlmcs._tcp", &zone, 5).unwrap()
}

fn snapshot(hosts: u16) -> Snapshot {
    let target = |node| name(&format!("node{node}.hosts.example.test"));
    let srv = |node| Srv { target: target(node), port: 1688, priority: 0, weight: node };
    Snapshot {
        name_servers: vec![target(1)],
        ready: (1..=hosts).map(srv).collect(),
        addresses: (1..=hosts).map(|node| (target(node), vec![[192, 0, 2, 1].into()])).collect(),
        serial: 7,
    }
}

fn question(owner: &str, rtype: Rtype, udp_bytes: Option<u16>) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(77);
    let mut question = builder.question();
    question.push((name(owner).wire(), rtype, Class::IN)).unwrap();
    let mut additional = question.additional();
    if let Some(bytes) = udp_bytes {
        additional
            .opt(|opt| {
                opt.set_udp_payload_size(bytes);
                Ok(())
            })
            .unwrap();
    }
    additional.finish()
}

fn query(message: &[u8], over_tcp: bool) -> Query<'_> {
    Query { message, cookie: Presented::None, over_tcp }
}

fn answered(message: &[u8], hosts: u16, over_tcp: bool) -> Message<Vec<u8>> {
    let answer = answer(&delegated(), Some(&snapshot(hosts)), &query(message, over_tcp));
    Message::from_octets(answer.unwrap()).unwrap()
}

#[test]
fn what_is_in_the_zone_is_answered_with_authority_and_everything_else_refused() {
    let service = "_VLMCS._tcp.Hosts.example.test";
    let table = [
        (service, Rtype::SRV, Rcode::NOERROR, 3),
        (service, Rtype::A, Rcode::NOERROR, 0),
        ("_tcp.hosts.example.test", Rtype::SRV, Rcode::NOERROR, 0),
        ("hosts.example.test", Rtype::SOA, Rcode::NOERROR, 1),
        ("hosts.example.test", Rtype::NS, Rcode::NOERROR, 1),
        ("node2.hosts.example.test", Rtype::A, Rcode::NOERROR, 1),
        ("node2.hosts.example.test", Rtype::AAAA, Rcode::NOERROR, 0),
        ("node9.hosts.example.test", Rtype::A, Rcode::NXDOMAIN, 0),
        ("_vlmcs._tcp.example.test", Rtype::SRV, Rcode::REFUSED, 0),
        ("test", Rtype::SOA, Rcode::REFUSED, 0),
        (service, Rtype::ANY, Rcode::REFUSED, 0),
        ("hosts.example.test", Rtype::AXFR, Rcode::REFUSED, 0),
    ];
    for (owner, rtype, rcode, answers) in table {
        let answer = answered(&question(owner, rtype, None), 3, false);
        let (header, counts) = (answer.header(), answer.header_counts());
        assert_eq!((header.id(), header.qr(), header.ra()), (77, true, false));
        assert_eq!((header.rcode(), counts.ancount()), (rcode, answers), "{owner} {rtype}");
        assert_eq!(header.aa(), rcode != Rcode::REFUSED, "{owner} {rtype}");
        // A negative answer holds the SOA record, so that resolvers cache it for no longer than the TTL.
        assert_eq!(counts.nscount() == 1, rcode != Rcode::REFUSED && answers == 0, "{owner} {rtype}");
    }
}

#[test]
fn no_ready_host_is_an_answer_without_records_and_not_a_missing_name() {
    let answer = answered(&question("_vlmcs._tcp.hosts.example.test", Rtype::SRV, None), 0, false);
    assert_eq!((answer.header().rcode(), answer.header_counts().ancount()), (Rcode::NOERROR, 0));
}

#[test]
fn what_does_not_fit_is_truncated_over_udp_and_whole_over_tcp() {
    let service = "_vlmcs._tcp.hosts.example.test";
    let plain = question(service, Rtype::SRV, None);
    for (message, hosts, over_tcp, truncated, answers) in [
        (&plain, 30, false, true, 0),
        (&plain, 30, true, false, 30),
        (&question(service, Rtype::SRV, Some(65_535)), 30, false, true, 0),
        (&question(service, Rtype::SRV, Some(1)), 3, false, false, 3),
        (&question(service, Rtype::SRV, Some(1232)), 12, false, false, 12),
    ] {
        let answer = answered(message, hosts, over_tcp);
        assert_eq!((answer.header().tc(), answer.header_counts().ancount()), (truncated, answers), "{hosts}");
        assert!(over_tcp || answer.as_slice().len() <= UDP_BYTES_MAX);
    }
}

#[test]
fn another_operation_version_or_number_of_questions_is_refused_and_an_answer_is_not_answered() {
    let plain = question("hosts.example.test", Rtype::SOA, None);
    let with = |place: usize, byte: u8| {
        let mut message = plain.clone();
        message[place] = byte;
        message
    };
    assert_eq!(answered(&with(2, Opcode::UPDATE.to_int() << 3), 1, true).header().rcode(), Rcode::NOTIMP);
    assert_eq!(answered(&with(5, 0), 1, true).header().rcode(), Rcode::FORMERR);
    assert_eq!(answered(&with(5, 2), 1, true).header().rcode(), Rcode::FORMERR);
    assert_eq!(answer(&delegated(), Some(&snapshot(1)), &query(&with(2, 0x80), true)), None);
    assert_eq!(answer(&delegated(), Some(&snapshot(1)), &query(&plain[..11], true)), None);

    let mut later = question("hosts.example.test", Rtype::SOA, Some(1232));
    let version = later.len() - 5;
    later[version] = 1;
    assert_eq!(answered(&later, 1, true).opt_rcode(), OptRcode::BADVERS);
}

/// The answer to a message from 192.0.2.1, with the code and the cookie that it carries.
fn with_cookie(cookies: &Cookies, message: &[u8], is_over_limit: bool) -> (OptRcode, u16, Option<Vec<u8>>) {
    let query = Query { message, cookie: cookies.of(message, [192, 0, 2, 1].into()), over_tcp: false };
    let bytes =
        if is_over_limit { over_limit(&query) } else { answer(&delegated(), Some(&snapshot(3)), &query) }.unwrap();
    let answer = Message::from_octets(bytes).unwrap();
    let cookie = answer.opt().and_then(|opt| opt.opt().cookie()).map(|cookie| wire::bytes_of(&cookie));
    (answer.opt_rcode(), answer.header_counts().ancount(), cookie)
}

const SERVICE: &str = "_vlmcs._tcp.hosts.example.test";
const CLIENT: [u8; 8] = [7; 8];

#[test]
fn every_answer_to_a_client_with_a_cookie_carries_the_servers_own() {
    let cookies = Cookies::new();
    let ask = |option: &[u8]| with_cookie(&cookies, &wire::query(SERVICE, Rtype::SRV, &[option]), false);
    let (rcode, answers, cookie) = ask(&CLIENT);
    let cookie = cookie.unwrap();
    assert_eq!((rcode, answers, cookie.len(), &cookie[..8]), (OptRcode::NOERROR, 3, 24, &CLIENT[..]));
    assert_eq!(ask(&cookie), (OptRcode::NOERROR, 3, Some(cookie.clone())));
    // A wrong one is answered as if there were none.
    let wrong = [&CLIENT[..], &[0; 16]].concat();
    assert_eq!(ask(&wrong), (OptRcode::NOERROR, 3, Some(cookie.clone())));
    assert_eq!(ask(&[1; 12]), (OptRcode::FORMERR, 0, None), "a length that no cookie has");
    let refused = wire::query("_vlmcs._tcp.example.test", Rtype::SRV, &[&CLIENT]);
    assert_eq!(with_cookie(&cookies, &refused, false), (OptRcode::REFUSED, 0, Some(cookie)));
    let none = wire::query(SERVICE, Rtype::SRV, &[]);
    assert_eq!(with_cookie(&cookies, &none, false), (OptRcode::NOERROR, 3, None));
}

#[test]
fn a_query_for_a_cookie_alone_is_answered_and_a_wrong_one_is_bad() {
    let cookies = Cookies::new();
    let ask = |option: &[u8]| with_cookie(&cookies, &wire::bare_query(&[option]), false);
    let (rcode, answers, cookie) = ask(&CLIENT);
    let cookie = cookie.unwrap();
    assert_eq!((rcode, answers), (OptRcode::NOERROR, 0));
    assert_eq!(ask(&cookie), (OptRcode::NOERROR, 0, Some(cookie.clone())));
    assert_eq!(ask(&[&CLIENT[..], &[0; 16]].concat()), (OptRcode::BADCOOKIE, 0, Some(cookie)));
    assert_eq!(with_cookie(&cookies, &wire::bare_query(&[]), false), (OptRcode::FORMERR, 0, None));
}

#[test]
fn above_the_limit_a_client_with_cookies_gets_bad_cookie_and_another_one_a_truncated_answer() {
    let cookies = Cookies::new();
    let ask = |options: &[&[u8]]| with_cookie(&cookies, &wire::query(SERVICE, Rtype::SRV, options), true);
    let (rcode, answers, cookie) = ask(&[&CLIENT]);
    assert_eq!((rcode, answers), (OptRcode::BADCOOKIE, 0));
    let again = wire::query(SERVICE, Rtype::SRV, &[&cookie.unwrap()]);
    assert!(cookies.of(&again, [192, 0, 2, 1].into()).is_valid(), "it asks again with what it got");
    assert_eq!(ask(&[]), (OptRcode::NOERROR, 0, None));
    let message = wire::query(SERVICE, Rtype::SRV, &[]);
    let truncated = over_limit(&query(&message, false)).unwrap();
    assert!(Message::from_octets(truncated).unwrap().header().tc());
}

#[test]
fn a_cookie_has_room_in_an_answer_that_fills_its_datagram() {
    let cookies = Cookies::new();
    for hosts in 1..30 {
        let message = wire::query(SERVICE, Rtype::SRV, &[&CLIENT]);
        let query = Query { message: &message, cookie: cookies.of(&message, [192, 0, 2, 1].into()), over_tcp: false };
        let bytes = answer(&delegated(), Some(&snapshot(hosts)), &query).unwrap();
        assert!(bytes.len() <= UDP_BYTES_MIN, "{hosts}: the client states no other size");
        let answer = Message::from_octets(bytes).unwrap();
        assert!(answer.opt().unwrap().opt().cookie().is_some(), "{hosts}");
    }
}

#[test]
fn a_zone_needs_the_service_in_it() {
    let zone = name("hosts.example.test");
    assert!(Delegated::new(zone, "_vlmcs._tcp", &name("example.test"), 5).is_err());
    // Only the service's name is delegated; the targets are in another zone.
    let narrow = name("_vlmcs._tcp.example.test");
    assert!(Delegated::new(narrow, "_vlmcs._tcp", &name("example.test"), 5).is_ok());
}

proptest! {
    #[test]
    fn no_bytes_make_the_server_panic_or_answer_at_length(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        flips in proptest::collection::vec((0usize..60, any::<u8>()), 0..6),
        option in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let with_cookie = wire::query(SERVICE, Rtype::SRV, &[&option]);
        let mut damaged = question("_vlmcs._tcp.hosts.example.test", Rtype::SRV, Some(1232));
        for (place, byte) in flips {
            if let Some(there) = damaged.get_mut(place) {
                *there = byte;
            }
        }
        let cookies = Cookies::new();
        for message in [bytes, damaged, with_cookie] {
            let query = Query { message: &message, cookie: cookies.of(&message, [192, 0, 2, 1].into()), over_tcp: false };
            let answer = answer(&delegated(), Some(&snapshot(60)), &query);
            prop_assert!(answer.is_none_or(|answer| answer.len() <= UDP_BYTES_MAX));
            prop_assert!(over_limit(&query).is_none_or(|answer| answer.len() <= UDP_BYTES_MAX));
        }
    }
}

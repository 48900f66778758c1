use dcerpc::{
    Association, AssociationGroups, ClientAssociation, ClientEvent, Event, Interface,
    relay::{BindAck, Pdus},
};
use proptest::prelude::*;
use uuid::uuid;

use super::{
    budget::Budget,
    session::{MirrorEnd, MirrorSession},
    tap::{Item, Tap},
};
use crate::limits::{MIRROR_ASSOCIATION_BYTES_MAX, MIRROR_BYTES_MAX};

const INTERFACE: Interface =
    Interface { uuid: uuid!("11111111-1e2f-4a6b-8c7d-9e0f1a2b3c4d"), major: 1, minor: 0, operations: 9 };

/// A fragment with a header of the given type and flags.
fn pdu(kind: u8, flags: u8, call_id: u32, body: usize, auth: u16) -> Vec<u8> {
    let mut pdu = vec![5, 0, kind, flags, 0x10, 0, 0, 0];
    pdu.extend_from_slice(&u16::try_from(16 + body).unwrap().to_le_bytes());
    pdu.extend_from_slice(&auth.to_le_bytes());
    pdu.extend_from_slice(&call_id.to_le_bytes());
    pdu.resize(16 + body, 0xa5);
    pdu
}

const REQUEST: u8 = 0;
const RESPONSE: u8 = 2;
const FAULT: u8 = 3;
const ALTER: u8 = 14;

fn tapped(tap: &mut Tap, from_client: bool, bytes: &[u8]) {
    let (mut pdus, mut input) = (Pdus::default(), bytes);
    while let Some(part) = pdus.next(&mut input) {
        let part = part.unwrap();
        if from_client { tap.client_sent(&part) } else { tap.upstream_sent(&part) }
    }
}

fn bytes_of(items: &[Item]) -> Vec<u8> {
    items.iter().flat_map(|item| item.bytes().to_vec()).collect()
}

#[test]
fn g5_only_requests_that_the_chosen_upstream_answered_are_mirrored_unchanged() {
    let mut tap = Tap::new(Budget::new(MIRROR_BYTES_MAX));
    let fragments = [pdu(REQUEST, 1, 1, 40, 0), pdu(REQUEST, 2, 1, 8, 0)].concat();
    tapped(&mut tap, true, &fragments);
    tapped(&mut tap, true, &pdu(REQUEST, 3, 2, 8, 0));
    tapped(&mut tap, true, &pdu(REQUEST, 3, 3, 8, 0));
    assert!(tap.ready().0.is_empty());
    tapped(&mut tap, false, &pdu(FAULT, 3, 2, 16, 0));
    tapped(&mut tap, false, &pdu(RESPONSE, 1, 1, 16, 0));
    assert!(tap.ready().0.is_empty(), "half an answer is none");
    tapped(&mut tap, false, &pdu(RESPONSE, 2, 1, 16, 0));
    let (items, dropped) = tap.ready();
    assert_eq!((bytes_of(&items), dropped), (fragments, 0));
}

#[test]
fn g5_an_authenticated_association_is_not_mirrored() {
    let mut tap = Tap::new(Budget::new(MIRROR_BYTES_MAX));
    tapped(&mut tap, true, &pdu(REQUEST, 3, 1, 40, 8));
    tapped(&mut tap, false, &pdu(RESPONSE, 3, 1, 16, 0));
    tapped(&mut tap, true, &pdu(REQUEST, 3, 2, 8, 0));
    tapped(&mut tap, false, &pdu(RESPONSE, 3, 2, 16, 0));
    assert!(tap.ready().0.is_empty());
}

proptest! {
    /// Whatever a client and its upstream send: never more than 64 KiB of one association, and all of it is given back.
    #[test]
    fn g5_what_is_held_for_mirrors_is_bounded_and_given_back(
        pdus in prop::collection::vec((any::<bool>(), prop::sample::select(vec![REQUEST, RESPONSE, FAULT, ALTER, 15, 19]),
            0u8..4, 0u32..6, 0usize..20_000), 1..60),
    ) {
        let all = Budget::new(100_000);
        let mut taps = [Tap::new(all.clone()), Tap::new(all.clone())];
        let mut kept = Vec::new();
        for (at, (from_client, kind, flags, call, body)) in pdus.into_iter().enumerate() {
            let tap = &mut taps[at % 2];
            tapped(tap, from_client, &pdu(kind, flags, call, body, 0));
            kept.extend(tap.ready().0);
            prop_assert!(tap.held_bytes() <= MIRROR_ASSOCIATION_BYTES_MAX);
            prop_assert!(all.used() <= 100_000);
            prop_assert!(kept.iter().map(|item| item.bytes().len()).sum::<usize>() <= all.used());
        }
        drop((kept, taps));
        prop_assert_eq!(all.used(), 0);
    }
}

#[test]
fn g5_requests_beyond_the_budget_are_counted_and_left_out() {
    let mut tap = Tap::new(Budget::new(MIRROR_BYTES_MAX));
    for call in 0..5 {
        tapped(&mut tap, true, &pdu(REQUEST, 3, call, 20_000, 0));
    }
    for call in 0..5 {
        tapped(&mut tap, false, &pdu(RESPONSE, 3, call, 16, 0));
    }
    let (items, dropped) = tap.ready();
    assert_eq!((items.len(), dropped), (3, 2));
}

/// A server's association, and the bind of a client with its bind_ack.
fn bound(interface: Interface) -> (Association, Vec<u8>, Vec<u8>) {
    let mut server = Association::new(interface, AssociationGroups::new(), 1);
    let bind = ClientAssociation::new(INTERFACE).bind();
    let Some(Event::Send(ack)) = server.receive(&mut bind.as_slice()) else { panic!("no bind_ack") };
    (server, bind, ack)
}

#[test]
fn g5_a_mirror_gets_requests_one_at_a_time_after_equal_contexts() {
    let (mut server, mut bind, ack) = bound(INTERFACE);
    let original = bind.clone();
    bind[20..24].copy_from_slice(&77u32.to_le_bytes());
    let mut session = MirrorSession::begin(&mut bind, BindAck::decode(&ack).unwrap());
    assert_eq!(bind, original, "a mirror's bind asks for a group of its own");
    assert!(!session.is_ready());
    session.received(&ack).unwrap();

    let mut client = ClientAssociation::new(INTERFACE);
    client.bind();
    assert!(matches!(client.receive(&mut ack.as_slice()), Some(Ok(ClientEvent::Bound))));
    let request = client.request(1, b"12345678").unwrap();
    let Some(Event::Call(call)) = server.receive(&mut request.as_slice()) else { panic!("no call") };
    let response = server.respond(call.handle, b"12345678");
    let mut tap = Tap::new(Budget::new(MIRROR_BYTES_MAX));
    tapped(&mut tap, true, &request);
    tapped(&mut tap, false, &response);
    let (items, _) = tap.ready();
    assert!(session.is_ready());
    session.sent(&items[0]);
    assert!(!session.is_ready());
    session.received(&response).unwrap();
    assert!(session.is_ready());
    assert_eq!(session.received(&response), Err(MirrorEnd::Protocol), "an answer to no request");
}

#[test]
fn g5_a_mirror_that_accepts_other_contexts_or_smaller_fragments_gets_nothing() {
    let (_, mut bind, ack) = bound(INTERFACE);
    let (_, _, rejecting) = bound(Interface { uuid: uuid!("22222222-1e2f-4a6b-8c7d-9e0f1a2b3c4d"), ..INTERFACE });
    let expected = BindAck::decode(&ack).unwrap();
    let mut session = MirrorSession::begin(&mut bind, expected.clone());
    assert_eq!(session.received(&rejecting), Err(MirrorEnd::Unequal));
    let mut smaller = ack;
    smaller[18..20].copy_from_slice(&2048u16.to_le_bytes());
    let mut session = MirrorSession::begin(&mut bind, expected.clone());
    assert_eq!(session.received(&smaller), Err(MirrorEnd::Unequal));
    let mut session = MirrorSession::begin(&mut bind, expected);
    assert_eq!(session.received(&pdu(13, 3, 1, 8, 0)), Err(MirrorEnd::Refused));
}

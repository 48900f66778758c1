//! Properties of both sides for any bytes: the function that the fuzz target, the corpus and the property tests
//! call.

use dcerpc::limits::{CALL_STUB_BYTES_MAX, FRAGMENT_BYTES_MAX};
use dcerpc::{AssociationError, AssociationGroups, ClientAssociation, ClientEvent};

use crate::echo::{ECHO, Echo, Happening};

const HELD_BYTES_MAX: usize = CALL_STUB_BYTES_MAX + FRAGMENT_BYTES_MAX as usize;

/// Neither side panics, holds more than its limit, or returns events that depend on how the stream is split. The
/// server's output is cut into fragments of a legal length.
pub(crate) fn check(stream: &[u8]) {
    let whole = serve(&[stream]);
    for happening in &whole {
        if let Happening::Sent(pdus) = happening {
            check_fragments(pdus);
        }
    }
    let octets: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(whole, serve(&octets));
    assert_eq!(ask(&[stream]), ask(&octets));
}

/// The server's events for a stream that arrives in these pieces.
pub(crate) fn serve(pieces: &[&[u8]]) -> Vec<Happening> {
    let mut echo = Echo::new(&AssociationGroups::new());
    let mut seen = Vec::new();
    for piece in pieces {
        seen.extend(echo.feed(piece));
        assert!(echo.association.held_bytes() <= HELD_BYTES_MAX);
        let closed = matches!(seen.last(), Some(Happening::Closed(_)));
        assert!(!(closed && echo.association.is_mid_pdu()), "nothing is held after the close");
    }
    seen
}

/// The events of a client that binds, sends one request after each event, and receives the answers in these pieces.
pub(crate) fn ask(pieces: &[&[u8]]) -> Vec<Result<ClientEvent, AssociationError>> {
    let mut client = ClientAssociation::new(ECHO);
    client.bind();
    let mut seen = Vec::new();
    for mut piece in pieces.iter().copied() {
        while let Some(event) = client.receive(&mut piece) {
            let over = event.is_err() || event == Ok(ClientEvent::Shutdown);
            seen.push(event);
            assert_eq!(over, client.request(0, b"").is_err(), "a request is possible after every event but the last");
        }
        assert!(piece.is_empty(), "receive takes all of its input before it gives None");
        assert!(client.held_bytes() <= HELD_BYTES_MAX);
    }
    seen
}

fn check_fragments(mut pdus: &[u8]) {
    while let Some(length) = pdus.get(8..10) {
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        assert!((16..=usize::from(FRAGMENT_BYTES_MAX)).contains(&length));
        pdus = &pdus[length..];
    }
    assert!(pdus.is_empty());
}

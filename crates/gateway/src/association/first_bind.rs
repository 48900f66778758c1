//! The first bytes of a connection: whose association it is.

use dcerpc::relay::{Bind, HEADER_BYTES, Kind, first_header};
use uuid::Uuid;

use crate::limits::BIND_BYTES_MAX;

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstBytes {
    /// The bind is not complete: read on, and give all bytes again.
    Incomplete,
    /// A whole bind, and what was read behind it.
    Bind(FirstBind),
    /// Not a bind that can be read, or one longer than [`BIND_BYTES_MAX`]: the caller's own engine refuses it.
    NoBind,
}

/// The bind with which an association begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstBind {
    pub(crate) bind: Bind,
    /// The bind as it was received, all its fragments.
    pub(crate) octets: Vec<u8>,
    /// What was read behind it. It is not forwarded before the bind is answered.
    pub(crate) behind: Vec<u8>,
}

impl FirstBytes {
    /// Reads all bytes that a connection received until now. A caller needs to hold at most [`BIND_BYTES_MAX`] and one
    /// read of its own.
    pub fn read(received: &[u8]) -> Self {
        let mut end = 0;
        // One PDU of the whole bind, for a bind in fragments.
        let mut joined = Vec::new();
        loop {
            let Some(header) = received.get(end..).and_then(first_header) else { return Self::Incomplete };
            let length = usize::from(header.fragment_bytes);
            let is_start = joined.is_empty();
            if header.kind != Kind::Bind || header.is_first() != is_start || length < HEADER_BYTES {
                return Self::NoBind;
            }
            if end + length > BIND_BYTES_MAX {
                return Self::NoBind;
            }
            let Some(fragment) = received.get(end..end + length) else { return Self::Incomplete };
            joined.extend_from_slice(if is_start {
                fragment
            } else {
                fragment.get(HEADER_BYTES..).unwrap_or_default()
            });
            end += length;
            if header.is_last() {
                break;
            }
        }
        let (octets, behind) = received.split_at(end);
        match Bind::decode(&joined) {
            Ok(bind) => Self::Bind(FirstBind { bind, octets: octets.to_vec(), behind: behind.to_vec() }),
            Err(_) => Self::NoBind,
        }
    }
}

impl FirstBind {
    /// Whether one of the presentation contexts is for this interface, of whatever version: the association is then the
    /// node's own, also where other contexts are not.
    pub fn names(&self, interface: Uuid) -> bool {
        self.bind.interfaces.iter().any(|proposed| proposed.uuid == interface)
    }

    /// The fields of the bind.
    pub fn bind(&self) -> &Bind {
        &self.bind
    }

    /// Everything that was read, for a caller that serves the association itself.
    pub fn into_received(self) -> Vec<u8> {
        let mut received = self.octets;
        received.extend_from_slice(&self.behind);
        received
    }
}

#[cfg(test)]
mod tests {
    use dcerpc::relay::{SyntaxId, probe};
    use uuid::uuid;

    use super::*;

    const OURS: Uuid = uuid!("3a5b7c9d-1e2f-4a6b-8c7d-9e0f1a2b3c4d");
    const THEIRS: Uuid = uuid!("11111111-1e2f-4a6b-8c7d-9e0f1a2b3c4d");

    fn bind(interface: Uuid) -> Vec<u8> {
        probe(1, SyntaxId { uuid: interface, major: 1, minor: 0 })
    }

    /// A bind with a context for each interface.
    fn bind_of_both(first: Uuid, second: Uuid) -> Vec<u8> {
        let (mut whole, more) = (bind(first), bind(second));
        whole.extend_from_slice(&more[28..]);
        whole[24] = 2;
        let length = u16::try_from(whole.len()).unwrap().to_le_bytes();
        whole[8..10].copy_from_slice(&length);
        whole
    }

    fn read(bytes: &[u8]) -> FirstBind {
        match FirstBytes::read(bytes) {
            FirstBytes::Bind(bind) => bind,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn g1_the_first_bind_says_whose_association_it_is_and_one_context_of_ours_makes_it_ours() {
        assert!(!read(&bind(THEIRS)).names(OURS));
        assert!(read(&bind(OURS)).names(OURS));
        assert!(read(&bind_of_both(THEIRS, OURS)).names(OURS));
        assert!(read(&bind_of_both(OURS, THEIRS)).names(OURS));
    }

    #[test]
    fn a_bind_is_complete_with_its_last_byte_and_what_stands_behind_it_is_kept() {
        let mut bytes = bind(THEIRS);
        for cut in 0..bytes.len() {
            assert_eq!(FirstBytes::read(&bytes[..cut]), FirstBytes::Incomplete);
        }
        bytes.extend_from_slice(b"behind");
        let first = read(&bytes);
        assert_eq!((first.octets.len(), first.behind.as_slice()), (72, b"behind".as_slice()));
        assert_eq!(first.into_received(), bytes);
    }

    #[test]
    fn a_bind_in_fragments_is_read_as_one() {
        let whole = bind(THEIRS);
        let (start, rest) = whole.split_at(40);
        let mut bytes = start.to_vec();
        bytes[3] = 1;
        bytes[8] = 40;
        bytes.extend_from_slice(&whole[..16]);
        bytes[40 + 3] = 2;
        bytes[40 + 8] = u8::try_from(16 + rest.len()).unwrap();
        bytes.extend_from_slice(rest);
        let first = read(&bytes);
        assert!(first.names(THEIRS) && first.octets == bytes);
        assert_eq!(FirstBytes::read(&bytes[..60]), FirstBytes::Incomplete);
    }

    #[test]
    fn what_is_no_bind_is_left_to_the_caller() {
        let mut request = bind(THEIRS);
        request[2] = 0;
        let mut short = bind(THEIRS);
        short[8..10].copy_from_slice(&15u16.to_le_bytes());
        let mut cut = bind(THEIRS);
        cut[8..10].copy_from_slice(&40u16.to_le_bytes());
        for bytes in [request, short, cut, b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
            assert_eq!(FirstBytes::read(&bytes), FirstBytes::NoBind, "{bytes:?}");
        }
    }
}

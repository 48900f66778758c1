//! What a program needs that forwards associations of other interfaces: PDUs cut by their headers alone, and the few
//! fields of bind, bind_ack, alter_context_resp and bind_nak that decide where an association goes.
//!
//! Nothing here holds a body: [`Pdus`] returns the parts of a stream as slices of the caller's input, and keeps at most
//! one unfinished header.

use crate::pdu::bind::{self, AckBody, Proposal};
use crate::pdu::octets::Truncated;

pub use crate::pdu::bind::{ContextAnswer, SyntaxId};
pub use crate::pdu::{HEADER_BYTES, Header, Kind};

/// A fragment length below the header's own: the stream cannot be cut any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fragment length of {0} bytes, at least {HEADER_BYTES} needed")]
pub struct FragmentTooShort(pub u16);

/// The PDU ended before a field that its layout requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a PDU of association negotiation is too short")]
pub struct Malformed;

impl From<Truncated> for Malformed {
    fn from(Truncated: Truncated) -> Self {
        Self
    }
}

/// A part of a stream of PDUs.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A PDU begins. Its header, decoded and as received.
    Header(Header, [u8; HEADER_BYTES]),
    /// Bytes of the body that follows the header; never empty.
    Body(&'a [u8]),
    /// The PDU with this header is complete.
    End(Header),
}

/// Cuts one direction of an association into PDUs, of either byte order and up to 65,535 bytes.
#[derive(Clone, Debug, Default)]
pub struct Pdus {
    partial: [u8; HEADER_BYTES],
    held: usize,
    current: Option<(Header, usize)>,
}

impl Pdus {
    /// The next part of `input`; `None` when all of it is consumed. The parts do not depend on how the stream is
    /// split, apart from the lengths of [`Part::Body`].
    ///
    /// # Errors
    /// [`FragmentTooShort`]: the stream has no further PDU, and the rest of `input` has no meaning.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Result<Part<'a>, FragmentTooShort>> {
        let Some((header, left)) = self.current else {
            return self.header(input);
        };
        if left == 0 {
            self.current = None;
            return Some(Ok(Part::End(header)));
        }
        let (body, rest) = input.split_at(left.min(input.len()));
        *input = rest;
        self.current = Some((header, left - body.len()));
        (!body.is_empty()).then_some(Ok(Part::Body(body)))
    }

    fn header<'a>(&mut self, input: &mut &'a [u8]) -> Option<Result<Part<'a>, FragmentTooShort>> {
        let (now, rest) = input.split_at((HEADER_BYTES - self.held).min(input.len()));
        *input = rest;
        if let Some(room) = self.partial.get_mut(self.held..self.held + now.len()) {
            room.copy_from_slice(now);
        }
        self.held += now.len();
        if self.held < HEADER_BYTES {
            return None;
        }
        self.held = 0;
        let header = Header::decode(&self.partial);
        let Some(left) = usize::from(header.fragment_bytes).checked_sub(HEADER_BYTES) else {
            return Some(Err(FragmentTooShort(header.fragment_bytes)));
        };
        self.current = Some((header, left));
        Some(Ok(Part::Header(header, self.partial)))
    }

    /// Whether a PDU has begun and is not complete.
    pub fn is_mid_pdu(&self) -> bool {
        self.held > 0 || self.current.is_some()
    }
}

/// The header at the front of `bytes`; `None` while fewer than [`HEADER_BYTES`] are there.
pub fn first_header(bytes: &[u8]) -> Option<Header> {
    bytes.first_chunk().map(Header::decode)
}

/// The fields of a bind (or an alter_context) that decide where an association goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Number of the call; the answer repeats it.
    pub call_id: u32,
    /// Number of the association group that the client asks for; 0 asks for a new one.
    pub group: u32,
    /// The interface of each proposed presentation context, in the client's order. At most 255.
    pub interfaces: Vec<SyntaxId>,
    /// Whether the PDU has an authentication verifier.
    pub is_authenticated: bool,
}

impl Bind {
    /// Decodes one whole PDU, header included.
    ///
    /// # Errors
    /// [`Malformed`]: it ends before its last presentation context.
    pub fn decode(pdu: &[u8]) -> Result<Self, Malformed> {
        let (header, body) = split(pdu)?;
        let proposal = Proposal::decode(body, header.order)?;
        let interfaces = proposal.contexts().map(|context| context.map(|context| context.interface));
        Ok(Self {
            call_id: header.call_id,
            group: proposal.group,
            interfaces: interfaces.collect::<Result<_, Truncated>>()?,
            is_authenticated: header.auth_bytes != 0,
        })
    }
}

/// The fields of a bind_ack, or of an alter_context_resp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAck {
    /// Largest fragment that the server receives, in bytes.
    pub receive_bytes: u16,
    /// Number of the association group that the server opened or joined.
    pub group: u32,
    /// The answer to each proposed context, in the client's order. At most 255.
    pub answers: Vec<ContextAnswer>,
}

impl BindAck {
    /// Decodes one whole PDU, header included.
    ///
    /// # Errors
    /// [`Malformed`]: it ends before its last answer.
    pub fn decode(pdu: &[u8]) -> Result<Self, Malformed> {
        let (header, body) = split(pdu)?;
        let ack = AckBody::decode(body, header.order)?;
        let answers = ack.results().collect::<Result<_, Truncated>>()?;
        Ok(Self { receive_bytes: ack.receive_bytes, group: ack.group, answers })
    }
}

/// The reason in a bind_nak, header included (C706 section 12.6.3.1): 1 temporary congestion, 2 local limit exceeded.
///
/// # Errors
/// [`Malformed`]: it ends before its reason.
pub fn nak_reason(pdu: &[u8]) -> Result<u16, Malformed> {
    let (header, body) = split(pdu)?;
    Ok(bind::decode_nak(body, header.order)?)
}

/// A bind with one context, `interface` over NDR 2.0 in a new association group, for a program that only asks whether a
/// server acknowledges it.
pub fn probe(call_id: u32, interface: SyntaxId) -> Vec<u8> {
    bind::encode_bind(call_id, crate::limits::FRAGMENT_BYTES_MAX, interface)
}

/// Changes a whole bind so that it asks for a new association group: one that another server issued has no meaning.
pub fn ask_for_new_group(pdu: &mut [u8]) {
    if let Some(group) = pdu.get_mut(HEADER_BYTES + 4..HEADER_BYTES + 8) {
        group.fill(0);
    }
}

fn split(pdu: &[u8]) -> Result<(Header, &[u8]), Malformed> {
    let (header, body) = pdu.split_first_chunk().ok_or(Malformed)?;
    Ok((Header::decode(header), body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::uuid;

    use super::*;
    use crate::ByteOrder;

    const INTERFACE: SyntaxId = SyntaxId { uuid: uuid!("3a5b7c9d-1e2f-4a6b-8c7d-9e0f1a2b3c4d"), major: 1, minor: 0 };

    /// A PDU of `body` bytes in either byte order.
    fn pdu(kind: u8, is_big: bool, body: usize) -> Vec<u8> {
        let bytes = u16::try_from(HEADER_BYTES + body).unwrap();
        let length = if is_big { bytes.to_be_bytes() } else { bytes.to_le_bytes() };
        let representation = if is_big { 0 } else { 0x10 };
        let mut pdu = vec![5, 0, kind, 3, representation, 0, 0, 0, length[0], length[1], 0, 0, 1, 0, 0, 0];
        pdu.extend((0..body).map(|at| u8::try_from(at % 251).unwrap()));
        pdu
    }

    proptest! {
        #[test]
        fn the_parts_are_the_stream_however_it_is_split(
            pdus in prop::collection::vec((0u8..20, any::<bool>(), prop_oneof![0usize..64, 65_000usize..65_520]), 1..6),
            cut in 1usize..40_000,
        ) {
            let stream: Vec<u8> = pdus.iter().flat_map(|(kind, big, body)| pdu(*kind, *big, *body)).collect();
            let (mut cutter, mut seen, mut ended) = (Pdus::default(), Vec::new(), 0);
            for chunk in stream.chunks(cut) {
                let mut input = chunk;
                while let Some(part) = cutter.next(&mut input) {
                    match part.unwrap() {
                        Part::Header(header, octets) => {
                            prop_assert_eq!(header.order == ByteOrder::Big, pdus[ended].1);
                            seen.extend_from_slice(&octets);
                        }
                        Part::Body(body) => seen.extend_from_slice(body),
                        Part::End(_) => ended += 1,
                    }
                }
            }
            prop_assert_eq!(seen, stream);
            prop_assert_eq!(ended, pdus.len());
            prop_assert!(!cutter.is_mid_pdu());
        }
    }

    #[test]
    fn a_fragment_shorter_than_its_header_is_refused() {
        let mut bytes = pdu(0, false, 0);
        bytes[8] = 15;
        assert!(matches!(Pdus::default().next(&mut bytes.as_slice()), Some(Err(FragmentTooShort(15)))));
    }

    #[test]
    fn a_bind_is_read_and_asks_for_a_new_group_when_told_to() {
        let mut bytes = probe(7, INTERFACE);
        bytes[20..24].copy_from_slice(&9u32.to_le_bytes());
        let bind = Bind::decode(&bytes).unwrap();
        assert_eq!((bind.call_id, bind.group, bind.is_authenticated), (7, 9, false));
        assert_eq!(bind.interfaces, [INTERFACE]);
        ask_for_new_group(&mut bytes);
        assert_eq!(bytes, probe(7, INTERFACE));
        assert_eq!(Bind::decode(&bytes[..40]), Err(Malformed));
    }

    #[test]
    fn an_acknowledgement_and_a_refusal_are_read() {
        let mut association = crate::Association::new(
            crate::Interface { uuid: INTERFACE.uuid, major: 1, minor: 0, operations: 1 },
            crate::AssociationGroups::new(),
            1688,
        );
        let bytes = probe(1, INTERFACE);
        let Some(crate::Event::Send(ack)) = association.receive(&mut bytes.as_slice()) else { panic!("no bind_ack") };
        let ack = BindAck::decode(&ack).unwrap();
        assert_eq!((ack.receive_bytes, ack.group, ack.answers.len()), (5840, 1, 1));
        assert_eq!((ack.answers[0].result, ack.answers[0].syntax), (0, bind::NDR));
        assert_eq!(nak_reason(&bind::encode_nak(1, 2)), Ok(2));
        assert_eq!(first_header(&bytes).map(|header| header.kind), Some(Kind::Bind));
    }
}

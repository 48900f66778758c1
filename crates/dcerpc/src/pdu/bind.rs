//! Bodies of bind, bind_ack, bind_nak, alter_context and alter_context_resp (C706 section 12.6.4; MS-RPCE 2.2.2).

use uuid::{Uuid, uuid};

use super::octets::{ByteOrder, Reader, Truncated};
use super::{HEADER_BYTES, Kind, VERSION, VERSION_MINOR, WHOLE, bind_ack_bytes_max, close_fragment, open_fragment};

/// An interface or a transfer syntax: UUID and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SyntaxId {
    pub uuid: Uuid,
    pub major: u16,
    pub minor: u16,
}

/// NDR 2.0, the only transfer syntax that is supported.
pub(crate) const NDR: SyntaxId = SyntaxId { uuid: uuid!("8a885d04-1ceb-11c9-9fe8-08002b104860"), major: 2, minor: 0 };

const NONE: SyntaxId = SyntaxId { uuid: Uuid::nil(), major: 0, minor: 0 };

/// First half of the "transfer syntax" of bind-time feature negotiation, in little-endian order; the second half is
/// the bit mask (MS-RPCE section 3.3.1.5.3).
const FEATURES_PREFIX: [u8; 8] = [0x2c, 0x1c, 0xb7, 0x6c, 0x12, 0x98, 0x40, 0x45];

impl SyntaxId {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        let uuid = reader.uuid()?;
        // One 32-bit field on the wire, major version in the low half: read as two fields, a big-endian sender's
        // would be swapped.
        let [m0, m1, n0, n1] = reader.u32()?.to_le_bytes();
        Ok(Self { uuid, major: u16::from_le_bytes([m0, m1]), minor: u16::from_le_bytes([n0, n1]) })
    }

    fn encode(self, output: &mut Vec<u8>) {
        output.extend_from_slice(&self.uuid.to_bytes_le());
        output.extend_from_slice(&self.major.to_le_bytes());
        output.extend_from_slice(&self.minor.to_le_bytes());
    }

    fn feature_bits(self) -> Option<u64> {
        let octets = self.uuid.to_bytes_le();
        let (prefix, bits) = octets.split_first_chunk::<8>()?;
        let bits = bits.first_chunk::<8>()?;
        (*prefix == FEATURES_PREFIX && self.major == 1 && self.minor == 0).then(|| u64::from_le_bytes(*bits))
    }
}

/// One presentation context as a client proposes it.
pub(crate) struct ProposedContext {
    pub(crate) id: u16,
    pub(crate) interface: SyntaxId,
    pub(crate) offers_ndr: bool,
    /// The bit mask, where the context is a bind-time feature negotiation and not an offer.
    pub(crate) features: Option<u64>,
}

/// Body of bind and of alter_context, up to the list of contexts.
pub(crate) struct Proposal<'a> {
    pub(crate) transmit_bytes: u16,
    pub(crate) receive_bytes: u16,
    pub(crate) group: u32,
    pub(crate) context_count: u8,
    contexts: Reader<'a>,
}

impl<'a> Proposal<'a> {
    pub(crate) fn decode(body: &'a [u8], order: ByteOrder) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body, order);
        let transmit_bytes = reader.u16()?;
        let receive_bytes = reader.u16()?;
        let group = reader.u32()?;
        let context_count = reader.u8()?;
        reader.take(3)?;
        Ok(Self { transmit_bytes, receive_bytes, group, context_count, contexts: reader })
    }

    /// The contexts, in the client's order. Bytes after the last one are padding before a skipped verifier.
    pub(crate) fn contexts(&self) -> impl Iterator<Item = Result<ProposedContext, Truncated>> + use<'a> {
        let mut reader = self.contexts;
        (0..self.context_count).map(move |_| ProposedContext::decode(&mut reader))
    }
}

impl ProposedContext {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        let id = reader.u16()?;
        let transfer_syntaxes = reader.u8()?;
        reader.take(1)?;
        let interface = SyntaxId::decode(reader)?;
        let mut proposed = Self { id, interface, offers_ndr: false, features: None };
        for _ in 0..transfer_syntaxes {
            let syntax = SyntaxId::decode(reader)?;
            proposed.offers_ndr |= syntax == NDR;
            if transfer_syntaxes == 1 {
                proposed.features = syntax.feature_bits();
            }
        }
        Ok(proposed)
    }
}

/// Answer to one proposed context: the result and reason of C706 section 12.6.3.1, MS-RPCE section 2.2.2.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContextResult {
    Accepted,
    InterfaceUnknown,
    TransferSyntaxesUnknown,
    LocalLimit,
    Features(u16),
}

impl ContextResult {
    fn encode(self, output: &mut Vec<u8>) {
        let (result, reason, syntax): (u16, u16, SyntaxId) = match self {
            Self::Accepted => (0, 0, NDR),
            Self::InterfaceUnknown => (2, 1, NONE),
            Self::TransferSyntaxesUnknown => (2, 2, NONE),
            Self::LocalLimit => (2, 3, NONE),
            Self::Features(bits) => (3, bits, NONE),
        };
        output.extend_from_slice(&result.to_le_bytes());
        output.extend_from_slice(&reason.to_le_bytes());
        syntax.encode(output);
    }
}

/// Sizes and group that a bind agreed; repeated in every alter_context_resp.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub(crate) transmit_bytes: u16,
    pub(crate) receive_bytes: u16,
    pub(crate) group: u32,
}

/// Encodes a bind_ack (`port` is its secondary address), or an alter_context_resp (no port: an empty secondary
/// address).
pub(crate) fn encode_ack(call_id: u32, settled: Settled, port: Option<u16>, results: &[ContextResult]) -> Vec<u8> {
    let mut output = Vec::with_capacity(bind_ack_bytes_max(results.len()));
    let kind = if port.is_some() { Kind::BindAck } else { Kind::AlterContextResponse };
    open_fragment(&mut output, kind, WHOLE, call_id);
    output.extend_from_slice(&settled.transmit_bytes.to_le_bytes());
    output.extend_from_slice(&settled.receive_bytes.to_le_bytes());
    output.extend_from_slice(&settled.group.to_le_bytes());
    let address = port.map(|port| format!("{port}\0")).unwrap_or_default();
    let address_bytes = u16::try_from(address.len()).expect("at most five digits and a NUL");
    output.extend_from_slice(&address_bytes.to_le_bytes());
    output.extend_from_slice(address.as_bytes());
    output.resize(output.len().next_multiple_of(4), 0);
    let count = u8::try_from(results.len()).expect("at most PRESENTATION_CONTEXTS_MAX results");
    output.extend_from_slice(&[count, 0, 0, 0]);
    for result in results {
        result.encode(&mut output);
    }
    close_fragment(&mut output, 0);
    output
}

/// Encodes a bind_nak with the only supported protocol version.
pub(crate) fn encode_nak(call_id: u32, reason: u16) -> Vec<u8> {
    let mut output = Vec::with_capacity(HEADER_BYTES + 5);
    open_fragment(&mut output, Kind::BindNak, WHOLE, call_id);
    output.extend_from_slice(&reason.to_le_bytes());
    output.extend_from_slice(&[1, VERSION, VERSION_MINOR]);
    close_fragment(&mut output, 0);
    output
}

/// Encodes a bind with one context: number 0, `interface` over NDR 2.0, in a new association group.
pub(crate) fn encode_bind(call_id: u32, fragment_bytes: u16, interface: SyntaxId) -> Vec<u8> {
    let mut output = Vec::with_capacity(72);
    open_fragment(&mut output, Kind::Bind, WHOLE, call_id);
    output.extend_from_slice(&fragment_bytes.to_le_bytes());
    output.extend_from_slice(&fragment_bytes.to_le_bytes());
    output.extend_from_slice(&[0; 4]);
    output.extend_from_slice(&[1, 0, 0, 0]);
    output.extend_from_slice(&[0, 0, 1, 0]);
    interface.encode(&mut output);
    NDR.encode(&mut output);
    close_fragment(&mut output, 0);
    output
}

/// The answer to one proposed context, as a server sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextAnswer {
    /// 0 accepted, 1 user rejection, 2 provider rejection, 3 bind-time feature negotiation.
    pub result: u16,
    /// Reason of a rejection, or the accepted bits of feature negotiation.
    pub reason: u16,
    /// The accepted transfer syntax; zeros with a rejection.
    pub syntax: SyntaxId,
}

/// Body of bind_ack and of alter_context_resp.
pub(crate) struct AckBody<'a> {
    pub(crate) receive_bytes: u16,
    pub(crate) group: u32,
    pub(crate) result_count: u8,
    results: Reader<'a>,
}

impl<'a> AckBody<'a> {
    pub(crate) fn decode(body: &'a [u8], order: ByteOrder) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body, order);
        reader.take(2)?;
        let receive_bytes = reader.u16()?;
        let group = reader.u32()?;
        let address_bytes = usize::from(reader.u16()?);
        reader.take(address_bytes)?;
        // Padding to four bytes, counted from the start of the PDU; the header's length is a multiple of four.
        reader.take((body.len() - reader.rest().len()).wrapping_neg() % 4)?;
        let result_count = reader.u8()?;
        reader.take(3)?;
        Ok(Self { receive_bytes, group, result_count, results: reader })
    }

    /// The answers, in the order of the proposed contexts.
    pub(crate) fn results(&self) -> impl Iterator<Item = Result<ContextAnswer, Truncated>> + use<'a> {
        let mut reader = self.results;
        (0..self.result_count).map(move |_| {
            let (result, reason) = (reader.u16()?, reader.u16()?);
            Ok(ContextAnswer { result, reason, syntax: SyntaxId::decode(&mut reader)? })
        })
    }
}

/// The fields that a client needs of a bind_ack that answers its one context.
pub(crate) struct Ack {
    pub(crate) receive_bytes: u16,
    pub(crate) result_count: u8,
    pub(crate) result: u16,
    pub(crate) reason: u16,
    pub(crate) syntax: SyntaxId,
}

impl Ack {
    pub(crate) fn decode(body: &[u8], order: ByteOrder) -> Result<Self, Truncated> {
        let ack = AckBody::decode(body, order)?;
        let mut reader = ack.results;
        let (result, reason) = (reader.u16()?, reader.u16()?);
        let syntax = SyntaxId::decode(&mut reader)?;
        Ok(Self { receive_bytes: ack.receive_bytes, result_count: ack.result_count, result, reason, syntax })
    }
}

/// Decodes the reason of a bind_nak. The versions after it have no meaning for a client that supports only one.
pub(crate) fn decode_nak(body: &[u8], order: ByteOrder) -> Result<u16, Truncated> {
    Reader::new(body, order).u16()
}

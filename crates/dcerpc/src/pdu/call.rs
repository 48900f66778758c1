//! Bodies of request, response and fault (C706 section 12.6.4.7 to 12.6.4.10).

use uuid::Uuid;

use super::octets::{Reader, Truncated};
use super::{
    CALL_HEADER_BYTES, Header, Kind, OBJECT_UUID, STUB_FRAGMENT_ALIGNMENT_BYTES, WHOLE, close_fragment, open_fragment,
};

const FAULT_BYTES: usize = CALL_HEADER_BYTES + 8;

/// One fragment of a request or a response; a response has operation 0 and no object.
pub(crate) struct Fragment<'a> {
    pub(crate) header: Header,
    pub(crate) context: u16,
    pub(crate) opnum: u16,
    pub(crate) object: Option<Uuid>,
    pub(crate) stub: &'a [u8],
}

impl<'a> Fragment<'a> {
    pub(crate) fn decode_request(header: Header, body: &'a [u8]) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body, header.order);
        // alloc_hint: an untrusted hint is no reason to allocate.
        reader.take(4)?;
        let context = reader.u16()?;
        let opnum = reader.u16()?;
        let object = if header.flags & OBJECT_UUID == 0 { None } else { Some(reader.uuid()?) };
        Ok(Self { header, context, opnum, object, stub: reader.rest() })
    }

    pub(crate) fn decode_response(header: Header, body: &'a [u8]) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body, header.order);
        reader.take(4)?;
        let context = reader.u16()?;
        reader.take(2)?;
        Ok(Self { header, context, opnum: 0, object: None, stub: reader.rest() })
    }
}

/// Context and operation of the call to which the fragments of `encode_call` belong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallFields {
    pub(crate) call_id: u32,
    pub(crate) context: u16,
    /// Operation number of a request; a response has its cancel count and a reserved octet here, both 0.
    pub(crate) opnum: u16,
}

/// Encodes all fragments of a request or response, one after the other, none longer than `fragment_bytes`.
pub(crate) fn encode_call(kind: Kind, fields: CallFields, fragment_bytes: u16, stub: &[u8]) -> Vec<u8> {
    let room = usize::from(fragment_bytes).saturating_sub(CALL_HEADER_BYTES);
    let room = (room - room % STUB_FRAGMENT_ALIGNMENT_BYTES).max(STUB_FRAGMENT_ALIGNMENT_BYTES);
    let fragments = stub.len().div_ceil(room).max(1);
    let mut output = Vec::with_capacity(stub.len() + fragments * CALL_HEADER_BYTES);
    let mut rest = stub;
    for index in 0..fragments {
        let (now, later) = rest.split_at(rest.len().min(room));
        let first = if index == 0 { super::FIRST_FRAGMENT } else { 0 };
        let last = if later.is_empty() { super::LAST_FRAGMENT } else { 0 };
        let start = output.len();
        open_fragment(&mut output, kind, first | last, fields.call_id);
        let alloc_hint = u32::try_from(rest.len()).expect("a stub is far below 4 GiB");
        output.extend_from_slice(&alloc_hint.to_le_bytes());
        output.extend_from_slice(&fields.context.to_le_bytes());
        output.extend_from_slice(&fields.opnum.to_le_bytes());
        output.extend_from_slice(now);
        close_fragment(&mut output, start);
        rest = later;
    }
    output
}

/// Encodes a fault. `flags` beyond first and last fragment state whether the call is known not to have run.
pub(crate) fn encode_fault(call_id: u32, context: u16, flags: u8, status: u32) -> Vec<u8> {
    let mut output = Vec::with_capacity(FAULT_BYTES);
    open_fragment(&mut output, Kind::Fault, WHOLE | flags, call_id);
    output.extend_from_slice(&[0; 4]);
    output.extend_from_slice(&context.to_le_bytes());
    output.extend_from_slice(&[0; 2]);
    output.extend_from_slice(&status.to_le_bytes());
    output.extend_from_slice(&[0; 4]);
    close_fragment(&mut output, 0);
    output
}

/// Decodes the status of a fault.
pub(crate) fn decode_fault(header: Header, body: &[u8]) -> Result<u32, Truncated> {
    let mut reader = Reader::new(body, header.order);
    reader.take(8)?;
    reader.u32()
}

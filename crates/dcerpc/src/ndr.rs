//! NDR 2.0 stubs for the one kind of operation that Quorate's interfaces have: bytes in, bytes and a status out.
//!
//! ```idl
//! error_status_t Operation(
//!     [in]                      unsigned long  length,
//!     [in, size_is(length)]     byte           data[],
//!     [out]                     unsigned long *answer_length,
//!     [out, size_is(, *answer_length)] byte  **answer);
//! ```
//!
//! The request costs 8 bytes around the data: length, conformance. The answer costs 16, or 12 without data: length,
//! referent of the pointer (0 and no conformance when there is no data), conformance; after the data padding to
//! four bytes and the status. Source: C706 section 14.3.

use crate::fault;
use crate::pdu::octets::{ByteOrder, Reader, Truncated};

/// The referent of the answer's one non-null pointer; any value except 0 would do.
const REFERENT: u32 = 0x0002_0000;
/// Longest tail after the last parameter that is accepted as padding, in bytes.
const PADDING_BYTES_MAX: usize = 7;

/// A stub that does not follow the operation's definition. On a server: fault [`fault::BAD_STUB_DATA`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadStub {
    /// The stub ends before the length that its fields state.
    #[error("stub is too short")]
    Truncated,
    /// Length parameter and array conformance differ, or a null pointer has a length.
    #[error("stub has contradictory lengths")]
    Lengths,
    /// The bytes after the last parameter are more than padding.
    #[error("stub has {bytes} bytes too many")]
    Trailing {
        /// Bytes after the last parameter.
        bytes: usize,
    },
}

impl BadStub {
    /// Status of the fault with which a server answers.
    pub fn fault_status(self) -> u32 {
        fault::BAD_STUB_DATA
    }
}

impl From<Truncated> for BadStub {
    fn from(Truncated: Truncated) -> Self {
        Self::Truncated
    }
}

/// Encodes a request stub with `data`, little-endian.
pub fn encode_request(data: &[u8]) -> Vec<u8> {
    let length = length_field(data);
    let mut stub = Vec::with_capacity(8 + data.len());
    stub.extend_from_slice(&length);
    stub.extend_from_slice(&length);
    stub.extend_from_slice(data);
    stub
}

/// Decodes the data in a request stub.
pub fn decode_request(stub: &[u8], order: ByteOrder) -> Result<&[u8], BadStub> {
    let mut reader = Reader::new(stub, order);
    let length = reader.u32()?;
    let data = conformant_array(&mut reader, length)?;
    only_padding(reader.rest())?;
    Ok(data)
}

/// Encodes an answer stub with `data` (empty: a null pointer) and `status`, little-endian.
pub fn encode_answer(data: &[u8], status: u32) -> Vec<u8> {
    let length = length_field(data);
    let mut stub = Vec::with_capacity(16 + data.len().next_multiple_of(4));
    stub.extend_from_slice(&length);
    if data.is_empty() {
        stub.extend_from_slice(&[0; 4]);
    } else {
        stub.extend_from_slice(&REFERENT.to_le_bytes());
        stub.extend_from_slice(&length);
        stub.extend_from_slice(data);
        stub.resize(stub.len().next_multiple_of(4), 0);
    }
    stub.extend_from_slice(&status.to_le_bytes());
    stub
}

/// Decodes data and status in an answer stub; a null pointer yields no data.
pub fn decode_answer(stub: &[u8], order: ByteOrder) -> Result<(&[u8], u32), BadStub> {
    let mut reader = Reader::new(stub, order);
    let length = reader.u32()?;
    let referent = reader.u32()?;
    let data = match (referent, length) {
        (0, 0) => &[],
        (0, _) => return Err(BadStub::Lengths),
        _ => conformant_array(&mut reader, length)?,
    };
    reader.take(data.len().wrapping_neg() % 4)?;
    let status = reader.u32()?;
    only_padding(reader.rest())?;
    Ok((data, status))
}

fn length_field(data: &[u8]) -> [u8; 4] {
    u32::try_from(data.len()).expect("a stub is far below 4 GiB").to_le_bytes()
}

fn conformant_array<'a>(reader: &mut Reader<'a>, length: u32) -> Result<&'a [u8], BadStub> {
    if reader.u32()? != length {
        return Err(BadStub::Lengths);
    }
    let bytes = usize::try_from(length).map_err(|_| BadStub::Truncated)?;
    Ok(reader.take(bytes)?)
}

/// Marshallers round a stub up to a multiple of four or eight bytes.
fn only_padding(rest: &[u8]) -> Result<(), BadStub> {
    if rest.len() > PADDING_BYTES_MAX { Err(BadStub::Trailing { bytes: rest.len() }) } else { Ok(()) }
}

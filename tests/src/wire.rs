//! PDUs made by hand, which tests can make malformed (C706 section 12.6).

use std::io;

use activation::message::{INTERFACE_OPERATIONS, INTERFACE_UUID, INTERFACE_VERSION};
use dcerpc::{ByteOrder, ClientAssociation, Interface, ndr};
use tokio::io::{AsyncRead, AsyncReadExt};
use uuid::Uuid;

const HEADER_BYTES: usize = 16;
const CALL_HEADER_BYTES: usize = 24;
const REQUEST: u8 = 0;
const RESPONSE: u8 = 2;
const FAULT: u8 = 3;
const BIND_ACK: u8 = 12;

/// The bind with which every connection begins.
pub fn bind() -> Vec<u8> {
    let (major, minor) = INTERFACE_VERSION;
    let uuid = Uuid::from_u128(INTERFACE_UUID);
    ClientAssociation::new(Interface { uuid, major, minor, operations: INTERFACE_OPERATIONS }).bind()
}

/// The whole request PDU around an activation request; `call_id` is 1 for the first request of a connection.
pub fn request(call_id: u32, message: &[u8]) -> Vec<u8> {
    fragment(call_id, 0x03, &ndr::encode_request(message))
}

/// One fragment of a request. In `flags`, 0x01 marks the first fragment, 0x02 the last.
pub fn fragment(call_id: u32, flags: u8, stub: &[u8]) -> Vec<u8> {
    let length = u16::try_from(CALL_HEADER_BYTES + stub.len()).expect("a fragment has a length of two bytes");
    let mut pdu = vec![5, 0, REQUEST, flags, 0x10, 0, 0, 0];
    pdu.extend_from_slice(&length.to_le_bytes());
    pdu.extend_from_slice(&[0; 2]);
    pdu.extend_from_slice(&call_id.to_le_bytes());
    pdu.extend_from_slice(&u32::from(length).to_le_bytes());
    // Context 0, operation 0.
    pdu.extend_from_slice(&[0; 4]);
    pdu.extend_from_slice(stub);
    pdu
}

/// A PDU that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The bind was accepted.
    BindAck,
    /// An answer: its bytes, and its status.
    Response(Vec<u8>, u32),
    /// A fault, with its status.
    Fault(u32),
    /// A PDU of another type, with the type.
    Other(u8),
}

/// Reads the next PDU; `None` where the other side has closed the connection.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Reply>> {
    let mut pdu = vec![0; HEADER_BYTES];
    match stream.read_exact(&mut pdu).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    };
    let &[_, _, kind, _, _, _, _, _, low, high, ..] = pdu.as_slice() else { return Ok(None) };
    pdu.resize(usize::from(u16::from_le_bytes([low, high])).max(HEADER_BYTES), 0);
    stream.read_exact(pdu.get_mut(HEADER_BYTES..).unwrap_or_default()).await?;
    let stub = pdu.get(CALL_HEADER_BYTES..).unwrap_or_default();
    Ok(Some(match kind {
        BIND_ACK => Reply::BindAck,
        RESPONSE => match ndr::decode_answer(stub, ByteOrder::Little) {
            Ok((answer, status)) => Reply::Response(answer.to_vec(), status),
            Err(bad) => return Err(io::Error::new(io::ErrorKind::InvalidData, bad)),
        },
        FAULT => match stub.first_chunk() {
            Some(&status) => Reply::Fault(u32::from_le_bytes(status)),
            None => return Err(io::ErrorKind::InvalidData.into()),
        },
        other => Reply::Other(other),
    }))
}

//! PDUs for both sides, of either byte order.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Longest wait for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const REQUEST: u8 = 0;
pub(crate) const RESPONSE: u8 = 2;
pub(crate) const FAULT: u8 = 3;
pub(crate) const BIND: u8 = 11;
pub(crate) const BIND_ACK: u8 = 12;
pub(crate) const BIND_NAK: u8 = 13;
pub(crate) const ALTER: u8 = 14;
pub(crate) const ALTER_RESPONSE: u8 = 15;
pub(crate) const AUTH3: u8 = 16;
pub(crate) const CO_CANCEL: u8 = 18;

/// How integers are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    pub(crate) fn u16(self, value: u16) -> [u8; 2] {
        if self == Self::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(crate) fn u32(self, value: u32) -> [u8; 4] {
        if self == Self::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

pub(crate) fn pdu_of(order: Order, kind: u8, flags: u8, call_id: u32, auth: u16, body: &[u8]) -> Vec<u8> {
    let mut pdu = vec![5, 0, kind, flags, if order == Order::Big { 0 } else { 0x10 }, 0, 0, 0];
    pdu.extend_from_slice(&order.u16(u16::try_from(16 + body.len()).unwrap()));
    pdu.extend_from_slice(&order.u16(auth));
    pdu.extend_from_slice(&order.u32(call_id));
    pdu.extend_from_slice(body);
    pdu
}

pub(crate) fn pdu(kind: u8, call_id: u32, body: &[u8]) -> Vec<u8> {
    pdu_of(Order::Little, kind, 3, call_id, 0, body)
}

/// A bind or alter_context with `contexts` contexts in association group `group`.
pub(crate) fn bind_of(order: Order, kind: u8, call_id: u32, group: u32, contexts: u8) -> Vec<u8> {
    let mut body = [order.u16(5840), order.u16(5840)].concat();
    body.extend_from_slice(&order.u32(group));
    body.extend_from_slice(&[contexts, 0, 0, 0]);
    for context in 0..contexts {
        body.extend_from_slice(&order.u16(context.into()));
        body.extend_from_slice(&[1, 0]);
        body.extend_from_slice(&[0x11; 16]);
        body.extend_from_slice(&order.u32(1));
        body.extend_from_slice(&[0x22; 16]);
        body.extend_from_slice(&order.u32(2));
    }
    pdu_of(order, kind, 3, call_id, 0, &body)
}

pub(crate) fn bind() -> Vec<u8> {
    bind_of(Order::Little, BIND, 1, 0, 1)
}

/// A bind_ack or alter_context_resp that accepts `contexts` contexts.
pub(crate) fn ack_of(order: Order, kind: u8, call_id: u32, group: u32, contexts: u8) -> Vec<u8> {
    let mut body = [order.u16(5840), order.u16(5840)].concat();
    body.extend_from_slice(&order.u32(group));
    body.extend_from_slice(&[0, 0, 0, 0]);
    body.extend_from_slice(&[contexts, 0, 0, 0]);
    for _ in 0..contexts {
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(&[0x22; 16]);
        body.extend_from_slice(&order.u32(2));
    }
    pdu_of(order, kind, 3, call_id, 0, &body)
}

pub(crate) fn nak(call_id: u32, reason: u8) -> Vec<u8> {
    pdu(BIND_NAK, call_id, &[reason, 0, 1, 5, 0])
}

/// A whole request whose stub is `stub`.
pub(crate) fn request(call_id: u32, stub: &[u8]) -> Vec<u8> {
    pdu(REQUEST, call_id, &[&[0; 8], stub].concat())
}

pub(crate) fn response(call_id: u32, stub: &[u8]) -> Vec<u8> {
    pdu(RESPONSE, call_id, &[&[0; 8], stub].concat())
}

/// The next whole PDU; `None` where the stream ends or breaks before it.
pub(crate) async fn read_pdu(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let reading = async {
        let mut pdu = vec![0; 16];
        stream.read_exact(&mut pdu).await.ok()?;
        let length = [pdu[8], pdu[9]];
        let length = if pdu[4] == 0 { u16::from_be_bytes(length) } else { u16::from_le_bytes(length) };
        pdu.resize(length.into(), 0);
        stream.read_exact(&mut pdu[16..]).await.ok()?;
        Some(pdu)
    };
    timeout(DEADLINE, reading).await.expect("a PDU, or the end, before the deadline")
}

pub(crate) fn kind(pdu: &[u8]) -> u8 {
    pdu[2]
}

pub(crate) fn call_id(pdu: &[u8]) -> u32 {
    u32::from_le_bytes(pdu[12..16].try_into().unwrap())
}

/// Binds, and returns the answer.
pub(crate) async fn bind_on(stream: &mut TcpStream, bind: &[u8]) -> Option<Vec<u8>> {
    stream.write_all(bind).await.ok()?;
    read_pdu(stream).await
}

/// Sends a request, and returns the stub of its response.
pub(crate) async fn call(stream: &mut TcpStream, call_id: u32, stub: &[u8]) -> Option<Vec<u8>> {
    stream.write_all(&request(call_id, stub)).await.ok()?;
    let answer = read_pdu(stream).await?;
    (kind(&answer) == RESPONSE).then(|| answer[24..].to_vec())
}

//! The PROXY protocol, versions 1 and 2: a balancer's header in front of the client's own bytes, with the client's
//! address ("The PROXY protocol", sections 2.1 and 2.2). Nothing of it is sent to an upstream.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ppp::{v1, v2};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::timeout,
};
use transport::Network;

use crate::limits::PROXY_HEADER_BYTES_MAX;

/// First bytes of a header of version 1.
const V1: &[u8] = b"PROXY ";
/// Longest header of version 1, in bytes.
const V1_BYTES_MAX: usize = 107;
/// Bytes of a header of version 2 up to the length of its rest.
const V2_BYTES_MIN: usize = 16;

/// Whose connection it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduced {
    /// The client's address. Where a trusted proxy names none (`UNKNOWN`, `LOCAL`, a Unix socket), its own.
    pub client: SocketAddr,
    /// What was read behind the header.
    pub rest: Vec<u8>,
}

/// Why a connection of a trusted proxy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It sent something else, or a header that cannot be read.
    #[error("proxy {peer} sent no header of the PROXY protocol: {cause}")]
    Malformed { peer: SocketAddr, cause: String },
    /// A longer header than [`PROXY_HEADER_BYTES_MAX`].
    #[error("proxy {peer} sent a header of {bytes} bytes, at most {PROXY_HEADER_BYTES_MAX} allowed")]
    TooLong { peer: SocketAddr, bytes: usize },
    /// The header did not arrive before the deadline.
    #[error("proxy {peer} sent no whole header within {deadline:?}")]
    Slow { peer: SocketAddr, deadline: Duration },
    /// It closed the connection before the end of the header; without a byte, as its health checks do, or with some.
    #[error("proxy {peer} closed the connection after {bytes} bytes of a header")]
    Closed { peer: SocketAddr, bytes: usize },
    #[error("reading from proxy {peer} failed")]
    Read { peer: SocketAddr, source: io::Error },
}

/// Reads the header of a connection that `peer` opened. Where `peer` is in none of the `trusted` networks, nothing is
/// read, and the client is `peer` itself: a header that it sends is then no PDU. A trusted proxy must send a header.
///
/// Reads at most [`PROXY_HEADER_BYTES_MAX`] bytes of header; what follows is returned as far as it was read.
///
/// # Errors
/// [`ProxyError`]: the connection is to be closed.
pub async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
    peer: SocketAddr,
    trusted: &[Network],
    deadline: Duration,
) -> Result<Introduced, ProxyError> {
    if !trusted.iter().any(|network| network.contains(peer.ip())) {
        return Ok(Introduced { client: peer, rest: Vec::new() });
    }
    timeout(deadline, read(stream, peer)).await.unwrap_or(Err(ProxyError::Slow { peer, deadline }))
}

async fn read(stream: &mut (impl AsyncRead + Unpin), peer: SocketAddr) -> Result<Introduced, ProxyError> {
    let mut received = Vec::with_capacity(256);
    loop {
        match length(&received) {
            Length::Header(bytes) if bytes > PROXY_HEADER_BYTES_MAX => {
                return Err(ProxyError::TooLong { peer, bytes });
            }
            Length::Header(bytes) if bytes <= received.len() => {
                let rest = received.split_off(bytes);
                let client = client(&received, peer).map_err(|cause| ProxyError::Malformed { peer, cause })?;
                return Ok(Introduced { client, rest });
            }
            Length::Header(_) | Length::Unknown => {}
            Length::None => {
                return Err(ProxyError::Malformed {
                    peer,
                    cause: "its first bytes are of another protocol".to_owned(),
                });
            }
        }
        // The loop ends: a header's length is known after 107 bytes, and no longer one is awaited.
        let read = (&mut *stream).take(1024).read_buf(&mut received).await;
        if read.map_err(|source| ProxyError::Read { peer, source })? == 0 {
            return Err(ProxyError::Closed { peer, bytes: received.len() });
        }
    }
}

enum Length {
    /// The header's length in bytes.
    Header(usize),
    /// More bytes are needed.
    Unknown,
    /// Not a header.
    None,
}

fn length(received: &[u8]) -> Length {
    let begins_as = |prefix: &[u8]| received.starts_with(prefix) || prefix.starts_with(received);
    if begins_as(v2::PROTOCOL_PREFIX) {
        return match received.get(V2_BYTES_MIN - 2..V2_BYTES_MIN) {
            Some(&[high, low]) => Length::Header(V2_BYTES_MIN + usize::from(u16::from_be_bytes([high, low]))),
            _ => Length::Unknown,
        };
    }
    if !begins_as(V1) {
        return Length::None;
    }
    let line = received.get(..V1_BYTES_MAX).unwrap_or(received);
    match line.windows(2).position(|pair| pair == b"\r\n") {
        Some(at) => Length::Header(at + 2),
        None if received.len() < V1_BYTES_MAX => Length::Unknown,
        None => Length::None,
    }
}

/// The client that a whole header names.
fn client(header: &[u8], peer: SocketAddr) -> Result<SocketAddr, String> {
    let named: Option<(IpAddr, u16)> = if header.starts_with(V1) {
        match v1::Header::try_from(header).map_err(|error| error.to_string())?.addresses {
            v1::Addresses::Tcp4(of) => Some((of.source_address.into(), of.source_port)),
            v1::Addresses::Tcp6(of) => Some((of.source_address.into(), of.source_port)),
            v1::Addresses::Unknown => None,
        }
    } else {
        let header = v2::Header::try_from(header).map_err(|error| error.to_string())?;
        match (header.command, header.addresses) {
            (v2::Command::Local, _) => None,
            (v2::Command::Proxy, v2::Addresses::IPv4(of)) => Some((of.source_address.into(), of.source_port)),
            (v2::Command::Proxy, v2::Addresses::IPv6(of)) => Some((of.source_address.into(), of.source_port)),
            (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
        }
    };
    Ok(named.map_or(peer, |(address, port)| SocketAddr::new(address.to_canonical(), port)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);

    fn peer() -> SocketAddr {
        "10.0.0.9:4000".parse().unwrap()
    }

    fn trusted() -> Vec<Network> {
        vec!["10.0.0.0/24".parse().unwrap()]
    }

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = v2::PROTOCOL_PREFIX.to_vec();
        header.extend_from_slice(&[0x20 | command, family]);
        header.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        header.extend_from_slice(payload);
        header
    }

    const IPV4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 6, 0x98];

    /// Reads a stream that arrives in pieces of `piece` bytes and ends.
    async fn introduced(bytes: &[u8], piece: usize) -> Result<Introduced, ProxyError> {
        let (mut near, mut far) = tokio::io::duplex(64 * 1024);
        let writing = async {
            for chunk in bytes.chunks(piece) {
                near.write_all(chunk).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(near);
        };
        let trusted = trusted();
        tokio::join!(writing, read_header(&mut far, peer(), &trusted, DEADLINE)).1
    }

    #[tokio::test]
    async fn g7_a_trusted_proxy_names_the_client_in_either_version_and_the_bytes_behind_are_kept() {
        let v6 = [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], &[0; 16], &[0, 80, 6, 0x98]].concat();
        let mapped = [&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7][..], &[0; 16], &[0, 80, 0, 0]].concat();
        let with_tlv = [&IPV4[..], &[4, 0, 1, 42]].concat();
        let table: Vec<(Vec<u8>, &str)> = vec![
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 1688\r\n".to_vec(), "192.0.2.7:12345"),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 80 1688\r\n".to_vec(), "[2001:db8::7]:80"),
            (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 80 1688\r\n".to_vec(), "192.0.2.7:80"),
            (b"PROXY UNKNOWN\r\n".to_vec(), "10.0.0.9:4000"),
            (v2(1, 0x11, &IPV4), "192.0.2.7:12345"),
            (v2(1, 0x11, &with_tlv), "192.0.2.7:12345"),
            (v2(1, 0x21, &v6), "[2001:db8::7]:80"),
            (v2(1, 0x21, &mapped), "192.0.2.7:80"),
            (v2(0, 0x11, &IPV4), "10.0.0.9:4000"),
            (v2(1, 0, &[]), "10.0.0.9:4000"),
        ];
        for (header, client) in table {
            for piece in [1, 7, 4096] {
                let bytes = [&header[..], b"\x05\x00\x0b"].concat();
                let introduced = introduced(&bytes, piece).await.unwrap();
                assert_eq!(introduced.client, client.parse().unwrap());
                let read = [&header[..], &introduced.rest].concat();
                assert!(bytes.starts_with(&read) && introduced.rest.len() <= 3);
            }
        }
    }

    #[tokio::test]
    async fn g7_nothing_is_read_of_a_peer_that_is_not_trusted() {
        let (mut near, mut far) = tokio::io::duplex(1024);
        let header = b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 1688\r\n";
        near.write_all(header).await.unwrap();
        let stranger = "10.0.1.9:4000".parse().unwrap();
        let introduced = read_header(&mut far, stranger, &trusted(), DEADLINE).await.unwrap();
        assert_eq!(introduced, Introduced { client: stranger, rest: Vec::new() });
        let mut left = [0; 6];
        far.read_exact(&mut left).await.unwrap();
        assert_eq!(&left, V1);
    }

    #[tokio::test]
    async fn a_trusted_proxy_without_a_whole_header_is_refused() {
        let long = v2(1, 0x11, &[0; 5000]);
        let malformed: [&[u8]; 6] = [
            &[5, 0, 11, 3, 0x10, 0, 0, 0],
            b"PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n",
            b"PROXY TCP4 192.0.2.777 10.0.0.1 12345 1688\r\n",
            &[b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat(),
            &v2(2, 0x11, &IPV4),
            &v2(1, 0x21, &IPV4),
        ];
        for bytes in malformed {
            let error = introduced(bytes, 4096).await.unwrap_err();
            assert!(matches!(error, ProxyError::Malformed { .. }), "{bytes:?}: {error}");
        }
        assert!(matches!(introduced(&long, 4096).await, Err(ProxyError::TooLong { bytes: 5016, .. })));
        assert!(matches!(introduced(b"", 1).await, Err(ProxyError::Closed { bytes: 0, .. })));
        assert!(matches!(introduced(b"PROXY TCP4 ", 1).await, Err(ProxyError::Closed { bytes: 11, .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_that_drips_ends_at_the_deadline() {
        let (_near, mut far) = tokio::io::duplex(1024);
        let read = read_header(&mut far, peer(), &trusted(), DEADLINE).await;
        assert!(matches!(read, Err(ProxyError::Slow { .. })));
    }

    proptest! {
        #[test]
        fn whatever_a_proxy_sends_is_read_or_refused(
            start in prop::sample::select(vec![&b"PROXY TCP4 "[..], b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c", b""]),
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let all = [start, &bytes].concat();
            if let Ok(introduced) = runtime.block_on(introduced(&all, 64)) {
                prop_assert!(all.windows(introduced.rest.len().max(1)).any(|w| introduced.rest.is_empty() || w == introduced.rest));
            }
        }
    }
}

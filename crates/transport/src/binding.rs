//! Addresses to listen on, on machines with and without IPv6.
//!
//! `[::]` means every address of the machine, IPv4 and IPv6, independent of `net.ipv6.bindv6only`: the option is set
//! on each socket. On a machine without IPv6 it means `0.0.0.0`.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use crate::limits::LISTEN_BACKLOG;

/// Listens on TCP at `address`; `[::]` means every address of the machine.
///
/// # Errors
/// The system refuses it: the port is in use, the address does not belong to this machine, or the account may not use
/// the port.
pub fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    bound(address, |address| {
        let socket = socket(address, Type::STREAM, Protocol::TCP)?;
        // Allows a port to be used again whose connections have just ended.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        TcpListener::from_std(socket.into())
    })
}

/// Binds a UDP socket at `address`; `[::]` means every address of the machine.
///
/// # Errors
/// As [`listen_tcp`].
pub fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    bound(address, |address| {
        let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    })
}

/// Whether `text` is `HOST:PORT` with a port above 0. An IPv6 address must be in brackets; otherwise the last part
/// of the address would be parsed as the port.
#[must_use]
pub fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match inside {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains([':', '[', ']']),
    };
    is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Whether a socket that listens at `address` accepts both IPv4 and IPv6.
#[must_use]
pub fn is_of_both_families(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if is_of_both_families(address) {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Calls `bind` with `address`. If that is `[::]` and the machine has no IPv6, calls it with `0.0.0.0`.
fn bound<S>(address: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<S>) -> io::Result<S> {
    match bind(address) {
        Err(error) if is_of_both_families(address) && lacks_ipv6(&error) => {
            bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
        }
        bound => bound,
    }
}

/// Address family not supported (errno(3)), on Linux.
const EAFNOSUPPORT: i32 = 97;

/// The kernel was built or booted without IPv6, or it is switched off (`net.ipv6.conf.all.disable_ipv6`).
fn lacks_ipv6(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use tokio::net::TcpStream;

    use super::*;

    fn everywhere() -> SocketAddr {
        SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0).into()
    }

    #[tokio::test]
    async fn all_addresses_means_both_address_families_or_the_only_one_available() {
        let listener = listen_tcp(everywhere()).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let without = bound(everywhere(), |address| match address.is_ipv6() {
            true => Err(io::Error::from_raw_os_error(EAFNOSUPPORT)),
            false => Ok(address),
        });
        assert_eq!(without.unwrap(), SocketAddr::from(([0, 0, 0, 0], 0)));
        let taken = bound(everywhere(), |_| Err::<(), _>(ErrorKind::AddrInUse.into()));
        assert_eq!(taken.unwrap_err().kind(), ErrorKind::AddrInUse, "that is no lack of IPv6");
        let other = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0));
        let alone = bound(other, |_| Err::<(), _>(ErrorKind::AddrNotAvailable.into()));
        assert_eq!(alone.unwrap_err().kind(), ErrorKind::AddrNotAvailable, "what was named is not replaced");
    }

    #[test]
    fn an_ipv6_address_without_brackets_is_not_a_host_with_a_port() {
        for text in ["node1:1689", "192.0.2.1:1", "[::1]:1689", "[2001:db8::1]:65535"] {
            assert!(is_host_and_port(text), "{text}");
        }
        for text in [
            "",
            "node1",
            "node1:",
            "node1:0",
            "node1:65536",
            ":1689",
            "::1:1689",
            "::1",
            "[::1]",
            "[node1]:1",
            "[::1:1",
        ] {
            assert!(!is_host_and_port(text), "{text}");
        }
    }

    #[tokio::test]
    async fn datagrams_of_ipv4_reach_a_socket_on_all_addresses() {
        let socket = bind_udp(everywhere()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let asker = bind_udp(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        asker.send_to(b"?", (Ipv4Addr::LOCALHOST, port)).await.unwrap();
        assert_eq!(socket.recv_from(&mut [0; 4]).await.unwrap().0, 1);
    }
}

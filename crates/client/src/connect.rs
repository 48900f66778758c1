//! Connects to a host's address. The lookup of the name has its own deadline, and so has each of its IP addresses.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::address::{HostAddress, HostPart};
use crate::error::NotReached;
use crate::limits::{ADDRESSES_MAX, LOOKUP_MS};

/// Connects to the first IP address that accepts, in the order of the system's resolver (RFC 6724).
pub(crate) async fn connect(host: &HostAddress, deadline: Duration) -> Result<(TcpStream, SocketAddr), NotReached> {
    first_open(addresses(host).await?, deadline).await
}

async fn first_open(addresses: Vec<SocketAddr>, deadline: Duration) -> Result<(TcpStream, SocketAddr), NotReached> {
    let mut failure = NotReached::NoAddress;
    for address in addresses {
        match open(address, deadline).await {
            Ok(stream) => return Ok((stream, address)),
            Err(error) => failure = NotReached::Connect { address, error },
        }
    }
    Err(failure)
}

async fn addresses(host: &HostAddress) -> Result<Vec<SocketAddr>, NotReached> {
    let name = match host.part() {
        HostPart::Address(address) => return Ok(vec![SocketAddr::new(*address, host.port())]),
        HostPart::Name(name) => name.as_str(),
    };
    let found = timeout(Duration::from_millis(LOOKUP_MS), lookup_host((name, host.port()))).await;
    let found = found.unwrap_or_else(|_| Err(late())).map_err(NotReached::Lookup)?;
    Ok(found.take(ADDRESSES_MAX).collect())
}

async fn open(address: SocketAddr, deadline: Duration) -> io::Result<TcpStream> {
    let stream = timeout(deadline, TcpStream::connect(address)).await.unwrap_or_else(|_| Err(late()))?;
    // A request is one small PDU and nothing follows it: waiting for more data would only delay it.
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(2);

    async fn closed() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn an_address_that_refuses_only_leads_to_the_next_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let (stream, address) = first_open(vec![closed().await, open], DEADLINE).await.unwrap();
        assert_eq!(address, open);
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn where_every_address_refuses_the_last_is_named() {
        let last = closed().await;
        let failure = first_open(vec![closed().await, last], DEADLINE).await.unwrap_err();
        assert!(matches!(failure, NotReached::Connect { address, .. } if address == last), "{failure:?}");
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_said_to_be_one() {
        assert!(matches!(first_open(Vec::new(), DEADLINE).await, Err(NotReached::NoAddress)));
    }
}

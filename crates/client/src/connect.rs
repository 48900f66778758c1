//! From a host's address to a connection: every address of the name is tried, each with a deadline of its own.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::address::Place;
use crate::limits::ADDRESSES_MAX;
use crate::{HostAddress, NotReached};

/// The first address that takes the connection, in the order that the system's resolver gives (RFC 6724).
pub(crate) async fn connect(host: &HostAddress, deadline: Duration) -> Result<(TcpStream, SocketAddr), NotReached> {
    let mut failure = NotReached::NoAddress;
    for address in addresses(host, deadline).await? {
        match open(address, deadline).await {
            Ok(stream) => return Ok((stream, address)),
            Err(error) => failure = NotReached::Connect { address, error },
        }
    }
    Err(failure)
}

async fn addresses(host: &HostAddress, deadline: Duration) -> Result<Vec<SocketAddr>, NotReached> {
    let name = match host.place() {
        Place::Address(address) => return Ok(vec![SocketAddr::new(*address, host.port())]),
        Place::Name(name) => name.as_str(),
    };
    let found = timeout(deadline, lookup_host((name, host.port()))).await;
    let found = found.unwrap_or_else(|_| Err(late())).map_err(NotReached::Lookup)?;
    Ok(found.take(ADDRESSES_MAX).collect())
}

async fn open(address: SocketAddr, deadline: Duration) -> io::Result<TcpStream> {
    let stream = timeout(deadline, TcpStream::connect(address)).await.unwrap_or_else(|_| Err(late()))?;
    // A request is one small PDU that nothing follows: waiting for more to send would only delay it.
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

//! Probes whether ports accept connections, for checks by administrators.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use tokio::{task::JoinSet, time::timeout};

use crate::{
    connector::first_open,
    limits::{PORT_PROBE_LOOKUP_TIMEOUT, PORT_PROBE_TIMEOUT},
    names::Names,
};

/// Connects to all these endpoints (host and port) concurrently. Returns those that accept no connection within
/// [`PORT_PROBE_TIMEOUT`] at any address of the host, with the error. The lookup of a name has a timeout of its
/// own, [`PORT_PROBE_LOOKUP_TIMEOUT`].
pub async fn unreachable_ports(endpoints: BTreeSet<(String, u16)>) -> BTreeMap<(String, u16), io::Error> {
    let mut attempts = JoinSet::new();
    let names = Names::of_system();
    for (host, port) in endpoints {
        let names = names.clone();
        attempts.spawn(async move {
            let connected = async {
                let addresses = names.addresses(&host, port);
                let late = || io::Error::new(io::ErrorKind::TimedOut, "its name was not resolved in time");
                let addresses = timeout(PORT_PROBE_LOOKUP_TIMEOUT, addresses).await.unwrap_or_else(|_| Err(late()))?;
                first_open(&addresses, PORT_PROBE_TIMEOUT).await.map_err(|error| match error.kind() {
                    io::ErrorKind::TimedOut => io::Error::new(io::ErrorKind::TimedOut, "no answer"),
                    _ => error,
                })
            };
            let error = connected.await.err()?;
            Some(((host, port), error))
        });
    }
    attempts.join_all().await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_ports_that_accept_no_connection_are_reported() {
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let endpoint = |port: u16| ("127.0.0.1".to_owned(), port);
        let endpoints = BTreeSet::from([endpoint(open.local_addr().unwrap().port()), endpoint(closed)]);
        let unreachable = unreachable_ports(endpoints).await;
        assert_eq!(unreachable.keys().collect::<Vec<_>>(), [&endpoint(closed)]);
        assert_eq!(unreachable[&endpoint(closed)].kind(), io::ErrorKind::ConnectionRefused);
    }
}

//! Every address that a node listens on, bound before its data is opened.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use transport::{bind_udp, is_of_both_families, listen_tcp};

use super::error::StartError;
use crate::{config::Config, dns, lifecycle::live_settings};

/// The sockets of one node.
pub(super) struct Listeners {
    /// Port 1688, for clients.
    pub(super) clients: TcpListener,
    /// Port 1689, for peers.
    pub(super) peers: TcpListener,
    /// Port 1690, for remote administration; `None` where it is off.
    pub(super) admin: Option<TcpListener>,
    /// Port 9688, for metrics and the console; `None` where it is off.
    pub(super) http: Option<TcpListener>,
    /// The addresses of the node's own DNS server.
    pub(super) dns: Vec<dns::Sockets>,
}

impl Listeners {
    /// Binds all addresses. A second daemon that is started by mistake fails here.
    pub(super) fn bind(config: &Config) -> Result<Self, StartError> {
        let mut dns = Vec::new();
        let clients = listen_for_clients(config)?;
        let peers = listen("peers.listen", config.peers.listen)?;
        let admin = listen_if_set("admin.listen", config.admin.listen.get())?;
        let http = listen_if_set("metrics.listen", config.metrics.listen.get())?;
        for &address in &config.dns.serve {
            dns.push(listen_for_dns("dns.serve", address)?);
        }
        Ok(Self { clients, peers, admin, http, dns })
    }

    /// The addresses that are listened on, for the log: `clients [::]:1688 (IPv4 and IPv6), peers 10.0.0.1:1689,
    /// ...`.
    pub(super) fn described(&self) -> String {
        let described = |(name, listener): (&str, &TcpListener)| {
            let address = listener.local_addr().ok()?;
            let families = if is_of_both_families(address) { " (IPv4 and IPv6)" } else { "" };
            Some(format!("{name} {address}{families}"))
        };
        let ports = [("clients", &self.clients), ("peers", &self.peers)].into_iter();
        let more = [("admin", &self.admin), ("metrics", &self.http)].into_iter();
        let more = more.filter_map(|(name, listener)| Some((name, listener.as_ref()?)));
        let dns = self.dns.iter().map(|(_, connections)| ("dns", connections));
        ports.chain(more).chain(dns).filter_map(described).collect::<Vec<_>>().join(", ")
    }
}

fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    listen_tcp(address).map_err(|source| StartError::Listen { key, address, source })
}

fn listen_if_set(key: &'static str, address: Option<SocketAddr>) -> Result<Option<TcpListener>, StartError> {
    match address {
        Some(address) => listen(key, address).map(Some),
        None => Ok(None),
    }
}

/// Listens on the port that a setting of the cluster gave the node last, if it is free; otherwise on the configured
/// one.
fn listen_for_clients(config: &Config) -> Result<TcpListener, StartError> {
    if let Some(last) = live_settings::last_address(config)
        && let Ok(listener) = listen_tcp(last)
    {
        return Ok(listener);
    }
    listen("clients.listen", config.clients.listen)
}

/// Listens over UDP and TCP.
fn listen_for_dns(key: &'static str, address: SocketAddr) -> Result<dns::Sockets, StartError> {
    let connections = listen(key, address)?;
    let address = connections.local_addr().unwrap_or(address);
    let datagrams = bind_udp(address).map_err(|source| StartError::Listen { key, address, source })?;
    Ok((datagrams, connections))
}

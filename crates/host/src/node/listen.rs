//! Every address that a node listens on, taken before anything of its data is touched.

use std::net::SocketAddr;

use tokio::net::{TcpListener, UdpSocket};

use super::error::StartError;
use crate::{config::Config, dns, lifecycle::live_settings};

/// The sockets of one node.
pub(super) struct Listeners {
    /// Port 1688.
    pub(super) clients: TcpListener,
    /// Port 1689.
    pub(super) peers: TcpListener,
    /// Port 1690; `None` where administration is local only.
    pub(super) admin: Option<TcpListener>,
    /// Port 9688; `None` where it is off.
    pub(super) http: Option<TcpListener>,
    /// The node's own DNS server.
    pub(super) dns: Vec<dns::Sockets>,
}

impl Listeners {
    /// A second daemon that is started by mistake fails here.
    pub(super) async fn bind(config: &Config) -> Result<Self, StartError> {
        let mut dns = Vec::new();
        let clients = listen_for_clients(config).await?;
        let peers = listen("peers.listen", config.peers.listen).await?;
        let admin = listen_if_set("admin.listen", config.admin.listen.get()).await?;
        let http = listen_if_set("metrics.listen", config.metrics.listen.get()).await?;
        for &address in &config.dns.serve {
            dns.push(listen_for_dns("dns.serve", address).await?);
        }
        Ok(Self { clients, peers, admin, http, dns })
    }
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { key, address, source })
}

async fn listen_if_set(key: &'static str, address: Option<SocketAddr>) -> Result<Option<TcpListener>, StartError> {
    match address {
        Some(address) => listen(key, address).await.map(Some),
        None => Ok(None),
    }
}

/// On the port that a setting of the cluster gave the node last, if it is free; otherwise as configured.
async fn listen_for_clients(config: &Config) -> Result<TcpListener, StartError> {
    if let Some(last) = live_settings::last_address(config)
        && let Ok(listener) = TcpListener::bind(last).await
    {
        return Ok(listener);
    }
    listen("clients.listen", config.clients.listen).await
}

/// Over UDP and TCP.
async fn listen_for_dns(key: &'static str, address: SocketAddr) -> Result<dns::Sockets, StartError> {
    let connections = listen(key, address).await?;
    let address = connections.local_addr().unwrap_or(address);
    let datagrams = UdpSocket::bind(address).await.map_err(|source| StartError::Listen { key, address, source })?;
    Ok((datagrams, connections))
}

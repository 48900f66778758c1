//! Runs tonic over the simulated network, with the timeouts of production.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, stream};
use hyper::Uri;
use hyper_util::rt::TokioIo;
use replication::Connect;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::{Endpoint, server::Connected};
use turmoil::net::{TcpListener, TcpStream};

use crate::{chance::Chance, world::World};

/// The port on which a node serves clients.
pub(crate) const CLIENTS_PORT: u16 = 1688;
pub(crate) const PEERS_PORT: u16 = 1689;

/// The daemon's timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Host name of a node in the simulated network.
pub(crate) fn host(node: u64) -> String {
    format!("n{node}")
}

/// Address of a node's peer service, in the form that the membership holds.
pub(crate) fn peer_address(node: u64) -> String {
    format!("{}:{PEERS_PORT}", host(node))
}

/// Opens channels to other nodes. Some connections are opened twice, and the first one stays open and unused.
pub(crate) fn connect(world: World, seed: u64) -> Connect {
    let chance = Arc::new(Mutex::new(Chance::new(seed, "connections")));
    Arc::new(move |address| {
        let (world, chance) = (world.clone(), Arc::clone(&chance));
        let connector = tower::service_fn(move |uri: Uri| {
            let is_twice = chance.lock().unwrap_or_else(PoisonError::into_inner).percent(3);
            let world = world.clone();
            async move {
                let (host, port) = (uri.host().unwrap_or_default().to_owned(), uri.port_u16().unwrap_or(PEERS_PORT));
                let first = open(&host, port).await?;
                if !is_twice {
                    return Ok::<_, io::Error>(TokioIo::new(Doubled { used: first, _idle: None }));
                }
                world.fault("duplicate_connection", format_args!("to {host}"));
                let second = open(&host, port).await?;
                Ok(TokioIo::new(Doubled { used: second, _idle: Some(first) }))
            }
        });
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(endpoint.connect_with_connector_lazy(connector))
    })
}

async fn open(host: &str, port: u16) -> io::Result<TcpStream> {
    tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port))).await?
}

/// A connection, possibly with an unused one to the same address.
struct Doubled {
    used: TcpStream,
    _idle: Option<TcpStream>,
}

/// The accepted connections of a node's peer service.
pub(crate) async fn incoming() -> io::Result<impl Stream<Item = io::Result<Accepted>>> {
    let listener = TcpListener::bind(("0.0.0.0", PEERS_PORT)).await?;
    Ok(stream::unfold(listener, async |listener| {
        let accepted = listener.accept().await.map(|(stream, _)| Accepted(stream));
        Some((accepted, listener))
    }))
}

/// An accepted connection, in the type that tonic's server takes.
pub(crate) struct Accepted(TcpStream);

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

macro_rules! through {
    ($type:ty, $field:tt) => {
        impl AsyncRead for $type {
            fn poll_read(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                to: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$field).poll_read(context, to)
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$field).poll_write(context, bytes)
            }

            fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$field).poll_flush(context)
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$field).poll_shutdown(context)
            }
        }
    };
}

through!(Accepted, 0);
through!(Doubled, used);

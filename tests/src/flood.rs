//! Connections of a stranger, many of them, that say little and are opened again when they are closed.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::interval,
};

use crate::eventually;

/// How often a connection that was closed is opened again. The pace of an attacker; no test waits for it.
const REOPENING: Duration = Duration::from_millis(250);

/// Connects from `source`, an address of this machine.
///
/// # Errors
/// What the system says.
pub async fn connect_from(source: Ipv4Addr, target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    socket.connect(target).await
}

/// What a stranger does to one port. Dropped, it ends.
#[derive(Debug)]
pub struct Flood {
    _connections: JoinSet<()>,
    opened: Arc<AtomicUsize>,
}

impl Flood {
    /// Holds so many connections from each of `sources` to `target`, which send `bytes` and no more. Returns when each was open
    /// once.
    pub async fn begin(target: SocketAddr, sources: &[Ipv4Addr], of_each: usize, bytes: &'static [u8]) -> Self {
        let opened = Arc::new(AtomicUsize::new(0));
        let mut connections = JoinSet::new();
        for &source in sources {
            for _ in 0..of_each {
                connections.spawn(hold(source, target, bytes, Arc::clone(&opened)));
            }
        }
        let flood = Self { _connections: connections, opened };
        flood.more(sources.len() * of_each).await;
        flood
    }

    /// Waits until so many more connections were opened.
    pub async fn more(&self, connections: usize) {
        let enough = self.opened() + connections;
        eventually("the flood's connections are opened", async || (self.opened() >= enough).then_some(())).await;
    }

    /// Connections that were opened so far.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

async fn hold(source: Ipv4Addr, target: SocketAddr, bytes: &[u8], opened: Arc<AtomicUsize>) {
    let mut pace = interval(REOPENING);
    loop {
        pace.tick().await;
        let Ok(mut stream) = connect_from(source, target).await else { continue };
        opened.fetch_add(1, Ordering::Relaxed);
        let _closed = stream.write_all(bytes).await;
        // Until the other side closes it.
        while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
    }
}

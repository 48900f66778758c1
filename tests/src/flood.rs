//! Many connections that send little, and are opened again when the other side closes them.

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

/// Pause before a closed connection is opened again. It sets the pace of the attack; no test waits for it.
const REOPENING: Duration = Duration::from_millis(250);

/// Connects from `source`, an address of this machine.
///
/// # Errors
/// The error of the operating system.
pub async fn connect_from(source: Ipv4Addr, target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    socket.connect(target).await
}

/// A flood of connections to one port. It ends when it is dropped.
#[derive(Debug)]
pub struct Flood {
    _connections: JoinSet<()>,
    opened: Arc<AtomicUsize>,
}

impl Flood {
    /// Opens `of_each` connections from each of `sources` to `target`, which send `bytes` and then nothing. Returns
    /// when each connection was open once.
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

    /// Waits until this many more connections were opened.
    pub async fn more(&self, connections: usize) {
        let enough = self.opened() + connections;
        eventually("the flood's connections are opened", async || (self.opened() >= enough).then_some(())).await;
    }

    /// How many connections were opened so far.
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
        // Reads until the other side closes the connection.
        while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
    }
}

//! Proxies to a node's administration that lose the first reply.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::watch,
    task::JoinHandle,
};

use crate::loopback::free_port;

/// A proxy for a node's administration socket. Requests on the first connection reach the node, and its replies are
/// dropped; later connections are passed through.
#[derive(Debug)]
pub struct LostReply {
    path: PathBuf,
    is_broken: watch::Sender<bool>,
    serving: JoinHandle<io::Result<()>>,
}

impl LostReply {
    /// Opens the proxy at `path`, for the socket `node`.
    ///
    /// # Panics
    /// When no socket can be made at `path`.
    pub fn at(path: PathBuf, node: &Path) -> Self {
        let listener = UnixListener::bind(&path).expect("a socket of the test's own");
        let (is_broken, broken) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, node.to_owned(), broken));
        Self { path, is_broken, serving }
    }

    /// The proxy's address in the form that `--admin` takes.
    pub fn admin(&self) -> String {
        format!("unix:{}", self.path.display())
    }

    /// Closes the first connection.
    pub fn break_off(&self) {
        self.is_broken.send_replace(true);
    }
}

impl Drop for LostReply {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: UnixListener, node: PathBuf, mut broken: watch::Receiver<bool>) -> io::Result<()> {
    let (mut caller, _) = listener.accept().await?;
    let mut host = UnixStream::connect(&node).await?;
    {
        let (mut from_caller, _silent) = caller.split();
        let (mut from_host, mut to_host) = host.split();
        let there = tokio::io::copy(&mut from_caller, &mut to_host);
        let lost = async {
            let mut part = [0; 4096];
            while from_host.read(&mut part).await? > 0 {}
            io::Result::Ok(())
        };
        tokio::select! {
            done = broken.wait_for(|broken| *broken) => drop(done),
            done = async { tokio::join!(there, lost) } => drop(done),
        }
    }
    caller.shutdown().await?;
    drop((caller, host));
    loop {
        let (mut caller, _) = listener.accept().await?;
        let node = node.clone();
        tokio::spawn(async move {
            let mut host = UnixStream::connect(&node).await?;
            copy_bidirectional(&mut caller, &mut host).await
        });
    }
}

/// A proxy for a node's administration over the network. Requests on the first connection reach the node, and its
/// replies after the TLS handshake are dropped; later connections are passed through.
#[derive(Debug)]
pub struct LostReplyFromAfar {
    address: SocketAddr,
    is_broken: watch::Sender<bool>,
    serving: JoinHandle<io::Result<()>>,
}

impl LostReplyFromAfar {
    /// Opens the proxy for the address `node`.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn before(node: SocketAddr) -> Self {
        let listener = TcpListener::bind(free_port(Ipv4Addr::LOCALHOST)).await.expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let (is_broken, broken) = watch::channel(false);
        Self { address, is_broken, serving: tokio::spawn(serve_from_afar(listener, node, broken)) }
    }

    /// The proxy's address, HOST:PORT.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Closes the first connection.
    pub fn break_off(&self) {
        self.is_broken.send_replace(true);
    }
}

impl Drop for LostReplyFromAfar {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve_from_afar(listener: TcpListener, node: SocketAddr, mut broken: watch::Receiver<bool>) -> io::Result<()> {
    let (mut caller, _) = listener.accept().await?;
    let mut host = TcpStream::connect(node).await?;
    tokio::select! {
        done = broken.wait_for(|broken| *broken) => drop(done),
        done = lose_after_handshake(&mut caller, &mut host) => done?,
    }
    drop((caller, host));
    loop {
        let (mut caller, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut host = TcpStream::connect(node).await?;
            copy_bidirectional(&mut caller, &mut host).await
        });
    }
}

/// In a TLS 1.3 handshake the caller needs only the host's first flight (RFC 8446, section 2). What the host sends
/// after the caller's answer to it is the reply.
async fn lose_after_handshake(caller: &mut TcpStream, host: &mut TcpStream) -> io::Result<()> {
    let (mut has_shaken, mut has_answered) = (false, false);
    let (mut asked, mut told) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            read = caller.read(&mut asked) => match read? {
                0 => return Ok(()),
                read => {
                    has_answered |= has_shaken;
                    host.write_all(asked.get(..read).unwrap_or_default()).await?;
                }
            },
            read = host.read(&mut told) => match read? {
                0 => return Ok(()),
                read => {
                    has_shaken = true;
                    if !has_answered {
                        caller.write_all(told.get(..read).unwrap_or_default()).await?;
                    }
                }
            },
        }
    }
}

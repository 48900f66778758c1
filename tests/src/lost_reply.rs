//! A way to a node's administration on which the first reply is lost.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinHandle,
};

/// A socket in front of a node's own. What the first connection sends reaches the node, and nothing that the node answers
/// comes back; later connections are passed on.
#[derive(Debug)]
pub struct LostReply {
    path: PathBuf,
    is_broken: watch::Sender<bool>,
    serving: JoinHandle<io::Result<()>>,
}

impl LostReply {
    /// At `path`, in front of the socket `node`.
    ///
    /// # Panics
    /// When there can be no socket at `path`.
    pub fn at(path: PathBuf, node: &Path) -> Self {
        let listener = UnixListener::bind(&path).expect("a socket of the test's own");
        let (is_broken, broken) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, node.to_owned(), broken));
        Self { path, is_broken, serving }
    }

    /// As `--admin` takes it.
    pub fn admin(&self) -> String {
        format!("unix:{}", self.path.display())
    }

    /// Ends the first connection.
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

//! The sockets of the cluster's own zone: UDP and TCP.
//!
//! Invariant: work and memory per asker are bounded: one answer a datagram, answers to a network limited by second, connections
//! limited in number, time and questions; what is beyond is truncated or dropped, and asked again.

use std::sync::Arc;
use std::{io, time::Duration};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::answer::{answer, truncated};
use super::response_limit::{ResponseLimit, Verdict};
use super::zone::{Delegated, Snapshot};
use crate::limits::{CONNECTION_TIMEOUT, CONNECTIONS_MAX, QUESTION_BYTES_MAX, QUESTIONS_A_CONNECTION_MAX};

/// After an error of a whole socket (no descriptors left, a host that is unreachable), before it is used again.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers until it is dropped, always from the snapshot of that moment; with SERVFAIL while there is none, so that a
/// resolver asks another server.
///
/// The sockets should be bound to one address each, not to all: an answer to a datagram leaves from the address that the
/// system chooses, and an asker takes it only from the one it asked.
pub async fn serve(
    delegated: Delegated,
    snapshots: watch::Receiver<Option<Snapshot>>,
    datagrams: UdpSocket,
    connections: TcpListener,
) {
    let delegated = Arc::new(delegated);
    tokio::join!(
        serve_datagrams(&delegated, &snapshots, datagrams),
        serve_connections(&delegated, &snapshots, connections)
    );
}

async fn serve_datagrams(delegated: &Delegated, snapshots: &watch::Receiver<Option<Snapshot>>, socket: UdpSocket) {
    let mut question = [0; QUESTION_BYTES_MAX];
    let limit = ResponseLimit::default();
    loop {
        // Errors belong to one asker (its port is closed), save those that a pause may cure.
        let Ok((bytes, from)) = socket.recv_from(&mut question).await else {
            sleep(PAUSE).await;
            continue;
        };
        let message = question.get(..bytes).unwrap_or_default();
        let answered = match limit.verdict(from.ip()) {
            Verdict::Answer => answer(delegated, snapshots.borrow().as_ref(), message, false),
            Verdict::Truncate => truncated(message),
            Verdict::Drop => None,
        };
        if let Some(bytes) = answered {
            // Whoever does not get it asks again.
            let _ = socket.send_to(&bytes, from).await;
        }
    }
}

async fn serve_connections(
    delegated: &Arc<Delegated>,
    snapshots: &watch::Receiver<Option<Snapshot>>,
    listener: TcpListener,
) {
    // Dropped with this future, and every connection with it.
    let mut open = JoinSet::new();
    loop {
        while open.len() >= CONNECTIONS_MAX {
            open.join_next().await;
        }
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let (delegated, snapshots) = (Arc::clone(delegated), snapshots.clone());
                open.spawn(async move {
                    // Who is slow or breaks off is not waited for.
                    let _ = timeout(CONNECTION_TIMEOUT, converse(&delegated, &snapshots, stream)).await;
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn converse(
    delegated: &Delegated,
    snapshots: &watch::Receiver<Option<Snapshot>>,
    mut stream: TcpStream,
) -> io::Result<()> {
    for _ in 0..QUESTIONS_A_CONNECTION_MAX {
        let length = usize::from(stream.read_u16().await?);
        if length > QUESTION_BYTES_MAX {
            return Ok(());
        }
        let mut question = vec![0; length];
        stream.read_exact(&mut question).await?;
        let answered = answer(delegated, snapshots.borrow().as_ref(), &question, true);
        let Some(bytes) = answered else { return Ok(()) };
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat()).await?;
    }
    Ok(())
}

//! The sockets of the cluster's own zone: UDP and TCP.
//!
//! Invariant: never unbounded work or memory for one client: one answer for each datagram, a limit of answers per
//! second to each network, and connections limited in number, time and queries. Anything beyond is truncated or
//! dropped, and the client asks again.

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

/// The pause after an error of a whole socket (no file descriptors left, an unreachable host) before it is used
/// again.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers queries until it is dropped, always from the present snapshot; with SERVFAIL while there is none, so that
/// a resolver asks another server.
///
/// The sockets should be bound to one address each, not to all addresses: the system chooses the source address of
/// an answer to a datagram, and a client accepts the answer only from the address that it asked.
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
        // Most errors concern one client (its port is closed). A pause may resolve the others.
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
            // A client that does not receive the answer asks again.
            let _ = socket.send_to(&bytes, from).await;
        }
    }
}

async fn serve_connections(
    delegated: &Arc<Delegated>,
    snapshots: &watch::Receiver<Option<Snapshot>>,
    listener: TcpListener,
) {
    // Dropped with this future, which closes every connection.
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
                    // A slow client, or one that disconnects, is not waited for.
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

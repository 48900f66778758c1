//! The sockets of the cluster's own zone: UDP and TCP.
//!
//! Invariant: never unbounded work or memory for one client: one answer for each datagram, a limit of answers per
//! second to each network but for clients whose address a cookie proves, and connections limited in number, time and queries. Anything beyond is truncated or
//! dropped, and the client asks again.

use std::sync::Arc;
use std::{io, net::IpAddr, time::Duration};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::answer::{Query, answer, over_limit};
use super::cookies::Cookies;
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
    let serving = Arc::new(Serving { delegated, snapshots, cookies: Cookies::new() });
    tokio::join!(serve_datagrams(&serving, datagrams), serve_connections(&serving, connections));
}

/// What every query is answered from.
struct Serving {
    delegated: Delegated,
    snapshots: watch::Receiver<Option<Snapshot>>,
    cookies: Cookies,
}

impl Serving {
    fn answer(&self, query: &Query<'_>) -> Option<Vec<u8>> {
        answer(&self.delegated, self.snapshots.borrow().as_ref(), query)
    }
}

async fn serve_datagrams(serving: &Serving, socket: UdpSocket) {
    let mut question = [0; QUESTION_BYTES_MAX];
    let limit = ResponseLimit::default();
    loop {
        // Most errors concern one client (its port is closed). A pause may resolve the others.
        let Ok((bytes, from)) = socket.recv_from(&mut question).await else {
            sleep(PAUSE).await;
            continue;
        };
        let message = question.get(..bytes).unwrap_or_default();
        let cookie = serving.cookies.of(message, from.ip());
        let verdict = if cookie.is_valid() { Verdict::Answer } else { limit.verdict(from.ip()) };
        let query = Query { message, cookie, over_tcp: false };
        let answered = match verdict {
            Verdict::Answer => serving.answer(&query),
            Verdict::Truncate => over_limit(&query),
            Verdict::Drop => None,
        };
        if let Some(bytes) = answered {
            // A client that does not receive the answer asks again.
            let _ = socket.send_to(&bytes, from).await;
        }
    }
}

async fn serve_connections(serving: &Arc<Serving>, listener: TcpListener) {
    // Dropped with this future, which closes every connection.
    let mut open = JoinSet::new();
    loop {
        while open.len() >= CONNECTIONS_MAX {
            open.join_next().await;
        }
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, from)) => {
                let serving = Arc::clone(serving);
                open.spawn(async move {
                    // A slow client, or one that disconnects, is not waited for.
                    let _ = timeout(CONNECTION_TIMEOUT, converse(&serving, stream, from.ip())).await;
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn converse(serving: &Serving, mut stream: TcpStream, from: IpAddr) -> io::Result<()> {
    for _ in 0..QUESTIONS_A_CONNECTION_MAX {
        let length = usize::from(stream.read_u16().await?);
        if length > QUESTION_BYTES_MAX {
            return Ok(());
        }
        let mut question = vec![0; length];
        stream.read_exact(&mut question).await?;
        let cookie = serving.cookies.of(&question, from);
        let Some(bytes) = serving.answer(&Query { message: &question, cookie, over_tcp: true }) else { return Ok(()) };
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat()).await?;
    }
    Ok(())
}

//! Incoming connections: limited in all and for each source, each with a deadline for its handshake.

use std::{io, sync::Arc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use transport::accept_within;

use super::{
    connection::{Connection, ConnectionSlots},
    shared::stopped,
    sources::Sources,
};
use crate::limits::{CONNECTIONS_MAX, HANDSHAKE_DEADLINE};

/// The most connections with a finished handshake that wait to be served.
const WAITING_MAX: usize = 16;

/// Returns the future that accepts connections until the service is stopped, and the channel on which they
/// arrive.
pub(super) fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    sources: Sources,
    stopping: watch::Receiver<bool>,
) -> (impl Future<Output = ()>, mpsc::Receiver<io::Result<Connection>>) {
    let (ready, connections) = mpsc::channel(WAITING_MAX);
    let accepting = async move {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut handshakes = JoinSet::new();
        let stopped = stopped(stopping);
        tokio::pin!(stopped);
        loop {
            let accepted = tokio::select! {
                accepted = take(&listener, &slots, &sources) => accepted,
                () = &mut stopped => break,
                // Joining finished tasks frees their memory.
                Some(_) = handshakes.join_next() => continue,
            };
            let Some((stream, slots)) = accepted else { continue };
            let (acceptor, ready) = (acceptor.clone(), ready.clone());
            handshakes.spawn(async move {
                if let Some(connection) = handshake(stream, acceptor, slots).await {
                    // The send fails when the service is stopping, which then takes no more connections.
                    let _stopping = ready.send(Ok(connection)).await;
                }
            });
        }
    };
    (accepting, connections)
}

async fn take(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    sources: &Sources,
) -> Option<(TcpStream, ConnectionSlots)> {
    let ((stream, address), permit) = accept_within(slots, || listener.accept()).await?;
    let Some(slot) = sources.admit(address.ip()) else {
        tracing::debug!(source = %address.ip(), "a source has reached its limit of connections");
        return None;
    };
    Some((stream, (slot, permit)))
}

async fn handshake(stream: TcpStream, acceptor: TlsAcceptor, slots: ConnectionSlots) -> Option<Connection> {
    let address = stream.peer_addr().ok()?.ip();
    stream.set_nodelay(true).ok()?;
    match timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(Connection::new(stream, address, slots)),
        Ok(Err(error)) => {
            tracing::debug!(source = %address, %error, "the TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(source = %address, "the TLS handshake timed out");
            None
        }
    }
}

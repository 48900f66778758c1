//! Connections in: bounded in number, each with a deadline for its handshake.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    accepting::accept_within,
    certificate::Certificate,
    connection::{Caller, Connection},
    identity::PresentedIdentity,
    limits::{CONNECTIONS_MAX, HANDSHAKE_DEADLINE, HANDSHAKES_MAX, STRANGER_DEADLINE, STRANGERS_MAX},
    standing::Standing,
    trust::Audience,
};

/// What accepts connections for ever, and where they come out.
pub fn listen(
    listener: TcpListener,
    identity: Arc<PresentedIdentity>,
    audience: Audience,
    standing: Standing,
) -> (impl Future<Output = ()>, ReceiverStream<io::Result<Connection>>) {
    let (ready, connections) = mpsc::channel(1);
    let accepting = async move {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let turns = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
        let mut handshakes = JoinSet::new();
        loop {
            // A slot first: without one, connections wait in the system's queue instead of in our memory.
            let accepted = tokio::select! {
                accepted = take(&listener, &slots, &turns) => accepted,
                // Finished tasks give their memory back.
                Some(_) = handshakes.join_next() => continue,
                () = ready.closed() => break,
            };
            let Some((stream, address, slot, turn)) = accepted else { continue };
            let acceptor = TlsAcceptor::from(identity.now().server(audience));
            let (strangers, ready, standing) = (Arc::clone(&strangers), ready.clone(), standing.clone());
            handshakes.spawn(async move {
                if let Some(connection) = handshake((stream, address), acceptor, slot, &strangers, &standing).await {
                    drop(turn);
                    // A server that stops takes no more.
                    let _stopping = ready.send(Ok(connection)).await;
                }
            });
        }
    };
    (accepting, ReceiverStream::new(connections))
}

type Taken = (TcpStream, SocketAddr, OwnedSemaphorePermit, OwnedSemaphorePermit);

async fn take(listener: &TcpListener, slots: &Arc<Semaphore>, turns: &Arc<Semaphore>) -> Option<Taken> {
    let turn = Arc::clone(turns).acquire_owned().await.ok()?;
    let ((stream, address), slot) = accept_within(slots, || listener.accept()).await?;
    Some((stream, address, slot, turn))
}

async fn handshake(
    (stream, address): (TcpStream, SocketAddr),
    acceptor: TlsAcceptor,
    slot: OwnedSemaphorePermit,
    strangers: &Arc<Semaphore>,
    standing: &Standing,
) -> Option<Connection> {
    stream.set_nodelay(true).ok()?;
    let stream = match timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(source = %address, %error, "the TLS handshake failed");
            return None;
        }
        Err(_) => {
            tracing::debug!(source = %address, "the TLS handshake took too long");
            return None;
        }
    };
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let (certificate, mut slots, until) = match shown {
        None => {
            let Ok(slot) = Arc::clone(strangers).try_acquire_owned() else {
                tracing::debug!(source = %address, "too many callers without a certificate");
                return None;
            };
            (None, vec![slot], Some(Box::pin(sleep(STRANGER_DEADLINE))))
        }
        Some(certificate) => match Certificate::of(certificate) {
            Ok(certificate) => (Some(Arc::new(certificate)), Vec::new(), None),
            Err(error) => {
                tracing::warn!(source = %address, %error, "a caller was refused");
                return None;
            }
        },
    };
    slots.push(slot);
    let standing = standing.of_connection();
    Some(Connection { stream, caller: Caller { certificate, address }, until, standing, _slots: slots })
}

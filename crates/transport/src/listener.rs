//! Incoming connections: limited in number, in total and for each source, each with a deadline for its handshake.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    certificate::Certificate,
    connection::{Caller, Connection},
    connections::{ConnectionSlot, Connections, NotedStream},
    identity::PresentedIdentity,
    limits::{HANDSHAKE_DEADLINE, PRESSED_HANDSHAKE_DEADLINE, STRANGER_DEADLINE},
    standing::{IsKnown, Standing},
    trust::Audience,
};

/// Decides which connections are accepted, and which are kept open. Cheap to clone.
#[derive(Clone)]
pub struct Admission {
    /// The connections of the port.
    pub connections: Connections,
    /// Ends connections whose certificate is no longer accepted.
    pub standing: Standing,
    /// Whether the holder of a certificate is known; such connections are not closed for new ones. Called after the
    /// handshake, and whenever [`Admission::standing`] changes.
    pub is_known: IsKnown,
}

/// A future that accepts connections for ever, and the stream of the accepted connections.
pub fn listen(
    listener: TcpListener,
    identity: Arc<PresentedIdentity>,
    audience: Audience,
    admission: Admission,
) -> (impl Future<Output = ()>, ReceiverStream<io::Result<Connection>>) {
    let (ready, accepted) = mpsc::channel(1);
    let accepting = async move {
        let connections = &admission.connections;
        let mut handshakes = JoinSet::new();
        loop {
            let taken = tokio::select! {
                taken = connections.accept(&listener) => taken,
                // Releases the memory of finished tasks.
                Some(_) = handshakes.join_next() => continue,
                () = ready.closed() => break,
            };
            let Some((stream, address, slot)) = taken else { continue };
            let acceptor = TlsAcceptor::from(identity.now().server(audience));
            let deadline = if connections.is_pressed() { PRESSED_HANDSHAKE_DEADLINE } else { HANDSHAKE_DEADLINE };
            let (admission, ready) = (admission.clone(), ready.clone());
            handshakes.spawn(async move {
                let shaken = timeout(deadline, handshake((stream, address), acceptor, slot, admission)).await;
                let Ok(connection) = shaken else {
                    return tracing::debug!(source = %address, "the TLS handshake timed out");
                };
                if let Some(connection) = connection {
                    // A server that stops accepts no more connections.
                    let _stopping = ready.send(Ok(connection)).await;
                }
            });
        }
    };
    (accepting, ReceiverStream::new(accepted))
}

async fn handshake(
    (stream, address): (TcpStream, SocketAddr),
    acceptor: TlsAcceptor,
    mut slot: ConnectionSlot,
    Admission { standing, is_known, .. }: Admission,
) -> Option<Connection> {
    stream.set_nodelay(true).ok()?;
    let activity = slot.activity().clone();
    let shaken = tokio::select! {
        shaken = acceptor.accept(NotedStream::new(stream, activity.clone())) => shaken,
        () = slot.evicted() => {
            tracing::debug!(source = %address, "the TLS handshake was aborted: another connection needs its slot");
            return None;
        }
    };
    let stream = match shaken {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(source = %address, %error, "the TLS handshake failed");
            return None;
        }
    };
    // Subscribes to changes before `is_known` is called, so that a change in between is not missed.
    let standing = standing.of_connection();
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let (certificate, until) = match shown.map(Certificate::of) {
        None => (None, Some(Box::pin(sleep(STRANGER_DEADLINE)))),
        Some(Ok(certificate)) => {
            if is_known(&certificate) && !slot.is_known_now() {
                let subject = &certificate.subject;
                tracing::warn!(
                    source = %address,
                    %subject,
                    "a caller was refused: the limit on open connections is reached"
                );
                return None;
            }
            (Some(Arc::new(certificate)), None)
        }
        Some(Err(error)) => {
            tracing::warn!(source = %address, %error, "a caller was refused");
            return None;
        }
    };
    Some(Connection { stream, caller: Caller { certificate, address, activity }, until, standing, is_known, slot })
}

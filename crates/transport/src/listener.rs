//! Connections in: bounded in number, in all and for each source, each with a deadline for its handshake.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::pki_types::CertificateDer};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    connection::{Caller, Connection},
    connections::{ConnectionSlot, Connections, NotedStream},
    identity::{PresentedIdentity, validity_ms},
    limits::{HANDSHAKE_DEADLINE, PRESSED_HANDSHAKE_DEADLINE, STRANGER_DEADLINE},
    subject::Subject,
    trust::Audience,
};

/// Whether a certificate that was verified against the authorities, and names this subject, is known: its connection is not closed
/// for others.
pub type IsKnown = Arc<dyn Fn(&Subject, &CertificateDer<'_>) -> bool + Send + Sync>;

/// Who gets a connection, and who keeps it while others want one.
pub type Admission = (Connections, IsKnown);

/// What accepts connections for ever, and where they come out.
pub fn listen(
    listener: TcpListener,
    identity: Arc<PresentedIdentity>,
    audience: Audience,
    (connections, is_known): Admission,
) -> (impl Future<Output = ()>, ReceiverStream<io::Result<Connection>>) {
    let (ready, accepted) = mpsc::channel(1);
    let accepting = async move {
        let mut handshakes = JoinSet::new();
        loop {
            let taken = tokio::select! {
                taken = connections.accept(&listener) => taken,
                // Finished tasks give their memory back.
                Some(_) = handshakes.join_next() => continue,
                () = ready.closed() => break,
            };
            let Some((stream, address, slot)) = taken else { continue };
            let acceptor = TlsAcceptor::from(identity.now().server(audience));
            let deadline = if connections.is_pressed() { PRESSED_HANDSHAKE_DEADLINE } else { HANDSHAKE_DEADLINE };
            let (is_known, ready) = (Arc::clone(&is_known), ready.clone());
            handshakes.spawn(async move {
                let shaken = timeout(deadline, handshake(stream, address, acceptor, slot, &is_known)).await;
                let Ok(connection) = shaken else {
                    return tracing::debug!(source = %address, "the TLS handshake took too long");
                };
                if let Some(connection) = connection {
                    // A server that stops takes no more.
                    let _stopping = ready.send(Ok(connection)).await;
                }
            });
        }
    };
    (accepting, ReceiverStream::new(accepted))
}

async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    mut slot: ConnectionSlot,
    is_known: &IsKnown,
) -> Option<Connection> {
    stream.set_nodelay(true).ok()?;
    let activity = slot.activity().clone();
    let shaken = tokio::select! {
        shaken = acceptor.accept(NotedStream::new(stream, activity.clone())) => shaken,
        () = slot.evicted() => {
            tracing::debug!(source = %address, "the TLS handshake was cut short: another connection needs its slot");
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
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let (subject, ends_ms, until) = match shown {
        None => (None, 0, Some(Box::pin(sleep(STRANGER_DEADLINE)))),
        Some(certificate) => match (Subject::of(certificate), validity_ms(certificate)) {
            (Ok(subject), Ok((_, ends_ms))) => {
                if is_known(&subject, certificate) && !slot.is_known_now() {
                    tracing::warn!(source = %address, %subject, "a caller was refused: too many connections are open");
                    return None;
                }
                (Some(subject), ends_ms, None)
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(source = %address, %error, "a caller was refused");
                return None;
            }
        },
    };
    Some(Connection { stream, caller: Caller { subject, ends_ms, address, activity }, until, slot })
}

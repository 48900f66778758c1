//! One accepted connection: TLS over TCP, and its caller.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::{
    certificate::Certificate,
    connections::{Activity, ConnectionSlot, NotedStream},
    standing::{ConnectionStanding, IsKnown},
    subject::Subject,
};

/// The caller at the other end of a connection. It is in the extensions of every request on the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The certificate that the caller presented when the connection began, and that was verified then. It may end
    /// before the connection does. `None` if the caller presented none.
    pub certificate: Option<Arc<Certificate>>,
    /// The client address.
    pub address: SocketAddr,
    /// The activity of the connection: a server records each call of a caller without a certificate here.
    pub activity: Activity,
}

impl Caller {
    /// The subject of the certificate; `None` if the caller presented none.
    pub fn subject(&self) -> Option<&Subject> {
        self.certificate.as_ref().map(|certificate| &certificate.subject)
    }
}

/// A connection that was accepted.
pub struct Connection {
    pub(crate) stream: TlsStream<NotedStream<TcpStream>>,
    pub(crate) caller: Caller,
    /// When a connection without a certificate is closed.
    pub(crate) until: Option<Pin<Box<Sleep>>>,
    pub(crate) standing: ConnectionStanding,
    pub(crate) is_known: IsKnown,
    pub(crate) slot: ConnectionSlot,
}

impl Connection {
    /// The caller at the other end.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// An error if another connection needs the slot of this one.
    fn check_evicted(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.slot.poll_evicted(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(until) = &mut self.until
            && until.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.check_evicted(context)?;
        let Self { standing, is_known, slot, caller, .. } = &mut *self;
        if let Some(certificate) = &caller.certificate
            && let Poll::Ready(may_stay) = standing.poll_changed(certificate, context)
        {
            if !may_stay {
                tracing::info!(source = %caller.address, "closed a connection: its certificate is no longer valid");
                return Poll::Ready(Err(io::ErrorKind::PermissionDenied.into()));
            }
            if is_known(certificate) {
                // If the limit of known connections is reached, the connection stays counted as before.
                let _is_kept = slot.is_known_now();
            }
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_evicted(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_evicted(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_evicted(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

//! One connection: TLS over TCP, with its slots. It is closed when it has had no request for a while.
//!
//! Keep-alive detects peers that are gone, but not a peer that stays connected without requests. So requests are
//! recorded here ([`Activity`]), and reading ends when the last request is too long ago.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::sources::SourceSlot;
use crate::limits::IDLE_TIMEOUT;

pub(super) struct Connection<S = TlsStream<TcpStream>, P = ConnectionSlots> {
    stream: S,
    caller: Caller,
    idle: Pin<Box<Sleep>>,
    _slots: P,
}

/// The slots of a connection, which are released when it is closed.
pub(super) type ConnectionSlots = (SourceSlot, tokio::sync::OwnedSemaphorePermit);

/// The caller of a request: its address and its connection.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) address: IpAddr,
    activity: Arc<Mutex<Activity>>,
}

struct Activity {
    open: usize,
    last: Instant,
}

/// A request that is being answered.
pub(super) struct Open(Caller);

impl Caller {
    /// Records a request as open until the returned value is dropped.
    pub(super) fn open(&self) -> Open {
        self.activity().open += 1;
        Open(self.clone())
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut activity = self.0.activity();
        activity.open -= 1;
        activity.last = Instant::now();
    }
}

impl<S, P> Connection<S, P> {
    pub(super) fn new(stream: S, address: IpAddr, slots: P) -> Self {
        let last = Instant::now();
        let caller = Caller { address, activity: Arc::new(Mutex::new(Activity { open: 0, last })) };
        Self { stream, caller, idle: Box::pin(sleep_until(last + IDLE_TIMEOUT)), _slots: slots }
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.idle.as_mut().poll(context).is_ready() {
            let until = {
                let activity = self.caller.activity();
                if activity.open > 0 { Instant::now() + IDLE_TIMEOUT } else { activity.last + IDLE_TIMEOUT }
            };
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            self.idle.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl<S, P> Connected for Connection<S, P> {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl<S: AsyncRead + Unpin, P: Unpin> AsyncRead for Connection<S, P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            return Poll::Ready(read);
        }
        self.poll_idle(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin, P: Unpin> AsyncWrite for Connection<S, P> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        time::advance,
    };

    use super::*;

    const MOMENT: Duration = Duration::from_millis(10);

    fn connection() -> (Connection<DuplexStream, ()>, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64);
        (Connection::new(ours, IpAddr::from([192, 0, 2, 1]), ()), theirs)
    }

    /// Whether a read is still pending.
    async fn waits(connection: &mut Connection<DuplexStream, ()>) -> bool {
        let mut byte = [0];
        tokio::select! {
            biased;
            read = connection.read(&mut byte) => {
                assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
                false
            }
            () = std::future::ready(()) => true,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_requests_is_closed() {
        let (mut connection, _theirs) = connection();
        assert!(waits(&mut connection).await);
        advance(IDLE_TIMEOUT - MOMENT).await;
        assert!(waits(&mut connection).await);
        advance(2 * MOMENT).await;
        assert!(!waits(&mut connection).await);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_without_a_request_do_not_keep_it_open() {
        let (mut connection, mut theirs) = connection();
        advance(IDLE_TIMEOUT - MOMENT).await;
        theirs.write_all(b"x").await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap(), b'x');
        advance(2 * MOMENT).await;
        assert!(!waits(&mut connection).await);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_request_keeps_it_and_time_counts_from_the_end_of_the_last() {
        let (mut connection, _theirs) = connection();
        let open = connection.connect_info().open();
        advance(3 * IDLE_TIMEOUT).await;
        assert!(waits(&mut connection).await);
        drop(open);
        advance(IDLE_TIMEOUT - MOMENT).await;
        assert!(waits(&mut connection).await);
        advance(IDLE_TIMEOUT).await;
        assert!(!waits(&mut connection).await);
    }
}

//! One connection: TLS over TCP, with its places, closed when nothing was asked on it for a while.
//!
//! Keep-alive finds peers that are gone; it says nothing of one that stays and asks nothing. So requests are noted here
//! ([`Activity`]), and reading ends where the last one is too long ago.

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

use super::sources::Place;
use crate::limits::IDLE_TIMEOUT;

pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    caller: Caller,
    idle: Pin<Box<Sleep>>,
    _places: Places,
}

/// Given back when the connection is closed.
pub(super) type Places = (Place, tokio::sync::OwnedSemaphorePermit);

/// Who asks, on which connection.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) address: IpAddr,
    activity: Arc<Mutex<Activity>>,
}

struct Activity {
    open: usize,
    last: Instant,
}

/// A request under way.
pub(super) struct Open(Caller);

impl Caller {
    /// Notes a request, until what is returned is dropped.
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

impl Connection {
    pub(super) fn new(stream: TlsStream<TcpStream>, address: IpAddr, places: Places) -> Self {
        let last = Instant::now();
        let caller = Caller { address, activity: Arc::new(Mutex::new(Activity { open: 0, last })) };
        Self { stream, caller, idle: Box::pin(sleep_until(last + IDLE_TIMEOUT)), _places: places }
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
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            return Poll::Ready(read);
        }
        self.poll_idle(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
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

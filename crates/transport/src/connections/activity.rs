//! The activity of one connection: bytes that arrived on it, and calls that wait for their answers.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::Instant,
};

/// Value instead of the number of calls while the connection is being closed for another one.
const CLOSING: u32 = u32::MAX;

/// The activity of a connection. Shared between the server of the connection and the registry that may close it.
#[derive(Clone, Debug)]
pub struct Activity(Arc<State>);

#[derive(Debug)]
struct State {
    /// Origin of [`State::last_ms`].
    epoch: Instant,
    calls: AtomicU32,
    has_sent: AtomicBool,
    last_ms: AtomicU64,
    /// Notified when the last call is answered.
    idle: Arc<Notify>,
}

/// A call that waits for its answer; drop it when the call is answered. While it exists, its connection is not
/// closed for another one.
#[derive(Debug)]
pub struct Call(Option<Activity>);

/// Order of idle connections: the smallest is closed first.
pub(super) type Idleness = (bool, u64);

impl Activity {
    pub(super) fn new(epoch: Instant, idle: Arc<Notify>) -> Self {
        let activity = Self(Arc::new(State {
            epoch,
            calls: AtomicU32::new(0),
            has_sent: AtomicBool::new(false),
            last_ms: AtomicU64::new(0),
            idle,
        }));
        activity.moved();
        activity
    }

    /// Records that the other side sent bytes.
    pub fn received(&self) {
        self.0.has_sent.store(true, Ordering::Relaxed);
        self.moved();
    }

    /// Records a call, until the returned value is dropped.
    pub fn call(&self) -> Call {
        let counted = self.0.calls.fetch_update(Ordering::AcqRel, Ordering::Acquire, |calls| match calls {
            CLOSING => None,
            calls => Some(calls.saturating_add(1)),
        });
        Call(counted.is_ok().then(|| self.clone()))
    }

    fn moved(&self) {
        let ms = u64::try_from(self.0.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_ms.store(ms, Ordering::Relaxed);
    }

    /// How idle the connection is: a connection that never sent a byte comes before one that did, then the time of
    /// the last byte or answer decides. `None` while a call waits for its answer.
    pub(super) fn idleness(&self) -> Option<Idleness> {
        let is_idle = self.0.calls.load(Ordering::Acquire) == 0;
        is_idle.then(|| (self.0.has_sent.load(Ordering::Relaxed), self.0.last_ms.load(Ordering::Relaxed)))
    }

    /// Prevents new calls and returns true, if no call waits for its answer; otherwise returns false.
    pub(super) fn close(&self) -> bool {
        self.0.calls.compare_exchange(0, CLOSING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The activity of a connection that is in no registry.
impl Default for Activity {
    fn default() -> Self {
        Self::new(Instant::now(), Arc::default())
    }
}

/// Equal if both belong to the same connection.
impl PartialEq for Activity {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Activity {}

impl Drop for Call {
    fn drop(&mut self) {
        let Some(activity) = &self.0 else { return };
        activity.moved();
        if activity.0.calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            activity.0.idle.notify_one();
        }
    }
}

/// A stream that records in an [`Activity`] when it receives bytes.
#[derive(Debug)]
pub struct NotedStream<S> {
    stream: S,
    activity: Activity,
}

impl<S> NotedStream<S> {
    /// Records in `activity` when `stream` receives bytes.
    pub fn new(stream: S, activity: Activity) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for NotedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.received();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for NotedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
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
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

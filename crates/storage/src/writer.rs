//! The only way to write: group commit under one barrier.
//!
//! One thread takes the waiting writes, applies them as one atomic batch, flushes, syncs, and then calls back.
//! Writes that arrive while a barrier is in progress wait for the next one, so all of them share the cost of one
//! barrier. After the first failure every later write fails with the same cause: a node that cannot write to its
//! disk stops.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    batch::{Batch, Changes, Done},
    error::WriteFailed,
    limits::{QUEUED_WRITES_MAX, WRITES_PER_BARRIER_MAX},
    store::Store,
};

/// The name of the writing thread, as it appears in the log after a panic.
pub const WRITER_THREAD: &str = "store-writer";

struct Write {
    batch: Batch,
    /// Called after the barrier. `None` if no caller waits and the next barrier is early enough.
    done: Option<Done>,
}

/// A handle to the writing thread, which ends when its last handle is dropped.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Write>,
    failed: Arc<OnceLock<WriteFailed>>,
    under_way: UnderWay,
}

/// When the write that is in progress began; `None` if there is none.
type UnderWay = Arc<Mutex<Option<Instant>>>;

impl Writer {
    /// Starts the writing thread of `store`.
    pub fn start(store: Arc<Store>) -> io::Result<Self> {
        Self::start_timed(store, |_| {})
    }

    /// Starts the writing thread of `store`. `synced` is called on that thread with the duration of each barrier
    /// and the writes that it covers.
    pub fn start_timed(store: Arc<Store>, synced: impl Fn(Duration) + Send + 'static) -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel(QUEUED_WRITES_MAX);
        let failed = Arc::new(OnceLock::new());
        let cause = Arc::clone(&failed);
        let under_way = UnderWay::default();
        let began = Arc::clone(&under_way);
        let writer = thread::Builder::new().name(WRITER_THREAD.into());
        writer.spawn(move || write_all(&store, waiting, (&cause, &began), &synced))?;
        Ok(Self { queue, failed, under_way })
    }

    /// Queues `batch`; `done` is called on the writing thread when the batch is durable or has failed.
    pub async fn append(&self, batch: Batch, done: impl FnOnce(Result<(), WriteFailed>) + Send + 'static) {
        self.submit(batch, Some(Box::new(done))).await;
    }

    /// Queues `batch`. With `done` this is [`Self::append`]; without it the batch gets no barrier of its own, and is
    /// durable with the next batch that has a callback.
    pub(crate) async fn submit(&self, batch: Batch, done: Option<Done>) {
        self.send(Write { batch, done }).await;
    }

    /// Queues `batch` and waits until it is durable.
    pub async fn commit(&self, batch: Batch) -> Result<(), WriteFailed> {
        let (done, outcome) = oneshot::channel();
        self.append(batch, move |result| drop(done.send(result))).await;
        outcome.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// Queues `batch` without a barrier of its own: it is durable with the next write that has one. For data that
    /// can be derived again, such as the committed index of the log.
    pub async fn append_lazily(&self, batch: Batch) {
        self.submit(batch, None).await;
    }

    /// How long the current write has been in progress; zero if there is none.
    pub fn hanging_for(&self) -> Duration {
        let began = *self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// The first failed write; `None` if there was none.
    pub fn failure(&self) -> Option<&WriteFailed> {
        self.failed.get()
    }

    async fn send(&self, write: Write) {
        if let Err(mpsc::error::SendError(write)) = self.queue.send(write).await
            && let Some(done) = write.done
        {
            done(Err(self.stopped()));
        }
    }

    fn stopped(&self) -> WriteFailed {
        self.failed.get().cloned().unwrap_or_else(WriteFailed::stopped)
    }
}

fn write_all(
    store: &Store,
    mut waiting: mpsc::Receiver<Write>,
    (failed, under_way): (&OnceLock<WriteFailed>, &UnderWay),
    synced: &dyn Fn(Duration),
) {
    let mut writes = Vec::with_capacity(WRITES_PER_BARRIER_MAX);
    while waiting.blocking_recv_many(&mut writes, WRITES_PER_BARRIER_MAX) > 0 {
        #[cfg(feature = "fault-injection")]
        assert!(
            std::env::var_os("QUORATE_TEST_PANIC").is_none_or(|task| task != WRITER_THREAD),
            "a test injects a panic into {WRITER_THREAD}"
        );
        let mut changes = Changes::new();
        let mut callbacks = Vec::with_capacity(writes.len());
        for Write { batch, done } in writes.drain(..) {
            batch.add_to(&mut changes);
            callbacks.extend(done);
        }
        let began = Instant::now();
        *under_way.lock().unwrap_or_else(PoisonError::into_inner) = Some(began);
        let has_barrier = !callbacks.is_empty();
        let result = match failed.get() {
            Some(failure) => Err(failure.clone()),
            None => store.write(changes, has_barrier).map_err(|cause| {
                tracing::error!(
                    %cause,
                    store = %store.folder().display(),
                    "a write to the disk failed: no more writes are acknowledged"
                );
                failed.get_or_init(|| WriteFailed::new(cause)).clone()
            }),
        };
        *under_way.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if has_barrier && result.is_ok() {
            synced(began.elapsed());
        }
        for done in callbacks {
            done(result.clone());
        }
    }
}

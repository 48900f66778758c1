//! Read points that several callers share: each caller is served by the first read that began after its call.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// The number of calls so far, and the last read point.
#[derive(Debug)]
pub(crate) struct SharedReads<E> {
    /// The number of the next caller.
    next: AtomicU64,
    /// Locked by the caller that reads for all waiting callers; the others get the lock in the order of their
    /// calls.
    last: Mutex<Option<Served<E>>>,
}

/// A read point, for the callers that called before it began.
#[derive(Clone, Copy, Debug)]
struct Served<E> {
    /// Callers with a lower number are served by it.
    below: u64,
    result: Result<(), E>,
}

impl<E> Default for SharedReads<E> {
    fn default() -> Self {
        Self { next: AtomicU64::new(0), last: Mutex::new(None) }
    }
}

impl<E: Copy> SharedReads<E> {
    /// Runs `read`, or waits for that of another caller which began after this call.
    pub(crate) async fn serve(&self, read: impl Future<Output = Result<(), E>>) -> Result<(), E> {
        let own = self.next.fetch_add(1, Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if let Some(served) = last.filter(|served| own < served.below) {
            return served.result;
        }
        // Each of these callers called before the request to the leader, so the leader's reply covers what was
        // committed then.
        let below = self.next.load(Ordering::SeqCst);
        let result = read.await;
        *last = Some(Served { below, result });
        result
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::join_all};
    use tokio::sync::Notify;

    use super::*;
    use crate::replica::running::Unavailable;

    #[tokio::test]
    async fn callers_share_a_read_that_began_after_their_calls_and_no_earlier_one() {
        let (reads, begun, finish) = (SharedReads::<Unavailable>::default(), AtomicU64::new(0), Notify::new());
        let read = || async {
            begun.fetch_add(1, Ordering::SeqCst);
            finish.notified().await;
            Ok(())
        };
        let mut first = Box::pin(reads.serve(read()));
        assert!((&mut first).now_or_never().is_none());
        // The first read is in progress: it may not cover what is committed in the meantime.
        let mut others = Box::pin(join_all((0..100).map(|_| reads.serve(read()))));
        assert!((&mut others).now_or_never().is_none());
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        finish.notify_one();
        assert_eq!(first.await, Ok(()));
        assert!((&mut others).now_or_never().is_none());
        finish.notify_one();
        assert!(others.await.iter().all(Result::is_ok));
        assert_eq!(begun.load(Ordering::SeqCst), 2, "one for all that waited");
    }

    #[tokio::test]
    async fn a_read_whose_caller_was_dropped_is_made_by_the_next_caller() {
        let reads = SharedReads::default();
        let mut first = Box::pin(reads.serve(std::future::pending()));
        assert!((&mut first).now_or_never().is_none());
        let mut second = Box::pin(reads.serve(async { Err(Unavailable::NoLeader) }));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert_eq!(second.await, Err(Unavailable::NoLeader));
        assert_eq!(reads.serve(async { Ok(()) }).await, Ok(()), "a failure is not kept");
    }
}

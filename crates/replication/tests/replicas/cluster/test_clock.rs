//! Clocks that a test can set.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use replication::Clock;
use tokio::time::Instant;

use crate::world;

/// A wall clock that goes on from the beginning of all tests, and may be wrong.
pub(crate) struct TestClock {
    origin: Instant,
    error_ms: AtomicI64,
}

impl TestClock {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), error_ms: AtomicI64::new(0) }
    }

    /// From now on the wall clock is wrong by this much.
    pub(crate) fn set_error_ms(&self, error_ms: i64) {
        self.error_ms.store(error_ms, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn wall_ms(&self) -> u64 {
        let right_ms = world::START_MS + u64::try_from(self.origin.elapsed().as_millis()).unwrap();
        right_ms.checked_add_signed(self.error_ms.load(Ordering::Relaxed)).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

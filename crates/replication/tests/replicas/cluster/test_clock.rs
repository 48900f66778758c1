//! Clocks that a test can set.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::Duration,
};

use replication::Clock;
use tokio::time::Instant;

use crate::world;

/// A wall clock that runs from the common start time of all tests, and may be wrong.
pub(crate) struct TestClock {
    origin: Instant,
    error_ms: AtomicI64,
    is_synchronised: AtomicBool,
}

impl TestClock {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), error_ms: AtomicI64::new(0), is_synchronised: AtomicBool::new(false) }
    }

    /// Sets whether the operating system reports the clock as synchronised; at first it does not.
    pub(crate) fn set_synchronised(&self, is_synchronised: bool) {
        self.is_synchronised.store(is_synchronised, Ordering::Relaxed);
    }

    /// Sets the error of the wall clock, in milliseconds.
    pub(crate) fn set_error_ms(&self, error_ms: i64) {
        self.error_ms.store(error_ms, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn is_synchronised(&self) -> bool {
        self.is_synchronised.load(Ordering::Relaxed)
    }

    fn wall_ms(&self) -> u64 {
        let right_ms = world::START_MS + u64::try_from(self.origin.elapsed().as_millis()).unwrap();
        right_ms.checked_add_signed(self.error_ms.load(Ordering::Relaxed)).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

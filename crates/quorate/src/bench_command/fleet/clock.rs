//! The virtual clock of a run, for nodes and machines; it advances only when it is set.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use activation::lifecycle::Moment;
use replication::Clock;

/// Where every run begins: 2026-01-01T00:00:00Z, in milliseconds since 1970.
const START_MS: u64 = 1_767_225_600_000;

/// The virtual clock: milliseconds since the beginning of the run.
#[derive(Debug, Default)]
pub(super) struct VirtualClock {
    ms: AtomicU64,
}

impl VirtualClock {
    pub(super) fn set(&self, ms: u64) {
        self.ms.store(ms, Ordering::SeqCst);
    }

    /// The time `ms` into the run, as a machine sees it that was started when the run began.
    pub(super) fn moment(ms: u64) -> Moment {
        Moment { wall_ms: START_MS + ms, boot: Some([1; 16]), uptime_ms: ms }
    }
}

impl Clock for VirtualClock {
    fn is_synchronised(&self) -> bool {
        true
    }

    fn wall_ms(&self) -> u64 {
        START_MS + self.ms.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.ms.load(Ordering::SeqCst))
    }
}

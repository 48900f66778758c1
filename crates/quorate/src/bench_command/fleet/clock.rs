//! One clock for nodes and machines, which goes on when it is told to.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use activation::lifecycle::Moment;
use replication::Clock;

/// 2026-01-01, when every run begins.
const START_MS: u64 = 1_767_225_600_000;

/// Milliseconds since the beginning of the run.
#[derive(Debug, Default)]
pub(super) struct VirtualClock {
    ms: AtomicU64,
}

impl VirtualClock {
    pub(super) fn set(&self, ms: u64) {
        self.ms.store(ms, Ordering::SeqCst);
    }

    /// What a machine that runs since the beginning is told, at any moment of the run.
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

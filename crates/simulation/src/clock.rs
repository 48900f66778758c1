//! The clocks of the nodes, which may be wrong.

use std::time::Duration;

use replication::Clock;

use crate::{publisher::START_MS, world::World};

/// The wall clock and the monotonic clock of one node.
pub(crate) struct NodeClock {
    pub(crate) world: World,
    pub(crate) node: u64,
    /// True time when the node started, from which its monotonic clock counts.
    pub(crate) origin: Duration,
}

fn drifted(time: Duration, drift_ppm: i32) -> Duration {
    let nanos = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
    let nanos = nanos + nanos * i128::from(drift_ppm) / 1_000_000;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

impl Clock for NodeClock {
    fn wall_ms(&self) -> u64 {
        let error = self.world.clock_error(self.node);
        let shown = drifted(self.world.true_time(), error.drift_ppm);
        let shown = i128::from(START_MS) + i128::try_from(shown.as_millis()).unwrap_or(0) + i128::from(error.offset_ms);
        u64::try_from(shown).unwrap_or(0)
    }

    /// What a time synchronisation daemon would report: whether one runs, and the clock differs from true time by
    /// less than a minute.
    fn is_synchronised(&self) -> bool {
        let truth_ms = START_MS + u64::try_from(self.world.true_time().as_millis()).unwrap_or(0);
        self.world.synchronises_clocks() && self.wall_ms().abs_diff(truth_ms) < 60_000
    }

    fn monotonic(&self) -> Duration {
        drifted(self.world.true_time() - self.origin, self.world.clock_error(self.node).drift_ppm)
    }
}

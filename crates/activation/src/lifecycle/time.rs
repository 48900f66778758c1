//! How late it is, for a machine whose clock anybody may set.

use crate::limits::TIME_MS_MAX;

/// What a machine's clocks say at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, which may jump.
    pub wall_ms: u64,
    /// Which start of the system this is, where it can be told.
    pub boot: Option<[u8; 16]>,
    /// Time since then, sleep included; it never jumps.
    pub uptime_ms: u64,
}

/// Time as a machine reckons it: it never goes back, save to the signed time of a cluster.
///
/// Between two moments of one start of the system the uptime says how much passed at least; across starts, the uptime
/// since. The wall clock may say more and is believed, because a machine that was off has nothing else; where it says
/// less, it is not.
///
/// So a clock that is set back lengthens nothing. One that is set forward ends a term early, and [`Timeline::advance`]
/// says by how much nobody vouches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeline {
    pub(super) reckoned_ms: u64,
    pub(super) boot: Option<[u8; 16]>,
    pub(super) uptime_ms: u64,
}

impl Timeline {
    pub(super) fn begin(now: Moment) -> Self {
        Self { reckoned_ms: now.wall_ms.min(TIME_MS_MAX), boot: now.boot, uptime_ms: now.uptime_ms }
    }

    /// Moves on to `now`, and gives how far the wall clock alone moved it, in milliseconds.
    pub(super) fn advance(&mut self, now: Moment) -> u64 {
        let elapsed = match (self.boot, now.boot) {
            (Some(before), Some(now_is)) if before != now_is => now.uptime_ms,
            (Some(_), Some(_)) => now.uptime_ms.saturating_sub(self.uptime_ms),
            // Where starts cannot be told apart, there is the wall clock alone.
            _ => 0,
        };
        let vouched = self.reckoned_ms.saturating_add(elapsed).min(TIME_MS_MAX);
        self.reckoned_ms = vouched.max(now.wall_ms.min(TIME_MS_MAX));
        (self.boot, self.uptime_ms) = (now.boot, now.uptime_ms);
        self.reckoned_ms - vouched
    }

    /// A cluster says how late it is, and signed it.
    pub(super) fn correct(&mut self, cluster_time_ms: u64) {
        self.reckoned_ms = cluster_time_ms.min(TIME_MS_MAX);
    }
}

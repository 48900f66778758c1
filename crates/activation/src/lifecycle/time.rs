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

/// Time as a machine reckons it, from two times.
///
/// *Passed* is what the machine can tell: within one start of the system the uptime; across starts, how far the wall
/// clock moved, because a machine that was off has nothing else, and at least the uptime since. It never goes back, save
/// to the signed time of a cluster, so a clock that is set back lengthens nothing. *Reckoned* is the wall clock where that
/// is ahead of it: one that is set forward ends a term early, and when it comes back, so does the term. A clock that was
/// set while the machine was off cannot be told from time that passed: there a signed answer is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeline {
    pub(super) passed_ms: u64,
    pub(super) wall_ms: u64,
    pub(super) boot: Option<[u8; 16]>,
    pub(super) uptime_ms: u64,
}

impl Timeline {
    pub(super) fn begin(now: Moment) -> Self {
        let wall_ms = now.wall_ms.min(TIME_MS_MAX);
        Self { passed_ms: wall_ms, wall_ms, boot: now.boot, uptime_ms: now.uptime_ms }
    }

    pub(super) fn reckoned_ms(&self) -> u64 {
        self.passed_ms.max(self.wall_ms)
    }

    /// Moves on to `now`, and gives for how much of it the uptime vouches, in milliseconds.
    pub(super) fn advance(&mut self, now: Moment) -> u64 {
        let wall_ms = now.wall_ms.min(TIME_MS_MAX);
        let is_same_start = self.boot.is_some() && self.boot == now.boot;
        let is_other_start = self.boot.is_some() && now.boot.is_some() && !is_same_start;
        let vouched_ms = match now.uptime_ms.checked_sub(self.uptime_ms) {
            Some(since_ms) if !is_other_start => since_ms,
            None if is_same_start => 0,
            // Another start, as far as can be told.
            _ => now.uptime_ms,
        };
        // A clock that was behind catches up before its movement counts.
        let moved_ms = wall_ms.saturating_sub(self.reckoned_ms());
        let elapsed_ms = if is_same_start { vouched_ms } else { vouched_ms.max(moved_ms) };
        self.passed_ms = self.passed_ms.saturating_add(elapsed_ms).min(TIME_MS_MAX);
        (self.wall_ms, self.boot, self.uptime_ms) = (wall_ms, now.boot, now.uptime_ms);
        vouched_ms
    }

    /// A cluster says how late it is, and signed it.
    pub(super) fn correct(&mut self, cluster_time_ms: u64) {
        self.passed_ms = cluster_time_ms.min(TIME_MS_MAX);
        self.wall_ms = self.passed_ms;
    }
}

/// When something is due: once either time reaches it. Both are kept, so that what began while the clock was ahead is not
/// put off when the clock comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) passed_ms: u64,
    pub(super) reckoned_ms: u64,
}

impl Due {
    pub(super) fn after(timeline: &Timeline, ms: u64) -> Self {
        let later = |from: u64| from.saturating_add(ms).min(TIME_MS_MAX);
        Self { passed_ms: later(timeline.passed_ms), reckoned_ms: later(timeline.reckoned_ms()) }
    }

    pub(super) fn on(time_ms: u64) -> Self {
        Self { passed_ms: time_ms, reckoned_ms: time_ms }
    }

    /// No longer away than this.
    pub(super) fn within(self, timeline: &Timeline, ms: u64) -> Self {
        self.min(Self::after(timeline, ms))
    }

    pub(super) fn min(self, other: Self) -> Self {
        let Self { passed_ms, reckoned_ms } = other;
        Self { passed_ms: self.passed_ms.min(passed_ms), reckoned_ms: self.reckoned_ms.min(reckoned_ms) }
    }

    /// 0 once it is reached.
    pub(super) fn left_ms(self, timeline: &Timeline) -> u64 {
        let left_ms = self.passed_ms.saturating_sub(timeline.passed_ms);
        left_ms.min(self.reckoned_ms.saturating_sub(timeline.reckoned_ms()))
    }

    /// How long ago it was reached.
    pub(super) fn over_ms(self, timeline: &Timeline) -> u64 {
        let over_ms = timeline.passed_ms.saturating_sub(self.passed_ms);
        over_ms.max(timeline.reckoned_ms().saturating_sub(self.reckoned_ms))
    }
}

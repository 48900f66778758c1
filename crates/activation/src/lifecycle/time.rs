//! Elapsed time on a machine whose wall clock any local user or program may set.

use crate::limits::TIME_MS_MAX;

/// The readings of a machine's clocks at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, which may jump, in milliseconds since 1970.
    pub wall_ms: u64,
    /// The id of this start of the system, where it is known.
    pub boot: Option<[u8; 16]>,
    /// Time since this start of the system, sleep included, in milliseconds; it never jumps.
    pub uptime_ms: u64,
}

/// The machine's time, computed from two times.
///
/// *Passed* is the time that the machine can confirm. Within one start of the system it advances by the uptime.
/// Across starts it advances by how far the wall clock moved, because a machine that was off has no other measure,
/// and at least by the uptime since the start. It never goes back, except to the signed time of a cluster, so a
/// clock that is set back lengthens no term. *Reckoned* is the wall clock where that is ahead of *passed*: a clock
/// that is set forward ends a term early, and when the clock is set back, the term is restored. A clock that was set
/// while the machine was off cannot be distinguished from elapsed time; only a signed answer corrects that.
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

    /// Advances to `now`. Returns how much of the advance the uptime confirms, in milliseconds.
    pub(super) fn advance(&mut self, now: Moment) -> u64 {
        let wall_ms = now.wall_ms.min(TIME_MS_MAX);
        let is_same_start = self.boot.is_some() && self.boot == now.boot;
        let is_other_start = self.boot.is_some() && now.boot.is_some() && !is_same_start;
        let vouched_ms = match now.uptime_ms.checked_sub(self.uptime_ms) {
            Some(since_ms) if !is_other_start => since_ms,
            None if is_same_start => 0,
            // Another start of the system, as far as the machine can determine.
            _ => now.uptime_ms,
        };
        // A clock that was behind first catches up; only movement beyond that counts.
        let moved_ms = wall_ms.saturating_sub(self.reckoned_ms());
        let elapsed_ms = if is_same_start { vouched_ms } else { vouched_ms.max(moved_ms) };
        self.passed_ms = self.passed_ms.saturating_add(elapsed_ms).min(TIME_MS_MAX);
        (self.wall_ms, self.boot, self.uptime_ms) = (wall_ms, now.boot, now.uptime_ms);
        vouched_ms
    }

    /// Sets both times to the time that a cluster signed.
    pub(super) fn correct(&mut self, cluster_time_ms: u64) {
        self.passed_ms = cluster_time_ms.min(TIME_MS_MAX);
        self.wall_ms = self.passed_ms;
    }
}

/// When something is due: as soon as either time reaches its value. Both are kept, so that a due time that was set
/// while the clock was ahead is not postponed when the clock is set back.
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

    /// Limits the due time to at most `ms` from now.
    pub(super) fn within(self, timeline: &Timeline, ms: u64) -> Self {
        self.min(Self::after(timeline, ms))
    }

    pub(super) fn min(self, other: Self) -> Self {
        let Self { passed_ms, reckoned_ms } = other;
        Self { passed_ms: self.passed_ms.min(passed_ms), reckoned_ms: self.reckoned_ms.min(reckoned_ms) }
    }

    /// Milliseconds until it is due; 0 once it is reached.
    pub(super) fn left_ms(self, timeline: &Timeline) -> u64 {
        let left_ms = self.passed_ms.saturating_sub(timeline.passed_ms);
        left_ms.min(self.reckoned_ms.saturating_sub(timeline.reckoned_ms()))
    }

    /// Milliseconds since it was due.
    pub(super) fn over_ms(self, timeline: &Timeline) -> u64 {
        let over_ms = timeline.passed_ms.saturating_sub(self.passed_ms);
        over_ms.max(timeline.reckoned_ms().saturating_sub(self.reckoned_ms))
    }
}

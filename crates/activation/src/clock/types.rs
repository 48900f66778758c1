//! Inputs and results of the clocks.

use thiserror::Error;

/// The times that the leader writes into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub time_ms: u64,
    pub skew: SkewReference,
    /// The new value of the clock of expiry, in milliseconds since 1970; `None` in formats 1 and 2.
    pub expiry_ms: Option<u64>,
}

/// The times in the replicated state. Both are absent before the first batch; the clock of expiry is also absent in
/// formats 1 and 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub time_ms: Option<u64>,
    pub expiry_ms: Option<u64>,
}

/// The time with which the client clocks of a batch are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkewReference {
    /// The batch's own time stamp.
    ClusterTime,
    /// Another time: since format 3 the voters' median; before that the median while an alarm holds cluster time
    /// back.
    Other(u64),
    /// No comparison, because no majority of the voters' clocks is known.
    LeaveOut,
}

/// Cluster time was never set, and no majority of the voters' clocks is known to set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("cluster time was never set, and the clocks of a majority of the nodes are not known yet")]
pub struct NoTime;

/// A clock problem that an administrator must resolve. Its kind follows from the two times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockAlarm {
    /// The clock of expiry, or cluster time in formats 1 and 2; cluster time where that is ahead of the clocks.
    pub previous_ms: u64,
    /// The time that the clocks show.
    pub target_ms: u64,
    /// The number of clocks that were sampled.
    pub samples: usize,
}

/// The kinds of [`ClockAlarm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockAlarmKind {
    /// The clocks jumped so far that nothing expires until an administrator accepts them or synchronised clocks
    /// confirm them.
    Jump,
    /// Cluster time is ahead of the clocks; an administrator has to reset it.
    Ahead,
}

impl ClockAlarm {
    #[must_use]
    pub fn kind(&self) -> ClockAlarmKind {
        if self.target_ms < self.previous_ms { ClockAlarmKind::Ahead } else { ClockAlarmKind::Jump }
    }
}

//! What clocks are asked, and what they answer.

use thiserror::Error;

/// What the leader writes into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub time_ms: u64,
    pub skew: SkewReference,
    /// Where the clock of expiry goes; none in formats 1 and 2.
    pub expiry_ms: Option<u64>,
}

/// The replicated times; absent before the first batch, and the second one in formats 1 and 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub time_ms: Option<u64>,
    pub expiry_ms: Option<u64>,
}

/// What the clients' clocks of a batch are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkewReference {
    /// The batch's own time.
    ClusterTime,
    /// Another time: the voters' median since format 3, before that while an alarm holds cluster time back.
    Other(u64),
    /// Nothing: no majority says what time it is.
    LeaveOut,
}

/// Cluster time was never set, and no majority of clocks can set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no majority of the nodes' clocks is known yet, and cluster time was never set")]
pub struct NoTime;

/// What an administrator has to look at. The kind follows from the two times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockAlarm {
    /// Where the clock of expiry stands, or cluster time in formats 1 and 2; cluster time where it is ahead of the clocks.
    pub previous_ms: u64,
    /// Where the clocks say that it should be.
    pub target_ms: u64,
    /// How many clocks were asked.
    pub samples: usize,
}

/// The kinds of [`ClockAlarm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockAlarmKind {
    /// The clocks went so far that nothing expires until an administrator accepts them, or synchronised clocks confirm it.
    Jump,
    /// Cluster time is ahead of the clocks: an administrator resets it.
    Ahead,
}

impl ClockAlarm {
    #[must_use]
    pub fn kind(&self) -> ClockAlarmKind {
        if self.target_ms < self.previous_ms { ClockAlarmKind::Ahead } else { ClockAlarmKind::Jump }
    }
}

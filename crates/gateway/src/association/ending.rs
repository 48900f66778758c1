//! The two sides of an association, and how it ended.

use crate::failure::Failure;

/// The two ends of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Upstream,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }
}

/// How an association ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides closed.
    Finished,
    /// The client reset its connection.
    ClientGone,
    /// No upstream can be used.
    NoUpstream,
    /// Every upstream that was tried refused the bind; the client got the last refusal.
    Refused,
    /// The upstream failed after its bind_ack was passed on.
    Failed(Failure),
    /// No byte passed for the idle time.
    Idle,
    /// A side did not finish or did not take a PDU before the deadline.
    Slow(Side),
    /// A side sent a fragment that is shorter than its header.
    Malformed(Side),
    /// The node stops.
    Stopped,
    /// The caller dropped the association, to use its slot for another connection.
    Dropped,
}

impl Ending {
    /// Name for events and labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::ClientGone => "client_gone",
            Self::NoUpstream => "no_upstream",
            Self::Refused => "refused",
            Self::Failed(_) => "upstream_failed",
            Self::Idle => "idle",
            Self::Slow(Side::Client) => "client_slow",
            Self::Slow(Side::Upstream) => "upstream_slow",
            Self::Malformed(Side::Client) => "client_malformed",
            Self::Malformed(Side::Upstream) => "upstream_malformed",
            Self::Stopped => "stopped",
            Self::Dropped => "dropped",
        }
    }
}

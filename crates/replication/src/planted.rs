//! Bugs that the simulation plants, to prove that its oracle detects them. A build without the feature
//! `fault-injection` can plant none.

/// A bug in this crate. Each recreates a mistake that was made in this project or in another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A read point is what this node has applied, without confirmation by a majority.
    StaleRead,
    /// Every entry is applied twice.
    DoubleApply,
    /// One batch in sixteen is answered but not kept in the state.
    LostBatch,
    /// A snapshot that was built may replace a newer one that was installed in the meantime.
    OldSnapshot,
    /// A vote is granted before it is durable.
    VoteNotDurable,
    /// Nodes with even numbers apply each batch with a stamp that is one millisecond later.
    DivergentApply,
    /// A new leader stamps batches before it has applied the first entry of its term.
    EarlyStamp,
    /// No digest covers the index and the membership in a snapshot file.
    SnapshotWithoutIndex,
    /// A node is ready although no majority confirmed its leader.
    UnconfirmedReady,
    /// The start gate admits every node, and remembers no start.
    OpenGate,
    /// A node whose state has diverged may lead.
    DivergedLeads,
}

/// The bug that is planted in a replica, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    #[cfg(feature = "fault-injection")]
    bug: Option<Bug>,
}

impl Planted {
    /// No bug.
    pub const NONE: Self = Self {
        #[cfg(feature = "fault-injection")]
        bug: None,
    };

    /// Plants only this bug.
    #[cfg(feature = "fault-injection")]
    pub fn new(bug: Option<Bug>) -> Self {
        Self { bug }
    }

    /// Whether `bug` is planted.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn has(self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Whether `bug` is planted: always `false` in this build.
    #[cfg(not(feature = "fault-injection"))]
    pub(crate) fn has(self, _bug: Bug) -> bool {
        false
    }
}

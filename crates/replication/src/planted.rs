//! Bugs that the simulation plants, to show that its oracle finds them. In a build without the feature `fault-injection`
//! none can be planted.

/// A bug in this crate. Each brings back a mistake that was made here or elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A read point is what this node has applied, and no majority is asked.
    StaleRead,
    /// Every entry is applied twice.
    DoubleApply,
    /// One batch in sixteen is answered, and not kept in the state.
    LostBatch,
    /// A snapshot that was built may replace a newer one that was installed meanwhile.
    OldSnapshot,
    /// A vote is granted before it is durable.
    VoteNotDurable,
    /// Nodes with even numbers stamp what they apply one millisecond later.
    DivergentApply,
    /// A new leader stamps batches before it has applied the first entry of its term.
    EarlyStamp,
    /// The index and the membership in a snapshot file are not covered by a digest.
    SnapshotWithoutIndex,
    /// A node is ready although no majority confirmed its leader.
    UnconfirmedReady,
    /// The start gate lets every node in, and remembers nobody.
    OpenGate,
    /// A node whose state is known to differ may lead.
    DivergedLeads,
}

/// The bug that is planted in a replica, if any.
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

    /// Nothing but this bug.
    #[cfg(feature = "fault-injection")]
    pub fn new(bug: Option<Bug>) -> Self {
        Self { bug }
    }

    /// Whether `bug` is planted.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn has(self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Whether `bug` is planted: never in this build.
    #[cfg(not(feature = "fault-injection"))]
    pub(crate) fn has(self, _bug: Bug) -> bool {
        false
    }
}

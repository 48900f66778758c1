//! Planted bugs: each one brings back a mistake, to show that the oracle finds it.

use replication::Bug;

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// The disk reports success for a barrier that it did not carry out.
    SkippedFsync,
    /// A bug in the product, behind a switch.
    Product(Bug),
}

/// All bugs: name, bug, and within how many seeds the oracle must find it.
pub(crate) const PLANTS: [(&str, Plant, u64); 12] = [
    ("skipped_fsync", Plant::SkippedFsync, 10),
    ("stale_read", Plant::Product(Bug::StaleRead), 20),
    ("double_apply", Plant::Product(Bug::DoubleApply), 5),
    ("lost_batch", Plant::Product(Bug::LostBatch), 5),
    ("older_snapshot", Plant::Product(Bug::OldSnapshot), 40),
    ("vote_not_durable", Plant::Product(Bug::VoteNotDurable), 20),
    ("divergent_apply", Plant::Product(Bug::DivergentApply), 5),
    ("early_stamp", Plant::Product(Bug::EarlyStamp), 40),
    ("snapshot_without_index", Plant::Product(Bug::SnapshotWithoutIndex), 40),
    ("learner_says_ready", Plant::Product(Bug::UnconfirmedReady), 40),
    ("open_gate", Plant::Product(Bug::OpenGate), 10),
    ("diverged_leads", Plant::Product(Bug::DivergedLeads), 10),
];

impl Plant {
    pub(crate) fn named(name: &str) -> Option<Self> {
        PLANTS.iter().find(|(known, ..)| *known == name).map(|(_, plant, _)| *plant)
    }

    /// The scenario that shows the bug, where random faults do not.
    pub(crate) fn scenario(self) -> Option<&'static str> {
        (self == Self::Product(Bug::DivergedLeads)).then_some("diverged_node")
    }

    /// The switch in the product, for a bug of the product.
    pub(crate) fn bug(self) -> Option<Bug> {
        match self {
            Self::SkippedFsync => None,
            Self::Product(bug) => Some(bug),
        }
    }
}

//! What administrators ask of the cluster: commands, the clock, the membership, leadership.

use std::{collections::BTreeMap, time::Duration};

use activation::state::{Command as Domain, Format};

use crate::{
    leader::{
        handover,
        proposal::{Change, Proposal, Proposed},
        propose,
    },
    limits::{MEMBERSHIP_DEADLINE, PROPOSE_DEADLINE},
    replica::{
        Replica,
        bootstrap::{self, BootstrapError},
        running::Unavailable,
    },
};

/// Why an administrator's command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// The state machine refused it.
    #[error("{0}")]
    Refused(String),
    /// No leader took it in time.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Replica {
    /// Forms a cluster of `addresses` (node number to HOST:PORT of its peer service), this node among them.
    ///
    /// Waits until all of them answer, up to `deadline`; refused where one of them belongs to a cluster already. The cluster
    /// writes the newest format that all of them read.
    pub async fn bootstrap(&self, addresses: &BTreeMap<u64, String>, deadline: Duration) -> Result<(), BootstrapError> {
        let format = bootstrap::bootstrap(&self.0, addresses, deadline).await?;
        if format > Format::OLDEST
            && let Err(error) = self.propose(&Domain::SetFormat { format }).await
        {
            // The cluster is formed and counts; only the format stays the oldest.
            tracing::warn!(%error, "the cluster writes format {}: `quorate cluster format set {format}`", Format::OLDEST);
        }
        Ok(())
    }

    /// Carries out an administrator's command; returns the index of its entry.
    pub async fn propose(&self, command: &Domain) -> Result<u64, ProposeError> {
        let command = command.encode();
        self.propose_to_leader(|| Proposal::Command(command.clone())).await
    }

    /// Takes the jump of the clocks that raised the alarm.
    pub async fn accept_clock(&self) -> Result<u64, ProposeError> {
        self.propose_to_leader(|| Proposal::AcceptClock).await
    }

    /// Sets cluster time to the median of the voters' clocks, also backwards.
    pub async fn reset_clock(&self) -> Result<u64, ProposeError> {
        self.propose_to_leader(|| Proposal::ResetClock).await
    }

    /// Makes the node that runs at `address` a member: a learner that catches up, and a voter where one more is useful.
    /// Returns when it has caught up.
    pub async fn add(&self, node: u64, address: &str) -> Result<u64, ProposeError> {
        self.change(Change::Add { node, address: address.into() }).await
    }

    /// Takes a node out of the cluster, this one too. Whoever takes its vote has it before it goes.
    pub async fn remove(&self, node: u64) -> Result<u64, ProposeError> {
        self.change(Change::Remove { node }).await
    }

    /// Gives a learner a vote: that of another one, of one that is gone, or one that was missing.
    pub async fn promote(&self, node: u64, instead_of: Option<u64>) -> Result<u64, ProposeError> {
        self.change(Change::Promote { node, instead_of }).await
    }

    async fn change(&self, change: Change) -> Result<u64, ProposeError> {
        self.propose_within(MEMBERSHIP_DEADLINE, || Proposal::Change(change.clone())).await
    }

    /// Makes `to` the leader; returns when this node sees it lead.
    pub async fn transfer_leader(&self, to: u64) -> Result<(), Unavailable> {
        handover::transfer(&self.0, to).await
    }

    async fn propose_to_leader(&self, proposal: impl Fn() -> Proposal) -> Result<u64, ProposeError> {
        self.propose_within(PROPOSE_DEADLINE, proposal).await
    }

    async fn propose_within(&self, deadline: Duration, proposal: impl Fn() -> Proposal) -> Result<u64, ProposeError> {
        let proposed = self.retrying(deadline, || async {
            match propose::once(&self.0, proposal()).await {
                Proposed::Committed { log_index } => Some(Ok(log_index)),
                Proposed::Refused(why) => Some(Err(ProposeError::Refused(why))),
                Proposed::Retry => None,
            }
        });
        proposed.await?
    }
}

//! What administrators ask of the cluster: commands, the clock, the membership, leadership.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use activation::state::{Command as Domain, Format, RequestId, State};

use crate::{
    leader::{
        handover,
        proposal::{Change, Proposal, Proposed},
        propose,
    },
    limits::{MEMBERSHIP_DEADLINE, PROPOSE_DEADLINE, REJOIN_DEADLINE},
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
    /// It was written, and leadership was lost before it was known what became of it. Since format 3 it would have been asked
    /// again; below it a command that is asked twice may be carried out twice.
    #[error(
        "whether this was carried out is not known: leadership was lost meanwhile. Look at what it should have changed before \
         you repeat it"
    )]
    Unknown,
}

impl Replica {
    /// Forms a cluster of `addresses` (node number to HOST:PORT of its peer service), this node among them.
    ///
    /// Waits until all of them answer, up to `deadline`; refused where one of them belongs to a cluster already. The cluster
    /// writes the newest format that all of them read.
    pub async fn bootstrap(&self, addresses: &BTreeMap<u64, String>, deadline: Duration) -> Result<(), BootstrapError> {
        let format = bootstrap::bootstrap(&self.0, addresses, deadline).await?;
        if format > Format::OLDEST
            && let Err(error) = self.set_first_format(format).await
        {
            // The cluster is formed and counts; only the format stays the oldest.
            tracing::warn!(%error, "the cluster writes format {}: `quorate cluster format set {format}`", Format::OLDEST);
        }
        Ok(())
    }

    /// Carries a command out once; returns the index of its entry.
    pub async fn propose(&self, command: &Domain) -> Result<u64, ProposeError> {
        self.propose_once(self.0.request_id(), command).await
    }

    /// The same for a request with this id, which the caller may repeat: it is carried out once all the same, since format 3.
    pub async fn propose_once(&self, id: RequestId, command: &Domain) -> Result<u64, ProposeError> {
        let remembers = self.view(State::format).remembers_commands();
        let command = match remembers {
            true => Domain::Once { id, command: Box::new(command.clone()) }.encode(),
            false => command.encode(),
        };
        self.propose_within(PROPOSE_DEADLINE, remembers, || Proposal::Command(command.clone())).await
    }

    /// Takes the jump of the clocks that raised the alarm.
    pub async fn accept_clock(&self, id: RequestId) -> Result<u64, ProposeError> {
        let remembers = self.view(State::format).remembers_commands();
        self.propose_within(PROPOSE_DEADLINE, remembers, || Proposal::AcceptClock(Some(id))).await
    }

    /// Sets cluster time to the median of the voters' clocks, also backwards.
    pub async fn reset_clock(&self, id: RequestId) -> Result<u64, ProposeError> {
        let remembers = self.view(State::format).remembers_commands();
        self.propose_within(PROPOSE_DEADLINE, remembers, || Proposal::ResetClock(Some(id))).await
    }

    /// Sets the format of a cluster that was just formed. The same entry twice changes nothing, so that it may be repeated.
    async fn set_first_format(&self, format: Format) -> Result<u64, ProposeError> {
        let command = Domain::SetFormat { format }.encode();
        self.propose_within(PROPOSE_DEADLINE, true, || Proposal::Command(command.clone())).await
    }

    /// An id for a request of this node's own.
    pub fn request_id(&self) -> RequestId {
        self.0.request_id()
    }

    /// Makes the node that runs at `address` a member: a learner that catches up, and a voter where one more is useful.
    /// Returns when it has caught up.
    pub async fn add(&self, node: u64, address: &str) -> Result<u64, ProposeError> {
        let added = self.change(Change::Add { node, address: address.into() }).await;
        match added {
            Err(ProposeError::Unavailable(_) | ProposeError::Unknown) if self.cluster().members.contains_key(&node) => {
                Err(ProposeError::Refused(format!(
                    "node {node} is a member, and has not caught up within {} s: `quorate cluster status` shows how far it is; \
                     the same command waits for it again",
                    MEMBERSHIP_DEADLINE.as_secs()
                )))
            }
            added => added,
        }
    }

    /// Takes a node out of the cluster, this one too. Whoever takes its vote has it before it goes.
    pub async fn remove(&self, node: u64) -> Result<u64, ProposeError> {
        self.change(Change::Remove { node }).await
    }

    /// Gives a learner a vote: that of another one, of one that is gone, or one that was missing.
    pub async fn promote(&self, node: u64, instead_of: Option<u64>) -> Result<u64, ProposeError> {
        self.change(Change::Promote { node, instead_of }).await
    }

    /// Has a node whose state differs take over one that a majority confirms, so that it serves again. Where its state does not
    /// differ nothing is done.
    pub async fn rejoin(&self, node: u64) -> Result<u64, ProposeError> {
        self.propose_within(REJOIN_DEADLINE, true, || Proposal::Rejoin { node }).await
    }

    async fn change(&self, change: Change) -> Result<u64, ProposeError> {
        // What stands already is not changed again.
        self.propose_within(MEMBERSHIP_DEADLINE, true, || Proposal::Change(change.clone())).await
    }

    /// Makes `to` the leader; returns when this node sees it lead.
    pub async fn transfer_leader(&self, to: u64) -> Result<(), Unavailable> {
        handover::transfer(&self.0, to).await
    }

    /// Tries until the leader has answered. What may not be repeated is not tried again after an attempt whose outcome is not
    /// known.
    async fn propose_within(
        &self,
        deadline: Duration,
        may_repeat: bool,
        proposal: impl Fn() -> Proposal,
    ) -> Result<u64, ProposeError> {
        // An attempt is dropped where another leader is heard of: what became of it is not known then either.
        let (under_way, is_unknown) = (AtomicBool::new(false), AtomicBool::new(false));
        let proposed = self.retrying(deadline, || async {
            if under_way.swap(true, Ordering::Relaxed) {
                is_unknown.store(true, Ordering::Relaxed);
            }
            if is_unknown.load(Ordering::Relaxed) && !may_repeat {
                return Some(Err(ProposeError::Unknown));
            }
            match Box::pin(propose::once(&self.0, proposal())).await {
                Proposed::Committed { log_index } => Some(Ok(log_index)),
                Proposed::Refused(why) => Some(Err(ProposeError::Refused(why))),
                Proposed::Retry => {
                    under_way.store(false, Ordering::Relaxed);
                    None
                }
                Proposed::Unknown => None,
            }
        });
        match proposed.await {
            Ok(answer) => answer,
            Err(_) if under_way.into_inner() || is_unknown.into_inner() => Err(ProposeError::Unknown),
            Err(unavailable) => Err(unavailable.into()),
        }
    }
}

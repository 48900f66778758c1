//! The administrators' requests: commands, the clock, the membership, leadership.

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

/// Why an administrator's command was not executed.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// The state machine refused it.
    #[error("{0}")]
    Refused(String),
    /// No leader executed the command in time.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The command was written, and leadership was lost before its outcome was known. From format 3 on such a
    /// command is retried; in older formats a repeated command may be executed twice.
    #[error(
        "the outcome of this command is unknown: the leader lost leadership meanwhile. Check whether it took effect \
         before you repeat it"
    )]
    Unknown,
}

impl Replica {
    /// Forms a cluster of `addresses` (node number to HOST:PORT of its peer service), this node among them.
    ///
    /// Waits until all of them answer, up to `deadline`. Refused if one of them belongs to a cluster already. The
    /// cluster writes the newest format that all of them read.
    pub async fn bootstrap(&self, addresses: &BTreeMap<u64, String>, deadline: Duration) -> Result<(), BootstrapError> {
        let format = bootstrap::bootstrap(&self.0, addresses, deadline).await?;
        if format > Format::OLDEST
            && let Err(error) = self.set_first_format(format).await
        {
            // The cluster is formed and records requests; only its format stays the oldest.
            tracing::warn!(
                %error,
                "the cluster still writes format {}: run `quorate cluster format set {format}`",
                Format::OLDEST
            );
        }
        Ok(())
    }

    /// Executes a command once; returns the index of its entry.
    pub async fn propose(&self, command: &Domain) -> Result<u64, ProposeError> {
        self.propose_once(self.0.request_id(), command).await
    }

    /// Executes a command once for a request with this id; returns the index of its entry. From format 3 on the
    /// caller may repeat the request: it is still executed once.
    pub async fn propose_once(&self, id: RequestId, command: &Domain) -> Result<u64, ProposeError> {
        let remembers = self.view(State::format).remembers_commands();
        let command = match remembers {
            true => Domain::Once { id, command: Box::new(command.clone()) }.encode(),
            false => command.encode(),
        };
        self.propose_within(PROPOSE_DEADLINE, remembers, || Proposal::Command(command.clone())).await
    }

    /// Accepts the jump of the clocks that raised the alarm; returns the index of its entry.
    pub async fn accept_clock(&self, id: RequestId) -> Result<u64, ProposeError> {
        let remembers = self.view(State::format).remembers_commands();
        self.propose_within(PROPOSE_DEADLINE, remembers, || Proposal::AcceptClock(Some(id))).await
    }

    /// Sets cluster time to the median of the voters' clocks, also backwards; returns the index of its entry.
    pub async fn reset_clock(&self, id: RequestId) -> Result<u64, ProposeError> {
        let remembers = self.view(State::format).remembers_commands();
        self.propose_within(PROPOSE_DEADLINE, remembers, || Proposal::ResetClock(Some(id))).await
    }

    /// Sets the format of a newly formed cluster. Repeating it changes nothing, so it may be retried.
    async fn set_first_format(&self, format: Format) -> Result<u64, ProposeError> {
        let command = Domain::SetFormat { format }.encode();
        self.propose_within(PROPOSE_DEADLINE, true, || Proposal::Command(command.clone())).await
    }

    /// A new id for a request of this node.
    pub fn request_id(&self) -> RequestId {
        self.0.request_id()
    }

    /// Adds the node that runs at `address` as a member: first as a learner that catches up, then as a voter if one
    /// more voter is useful. Returns when it has caught up.
    pub async fn add(&self, node: u64, address: &str) -> Result<u64, ProposeError> {
        let added = self.change(Change::Add { node, address: address.into() }).await;
        match added {
            Err(ProposeError::Unavailable(_) | ProposeError::Unknown) if self.cluster().members.contains_key(&node) => {
                Err(ProposeError::Refused(format!(
                    "node {node} is a member, and has not caught up within {} s: `quorate cluster status` shows its \
                     lag; repeat the command to wait again",
                    MEMBERSHIP_DEADLINE.as_secs()
                )))
            }
            added => added,
        }
    }

    /// Removes a node from the cluster, which may be this node. Its vote is given to another member before it is
    /// removed.
    pub async fn remove(&self, node: u64) -> Result<u64, ProposeError> {
        self.change(Change::Remove { node }).await
    }

    /// Makes a learner a voter: in place of the voter `instead_of`, in place of a voter that does not answer, or as
    /// an additional voter.
    pub async fn promote(&self, node: u64, instead_of: Option<u64>) -> Result<u64, ProposeError> {
        self.change(Change::Promote { node, instead_of }).await
    }

    /// Makes a node whose state has diverged take over the state that a majority confirms, so that it serves again.
    /// Has no effect on a node whose state has not diverged.
    pub async fn rejoin(&self, node: u64) -> Result<u64, ProposeError> {
        self.propose_within(REJOIN_DEADLINE, true, || Proposal::Rejoin { node }).await
    }

    async fn change(&self, change: Change) -> Result<u64, ProposeError> {
        // May be repeated: a membership that is in force already is not changed again.
        self.propose_within(MEMBERSHIP_DEADLINE, true, || Proposal::Change(change.clone())).await
    }

    /// Makes `to` the leader; returns when this node observes that it leads.
    pub async fn transfer_leader(&self, to: u64) -> Result<(), Unavailable> {
        handover::transfer(&self.0, to).await
    }

    /// Repeats the proposal until the leader has answered. A proposal that must not be executed twice is not
    /// repeated after an attempt whose outcome is unknown.
    async fn propose_within(
        &self,
        deadline: Duration,
        may_repeat: bool,
        proposal: impl Fn() -> Proposal,
    ) -> Result<u64, ProposeError> {
        // An attempt is dropped when this node learns of another leader: its outcome is unknown then, too.
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

//! A node whose state has diverged takes over a state that a majority confirmed, and serves again.

use tokio::time::timeout;
use tonic::Status;

use crate::{
    limits::CONFIRMED_STATE_WAIT,
    raft::{
        log::diverged_mark,
        state_machine::TakeOverError,
        types::{EncodedState, SnapshotMeta},
    },
    replica::running::RunningReplica,
};

impl From<TakeOverError> for Status {
    fn from(error: TakeOverError) -> Self {
        let text = error.to_string();
        match error {
            TakeOverError::Malformed(_) | TakeOverError::Differs(_) => Self::failed_precondition(text),
            // On a retry the leader sends another state.
            TakeOverError::NotConfirmed(_) | TakeOverError::Purged(_) => Self::aborted(text),
            TakeOverError::Stopped(_) => Self::unavailable(text),
        }
    }
}

/// Refuses the call if this node's state has not diverged: such a state is never replaced.
pub(crate) fn check(running: &RunningReplica) -> Result<(), Status> {
    match running.state_machine.progress().borrow().diverged_at.is_some() {
        true => Ok(()),
        false => {
            let node = running.identity.owner;
            Err(Status::failed_precondition(format!("the state of node {node} does not differ from the majority's")))
        }
    }
}

/// Replaces the state, and removes the divergence mark when the snapshot on the disk holds the majority's state
/// too.
pub(crate) async fn take_over(running: &RunningReplica, meta: SnapshotMeta, state: EncodedState) -> Result<(), Status> {
    check(running)?;
    let index = meta.last_log_id.map_or(0, |last| last.index);
    wait_confirmed(running, index).await;
    let taken = running.state_machine.take_over(meta, &state, &running.log).await;
    let index = taken.inspect_err(|error| fail_with_disk(running, error))?;
    // A failed write stops the replica on its own: no log entry is written after it.
    let cleared = storage::commit(&*running.disk, diverged_mark(None).map_err(TakeOverError::Stopped)?).await;
    cleared.map_err(|failure| TakeOverError::Stopped(failure.to_io()))?;
    running.state_machine.agrees_up_to(index);
    tracing::info!(index, "this node's state equals the majority's again");
    Ok(())
}

/// A disk that refuses the snapshot would refuse writes of the log as well: the node fails.
fn fail_with_disk(running: &RunningReplica, error: &TakeOverError) {
    if let TakeOverError::Stopped(error) = error {
        running.gate.snapshot_failed(error);
    }
}

/// Waits, for a bounded time, until this node has applied the majority's hash after the entry at `index`, which the
/// leader has logged.
async fn wait_confirmed(running: &RunningReplica, index: u64) {
    let mut progress = running.state_machine.progress();
    let confirmed =
        async { while running.state_machine.confirmed_at(index).is_none() && progress.changed().await.is_ok() {} };
    let _told_by_what_follows = timeout(CONFIRMED_STATE_WAIT, confirmed).await;
}

//! When a node may stand for election: once the other members know this start of it (`crate::gate`), and the membership that
//! it has knows it by its own store; and never while its state differs from the majority's.
//!
//! A node that joins under a number that another node had before it reads its log from the beginning, and with it the
//! memberships of that time. Where the earlier node was the only voter, openraft would elect this one on the spot: a second
//! cluster, with entries of its own.

use std::sync::Arc;

use crate::replica::running::{Hanging, RunningReplica};

/// Lets the node stand for election, or not, by the gate, the membership and the disk as they are now. A node whose disk
/// hangs cannot save its vote, nor lead.
fn allow(replica: &RunningReplica) {
    let is_known = replica.member(replica.identity.owner).is_some_and(|member| member.store == replica.identity.store);
    let can_write = *replica.hanging.borrow() == Hanging::No;
    replica
        .raft()
        .runtime_config()
        .elect(is_known && replica.gate.is_admitted() && !replica.has_diverged() && can_write);
}

/// Follows the gate, the membership and the disk for as long as the replica runs.
pub(crate) async fn follow(replica: Arc<RunningReplica>) {
    let mut metrics = replica.consensus.server_metrics();
    let mut standing = replica.gate.standing();
    let mut hanging = replica.hanging.subscribe();
    let mut progress = replica.state_machine.progress();
    let mut diverged_at = progress.borrow().diverged_at;
    loop {
        allow(&replica);
        tokio::select! {
            changed = metrics.changed() => if changed.is_err() { return },
            changed = standing.changed() => if changed.is_err() { return },
            changed = hanging.changed() => if changed.is_err() { return },
            changed = progress.wait_for(|progress| progress.diverged_at != diverged_at) => match changed {
                Ok(progress) => diverged_at = progress.diverged_at,
                Err(_) => return,
            },
        }
    }
}

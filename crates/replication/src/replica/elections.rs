//! When a node may stand for election: after the other members have recognised this start (`crate::gate`), and if
//! the node's membership lists it with its own store; never while its state has diverged.
//!
//! A node that joins under the number of an earlier node reads its log from the beginning, including old
//! memberships. If the earlier node was the only voter, openraft would elect this node at once: a second cluster,
//! with entries of its own.

use std::sync::Arc;

use crate::replica::running::{Hanging, RunningReplica};

/// Enables or disables elections by the current gate, membership and disk. A node whose disk hangs can neither save
/// its vote nor lead.
fn allow(replica: &RunningReplica) {
    let is_known = replica.member(replica.identity.owner).is_some_and(|member| member.store == replica.identity.store);
    let can_write = *replica.hanging.borrow() == Hanging::No;
    replica
        .raft()
        .runtime_config()
        .elect(is_known && replica.gate.is_admitted() && !replica.has_diverged() && can_write);
}

/// Follows the gate, the membership and the disk until the replica stops.
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

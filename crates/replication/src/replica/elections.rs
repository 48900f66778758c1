//! When a node may stand for election: once the membership that it has knows it by its own store.
//!
//! A node that joins under a number that another node had before it reads its log from the beginning, and with it the
//! memberships of that time. Where the earlier node was the only voter, openraft would elect this one on the spot: a second
//! cluster, with entries of its own.

use std::sync::Arc;

use openraft::async_runtime::WatchReceiver;
use uuid::Uuid;

use crate::{raft::state_machine::Raft, replica::running::RunningReplica};

/// Lets the node stand for election, or not, by the membership as it is now.
pub(crate) fn allow(raft: &Raft, node: u64, store: Uuid) {
    let is_known = {
        let metrics = raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let member = metrics.membership_config.membership().get_node(&node);
        member.is_some_and(|member| member.store == store)
    };
    raft.runtime_config().elect(is_known);
}

/// Follows the membership for as long as the replica runs.
pub(crate) async fn follow(replica: Arc<RunningReplica>) {
    let mut metrics = replica.raft.server_metrics();
    loop {
        allow(&replica.raft, replica.identity.owner, replica.identity.store);
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

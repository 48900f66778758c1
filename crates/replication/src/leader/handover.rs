//! Transfer of leadership to another node, and the notice that this node stops.

use std::sync::atomic::Ordering;

use api::peer::v1 as proto;
use futures::future::join_all;
use openraft::async_runtime::WatchReceiver;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    limits::{FAREWELL_TIMEOUT, HANDOVER_DEADLINE},
    replica::running::{RunningReplica, Unavailable},
};

/// Makes `to` the leader and waits until this node observes it.
pub(crate) async fn transfer(replica: &RunningReplica, to: u64) -> Result<(), Unavailable> {
    let mut metrics = replica.raft().server_metrics();
    // openraft accepts no writes while it waits for the successor. If `to` is no voter and this node is the only
    // one, it would wait for ever.
    if !metrics.borrow_watched().membership_config.membership().voter_ids().any(|voter| voter == to) {
        return Err(Unavailable::NoLeader);
    }
    replica.raft().trigger().transfer_leader(to).await.map_err(|_| Unavailable::NoLeader)?;
    let arrived = async {
        while metrics.borrow_watched().current_leader != Some(to) {
            metrics.changed().await.map_err(|_| Unavailable::NoLeader)?;
        }
        Ok(())
    };
    timeout_at(Instant::now() + HANDOVER_DEADLINE, arrived).await.unwrap_or(Err(Unavailable::NoLeader))
}

/// Transfers leadership to the voter with the longest log, if this node leads and there is another voter.
pub(crate) async fn hand_over(replica: &RunningReplica) {
    let wanted = replica.wanted_profile();
    let successor = {
        let metrics = replica.raft().metrics();
        let metrics = metrics.borrow_watched();
        let voters: Vec<_> = metrics.membership_config.membership().voter_ids().collect();
        metrics.replication.as_ref().and_then(|matched| {
            let others = matched.iter().filter(|(node, _)| **node != replica.identity.owner && voters.contains(node));
            // While the election profile changes: prefer a voter that has changed already, because it need not hand
            // over again.
            let has_profile = |node| replica.profiles.of(node) == Some(wanted);
            others.max_by_key(|(node, last)| (has_profile(**node), last.map(|id| id.index))).map(|(node, _)| *node)
        })
    };
    if let Some(successor) = successor
        && transfer(replica, successor).await.is_err()
    {
        tracing::warn!(
            successor,
            "the successor did not take leadership over in time; the other voters will hold an election"
        );
    }
}

/// Notifies the other members that this node stops and will return. A member that does not receive the notice
/// counts the node as lost after [`promote_after`](crate::RaftSettings::promote_after).
pub(crate) async fn announce_stop(replica: &RunningReplica) {
    replica.leaving.store(true, Ordering::Relaxed);
    let metrics = replica.server_metrics();
    let members = metrics.membership_config.membership().nodes();
    let told = members.filter(|(node, _)| **node != replica.identity.owner).map(|(&node, member)| async move {
        let Ok(mut peer) = replica.peers.client(node, member) else { return };
        let _not_heard = timeout(FAREWELL_TIMEOUT, peer.leaving(proto::LeavingRequest {})).await;
    });
    join_all(told).await;
}

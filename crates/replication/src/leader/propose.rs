//! Proposals on their way: to the leader, and on the leader into the log.

use activation::state::{BatchBuilder, Command as Domain};
use api::peer::v1 as proto;

use crate::{
    leader::{
        format, membership,
        proposal::{Proposal, Proposed},
    },
    replica::running::RunningReplica,
};

/// One attempt: here if this node leads, else at the leader.
pub(crate) async fn once(replica: &RunningReplica, proposal: Proposal) -> Proposed {
    if !replica.gate.is_admitted() {
        return Proposed::Retry;
    }
    let Some((leader, member)) = replica.leader() else { return Proposed::Retry };
    if leader == replica.identity.owner {
        return here(replica, proposal).await;
    }
    let Ok(mut peer) = replica.peers.client(leader, &member) else { return Proposed::Retry };
    match peer.propose(proto::ProposeRequest { proposal: Some(proposal.into()) }).await {
        Ok(reply) => reply.into_inner().into(),
        Err(_) => Proposed::Retry,
    }
}

/// Proposes on this node, which must lead.
pub(crate) async fn here(replica: &RunningReplica, proposal: Proposal) -> Proposed {
    match proposal {
        Proposal::Command(command) => format::propose(replica, command).await,
        Proposal::AcceptClock => accept_clock(replica).await,
        Proposal::ResetClock => reset_clock(replica).await,
        Proposal::Change(change) => membership::change(replica, change).await,
    }
}

async fn accept_clock(replica: &RunningReplica) -> Proposed {
    let _order = replica.clock.order().await;
    if replica.clock.alarm().is_none() {
        return Proposed::refused("no jump of the clocks waits to be accepted");
    }
    replica.clock.accept();
    // An empty batch carries the new time into the log, so that the next leader starts from it.
    match replica.stamp() {
        Some(stamp) => replica.write(BatchBuilder::new(stamp).finish()).await,
        None => Proposed::Retry,
    }
}

async fn reset_clock(replica: &RunningReplica) -> Proposed {
    let _order = replica.clock.order().await;
    let Some(time_ms) = replica.clock.median() else {
        return Proposed::refused("the clocks of a majority of the voters are not known yet");
    };
    let proposed = replica.write(Domain::ResetClock { time_ms }.encode()).await;
    if matches!(proposed, Proposed::Committed { .. }) {
        replica.clock.reset(time_ms);
    }
    proposed
}

//! Proposals: their forwarding to the leader, and on the leader their writing to the log.

use std::{error::Error, io};

use activation::{
    clock::ClockAlarmKind,
    state::{BatchBuilder, Command as Domain, RequestId},
};
use api::peer::v1 as proto;
use tonic::Status;

use crate::{
    leader::{
        format, membership,
        proposal::{Proposal, Proposed},
        rejoin,
    },
    replica::running::RunningReplica,
};

/// One attempt: on this node if it leads, else a call to the leader.
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
        Err(status) if was_not_sent(&status) => Proposed::Retry,
        Err(_) => Proposed::Unknown,
    }
}

/// Whether the call failed before the other node could have executed it: the connection was refused, or the node
/// refused the call before it read it.
fn was_not_sent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        let refused = [io::ErrorKind::ConnectionRefused, io::ErrorKind::HostUnreachable];
        if error.downcast_ref::<io::Error>().is_some_and(|error| refused.contains(&error.kind())) {
            return true;
        }
        cause = error.source();
    }
    use tonic::Code;
    matches!(status.code(), Code::FailedPrecondition | Code::PermissionDenied | Code::Unauthenticated)
}

/// Executes a proposal on this node, which must lead.
pub(crate) async fn here(replica: &RunningReplica, proposal: Proposal) -> Proposed {
    match proposal {
        Proposal::Command(command) => format::propose(replica, command).await,
        Proposal::AcceptClock(id) => accept_clock(replica, id).await,
        Proposal::ResetClock(id) => reset_clock(replica, id).await,
        Proposal::Change(change) => membership::change(replica, change).await,
        Proposal::Rejoin { node } => rejoin::rejoin(replica, node).await,
    }
}

const NO_MEDIAN: &str = "the clocks of a majority of the voters are not known yet";

async fn accept_clock(replica: &RunningReplica, id: Option<RequestId>) -> Proposed {
    let _order = replica.clock.order().await;
    let has_expiry_clock = replica.state_machine.applied_times().format.has_expiry_clock();
    let has_jumped = replica.clock.alarm().is_some_and(|alarm| alarm.kind() == ClockAlarmKind::Jump);
    // For a proposal that was executed before, the log holds the outcome.
    let was_done = id.is_some_and(|id| replica.state_machine.view(|state| state.has_carried_out(&id)));
    if !has_jumped && !was_done {
        return Proposed::refused("there is no jump of the clocks to accept");
    }
    if has_expiry_clock {
        let Some(time_ms) = replica.clock.median() else { return Proposed::refused(NO_MEDIAN) };
        return set_clocks(replica, id, Domain::AcceptClock { time_ms }).await;
    }
    replica.clock.accept();
    // An empty batch writes the new time to the log, so that the next leader continues from it.
    match replica.stamp() {
        Some(stamp) => replica.write(BatchBuilder::new(stamp).finish()).await,
        None => Proposed::Retry,
    }
}

async fn reset_clock(replica: &RunningReplica, id: Option<RequestId>) -> Proposed {
    let _order = replica.clock.order().await;
    let Some(time_ms) = replica.clock.median() else { return Proposed::refused(NO_MEDIAN) };
    set_clocks(replica, id, Domain::ResetClock { time_ms }).await
}

/// Writes a command that sets the clocks; the leader's clock continues from there. The caller holds the order of
/// stamps ([`LeaderClock::order`](crate::leader::clock::LeaderClock::order)).
async fn set_clocks(replica: &RunningReplica, id: Option<RequestId>, command: Domain) -> Proposed {
    let remembers = replica.state_machine.applied_times().format.remembers_commands();
    let command = match id.filter(|_| remembers) {
        Some(id) => Domain::Once { id, command: Box::new(command) },
        None => command,
    };
    let proposed = replica.write(command.encode()).await;
    if matches!(proposed, Proposed::Committed { .. }) {
        replica.clock.set(|| replica.state_machine.applied_times());
    }
    proposed
}

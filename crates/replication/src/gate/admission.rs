//! The task that sends Hello. Before the node takes part, it calls all members; afterwards, those that have not
//! recognised this process yet. A leader calls all members once a second, so that the records of each node spread.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    gate::{
        hello::{self, Verdict},
        incarnation::Objection,
    },
    limits::{HELLO_PAUSE, HELLO_TIMEOUT, QUARANTINE_REMINDER_INTERVAL, URGENT_FOR, WITNESS_WAIT},
    raft::types::{Member, Vote},
    replica::running::RunningReplica,
};

/// Runs until the replica stops.
pub(crate) async fn run(replica: Arc<RunningReplica>, every: Duration) {
    let began = Instant::now();
    let mut metrics = replica.consensus.server_metrics();
    while replica.gate.was_member && metrics.borrow_watched().membership_config.membership().nodes().next().is_none() {
        if metrics.changed().await.is_err() {
            return;
        }
    }
    loop {
        if let Some(reason) = replica.gate.quarantined_because() {
            let node = replica.identity.owner;
            tracing::error!(
                node,
                %reason,
                "this node is quarantined: remove it (`quorate cluster remove {node} --dead`) and let it join under a new \
                 number; where a majority is quarantined: `quorate host recover`"
            );
            sleep(QUARANTINE_REMINDER_INTERVAL).await;
        } else {
            let answers = say_hello(&replica).await;
            if !replica.gate.is_admitted() && is_enough(&answers, began.elapsed()) {
                replica.gate.admit();
            }
            replica.gate.store_heard().await;
            let is_urgent = !replica.gate.is_admitted() && began.elapsed() < URGENT_FOR;
            let pause = if is_urgent { HELLO_PAUSE } else { every };
            let _woken_or_over = timeout(pause, replica.gate.wake.notified()).await;
            // Every refused call wakes this task: limit how often it runs.
            sleep(HELLO_PAUSE).await;
        }
        if replica.consensus.failure().is_some() {
            return;
        }
    }
}

/// The result of asking one member.
struct Asked {
    votes: bool,
    is_this_node: bool,
    agreed: bool,
}

/// Whether enough members have recognised this start for the node to take part.
fn is_enough(members: &[Asked], waited: Duration) -> bool {
    let others = || members.iter().filter(|member| !member.is_this_node);
    let all = !members.is_empty() && others().all(|member| member.agreed);
    let voters = members.iter().filter(|member| member.votes).count();
    let agreed = others().filter(|member| member.votes && member.agreed).count();
    !members.is_empty() && (all || (agreed >= voters / 2 && waited >= WITNESS_WAIT))
}

/// Says Hello to every member that must hear it, concurrently.
async fn say_hello(replica: &RunningReplica) -> Vec<Asked> {
    let metrics = replica.server_metrics();
    let leads = metrics.state.is_leader().then_some(metrics.vote);
    let membership = metrics.membership_config.membership();
    let members: BTreeMap<u64, Member> = membership.nodes().map(|(node, member)| (*node, member.clone())).collect();
    let own = members.get(&replica.identity.owner).filter(|own| own.store == replica.identity.store);
    if own.is_none() {
        return Vec::new();
    }
    if let Some(own) = own.filter(|_| !replica.gate.is_admitted()) {
        look_at_own_address(replica, own).await;
    }
    let voters: Vec<u64> = membership.voter_ids().collect();
    let asked = members.iter().map(|(&node, member)| {
        let (votes, is_this_node) = (voters.contains(&node), node == replica.identity.owner);
        async move {
            let knows = !is_this_node && replica.gate.is_known_to(node, member.store);
            let agreed = match knows && leads.is_none() {
                _ if is_this_node => true,
                true => true,
                false => ask(replica, node, member, leads.as_ref()).await,
            };
            Asked { votes, is_this_node, agreed }
        }
    });
    join_all(asked).await
}

/// Checks which process answers at this node's own address. From a copy on another machine, the call reaches the
/// original node.
async fn look_at_own_address(replica: &RunningReplica, own: &Member) {
    let found = hello::who_answers(&replica.peers, &own.address, own.store).await;
    if found.is_some_and(|boot| boot != Some(replica.gate.own().boot)) {
        let objection = Objection::AnswersElsewhere { address: own.address.clone() };
        replica.gate.quarantine(&objection, replica.identity.owner).await;
    }
}

/// Says Hello to one member. Returns whether the member agreed and this node has no objection to it.
async fn ask(replica: &RunningReplica, node: u64, member: &Member, leads: Option<&Vote>) -> bool {
    let Ok(mut peer) = replica.peers.client(node, member) else { return false };
    let message = hello::hello_out(&replica.gate, node, member.store, leads);
    let reply = match timeout(HELLO_TIMEOUT, peer.hello(message)).await {
        Ok(Ok(reply)) => reply.into_inner(),
        Ok(Err(status)) if status.code() == tonic::Code::Unimplemented => {
            // A member of the previous version records no starts and admits every node.
            return true;
        }
        Ok(Err(status)) => {
            tracing::debug!(node, message = status.message(), "a member did not answer Hello");
            return false;
        }
        Err(_) => return false,
    };
    let (found, verdict) = match hello::reply_in(reply) {
        Ok(reply) => reply,
        Err(error) => {
            tracing::warn!(node, %error, "a member's reply to Hello is malformed");
            return false;
        }
    };
    match verdict {
        Verdict::Objection(reason) => {
            replica.gate.quarantine(&Objection::Told(reason), node).await;
            return false;
        }
        Verdict::Undecided(reason) => {
            tracing::debug!(node, reason, "a member cannot tell yet whether it recognises this node");
            return false;
        }
        Verdict::Agreed => {}
    }
    match replica.gate.meet(node, found).await {
        Ok(Ok(())) => {
            replica.gate.agreed(node, member.store);
            true
        }
        Ok(Err(objection)) => {
            // The next Hello carries this node's record of the member, from which the member learns of the
            // objection.
            tracing::error!(
                node,
                %objection,
                "a member does not match the record of its last start: it must be quarantined"
            );
            false
        }
        Err(error) => {
            tracing::error!(%error, "the record of a member's start could not be stored");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Members, this node first; each pair says whether the member votes, and whether it has agreed.
    fn members(of: &[(bool, bool)]) -> Vec<Asked> {
        let asked = |(index, (votes, agreed)): (usize, &(bool, bool))| Asked {
            votes: *votes,
            is_this_node: index == 0,
            agreed: *agreed || index == 0,
        };
        of.iter().enumerate().map(asked).collect()
    }

    #[test]
    fn a_node_is_admitted_when_all_members_agreed_or_after_a_second_half_of_the_voters() {
        let (early, late) = (Duration::from_millis(10), WITNESS_WAIT);
        type Case = (&'static [(bool, bool)], bool, bool, &'static str);
        let cases: [Case; 9] = [
            (&[(true, true), (true, true), (true, true)], true, true, "all of three"),
            (&[(true, true), (true, true), (true, false)], false, true, "one of two others"),
            (&[(true, true), (true, false), (true, false)], false, false, "none of two others"),
            (&[(true, true), (true, true), (true, true), (true, false), (true, false)], false, true, "two of four"),
            (&[(true, true), (true, true), (true, false), (true, false), (true, false)], false, false, "one of four"),
            (&[(true, true), (false, false)], false, true, "the only voter, with a learner that is off"),
            (&[(false, true), (true, true), (true, true), (true, false)], false, true, "a learner, and two of three"),
            (&[(true, true), (true, true), (true, true), (false, false)], false, true, "the learner is off"),
            (&[], false, false, "a membership that is not read yet"),
        ];
        for (of, at_once, after_a_second, case) in cases {
            assert_eq!(is_enough(&members(of), early), at_once, "{case}, early");
            assert_eq!(is_enough(&members(of), late), after_a_second, "{case}, late");
        }
    }
}

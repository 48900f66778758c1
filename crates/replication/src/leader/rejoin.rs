//! A node whose state has diverged takes over a state that a majority confirms, and serves again under its number.
//!
//! A command makes every node record the hash of its state after one entry. When a majority of all voters reports
//! the same hash, the leader logs it, as it does at the regular boundaries, and sends the state after that entry.
//! The node verifies the received state against the hash in its own log: it does not trust the leader alone.

use activation::state::{Command as Domain, State};
use api::peer::v1 as proto;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;

use crate::{
    leader::{
        hashes::{self, Hash},
        proposal::Proposed,
    },
    limits::{HASH_DEADLINE, HASH_PAUSE, PEER_CALL_TIMEOUT},
    raft::{
        sending,
        types::{EncodedState, Snapshot, SnapshotMeta},
    },
    replica::running::RunningReplica,
};

/// Makes `node` take over the state that a majority confirms. Succeeds without effect if its state has not
/// diverged.
pub(crate) async fn rejoin(replica: &RunningReplica, node: u64) -> Proposed {
    let _one_at_a_time = replica.rejoining.lock().await;
    match confirmed_for(replica, node).await {
        Ok((meta, state)) => send(replica, node, meta, state).await,
        Err(proposed) => proposed,
    }
}

/// The state that `node` must take over.
async fn confirmed_for(replica: &RunningReplica, node: u64) -> Result<(SnapshotMeta, State), Proposed> {
    // The format must not change in the meantime.
    let _stands = replica.format.read().await;
    if replica.read_point_here().await.is_none() {
        return Err(Proposed::Retry);
    }
    let voters = voters(replica);
    can_be_confirmed(replica, node, &voters).map_err(Proposed::Refused)?;
    match differs(replica, node).await {
        Some(true) => confirmed_state(replica, &voters).await,
        Some(false) => Err(replica.committed()),
        None => Err(Proposed::Retry),
    }
}

fn voters(replica: &RunningReplica) -> Vec<u64> {
    replica.server_metrics().membership_config.membership().voter_ids().collect()
}

/// Whether a majority of the voters is possible without `node`.
fn can_be_confirmed(replica: &RunningReplica, node: u64, voters: &[u64]) -> Result<(), String> {
    let format = replica.state_machine.view(State::format);
    let anew =
        format!("`quorate cluster remove {node} --dead`, and let it join with an empty data folder and a new number");
    if !format.notes_hashes() {
        return Err(format!(
            "the cluster writes format {format}, and a state can be confirmed from format {} on: run `quorate cluster \
             format set {0}` first, or {anew}",
            Domain::NoteHash.format()
        ));
    }
    if replica.member(node).is_none() {
        return Err(format!("node {node} is not a member of this cluster: `quorate cluster status` lists them"));
    }
    let others = voters.iter().filter(|voter| **voter != node).count();
    if others < voters.len() / 2 + 1 {
        return Err(format!(
            "{} of {} voters are not a majority: without node {node} the others cannot confirm a state. Remove it: \
             {anew}",
            others,
            voters.len()
        ));
    }
    Ok(())
}

/// Whether the node has found its state to be diverged; `None` if it does not answer.
async fn differs(replica: &RunningReplica, node: u64) -> Option<bool> {
    if node == replica.identity.owner {
        return Some(replica.has_diverged());
    }
    let mut peer = replica.peer(node).ok()?;
    let asked = timeout(PEER_CALL_TIMEOUT, peer.state_hash(proto::StateHashRequest { index: 0 })).await;
    let reply = asked.ok()?.inspect_err(|status| {
        tracing::debug!(
            node,
            message = status.message(),
            "a node that must take over the majority's state does not answer"
        );
    });
    Some(reply.ok()?.into_inner().diverged)
}

/// The state after a newly written entry, once the log records that a majority has it.
async fn confirmed_state(replica: &RunningReplica, voters: &[u64]) -> Result<(SnapshotMeta, State), Proposed> {
    let _kept = replica.state_machine.keep_noted();
    let index = match replica.write(Domain::NoteHash.encode()).await {
        Proposed::Committed { log_index } => log_index,
        other => return Err(other),
    };
    let (meta, state, own) = replica.state_machine.kept_at(index).ok_or(Proposed::Retry)?;
    confirm(replica, voters, index, own).await?;
    match replica.write(Domain::StateHash { index, hash: own }.encode()).await {
        Proposed::Committed { .. } => Ok((meta, state)),
        other => Err(other),
    }
}

/// Waits, for a bounded time, until a majority of the voters reports this hash for its state after the entry at
/// `index`.
async fn confirm(replica: &RunningReplica, voters: &[u64], index: u64, own: Hash) -> Result<(), Proposed> {
    let deadline = Instant::now() + HASH_DEADLINE;
    loop {
        let collected = hashes::collect(replica, voters, index, own).await;
        match hashes::majority(&collected, voters) {
            Some(right) if right == own => return Ok(()),
            Some(right) => {
                hashes::hand_over_to_one_that_agrees(replica, &collected, voters, right).await;
                return Err(Proposed::Retry);
            }
            None if Instant::now() >= deadline => {
                let agree = collected.hashes.values().filter(|hash| **hash == own).count();
                return Err(Proposed::Refused(format!(
                    "no majority of the voters confirms a state: of {} voters {} answered, {agree} with the leader's \
                     state. Start the voters that are down (`quorate cluster status`), and repeat the command",
                    voters.len(),
                    collected.hashes.len(),
                )));
            }
            None if !replica.server_metrics().state.is_leader() => return Err(Proposed::Retry),
            None => sleep(HASH_PAUSE).await,
        }
    }
}

async fn send(replica: &RunningReplica, node: u64, meta: SnapshotMeta, state: State) -> Proposed {
    let encode = move || EncodedState::new(state.encode_snapshot().into());
    let Ok(state) = replica.computations.run(encode).await else { return Proposed::Retry };
    let index = meta.last_log_id.map_or(0, |last| last.index);
    let Ok(mut peer) = replica.peer(node) else { return Proposed::Retry };
    let vote = replica.server_metrics().vote;
    let snapshot = Snapshot { meta, snapshot: state };
    match sending::replace_diverged(&mut peer, &vote, &snapshot, replica.snapshot_chunk_bytes).await {
        Ok(()) => {
            tracing::info!(node, index, "the node has taken over the majority's state");
            replica.committed()
        }
        Err(status) if status.code() == Code::FailedPrecondition => {
            Proposed::Refused(format!("node {node} did not take over the majority's state: {}", status.message()))
        }
        Err(status) => {
            tracing::warn!(
                node,
                index,
                message = status.message(),
                "the node has not taken over the majority's state yet"
            );
            Proposed::Retry
        }
    }
}

//! State hashes: at each boundary the leader collects the members' hashes and logs the value that a majority of the
//! voters has, whether it is the leader's or not. A node with another hash records this durably, and no longer
//! serves or leads.

use std::{collections::BTreeMap, sync::Arc};

use activation::state::{Command as Domain, State};
use api::peer::v1 as proto;
use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;

use crate::{
    leader::handover::transfer,
    limits::{HASH_DEADLINE, HASH_PAUSE, PEER_CALL_TIMEOUT},
    raft::log::diverged_mark,
    replica::running::RunningReplica,
};

pub(crate) type Hash = [u8; 32];

const NOT_DECIDED: &str = "no majority of the voters has the same state hash: the correct state cannot be determined";

/// Runs until the replica stops.
pub(crate) async fn run(replica: Arc<RunningReplica>) {
    let mut progress = replica.state_machine.progress();
    let mut hashed_index = progress.borrow().hash_due_index;
    let mut noted = progress.borrow().diverged_at;
    loop {
        let news =
            progress.wait_for(|progress| progress.hash_due_index > hashed_index || progress.diverged_at != noted);
        let Ok(news) = news.await.map(|news| *news) else { return };
        if news.diverged_at != noted {
            note(&replica, news.diverged_at).await;
            noted = news.diverged_at;
        }
        if news.hash_due_index > hashed_index {
            hashed_index = news.hash_due_index;
            settle(&replica).await;
        }
    }
}

/// Records durably that this node's state has diverged, or that it no longer differs because the node took over the
/// majority's state.
async fn note(replica: &RunningReplica, diverged_at: Option<u64>) {
    // A failed write stops the replica on its own: no log entry is written after it.
    let stored = match diverged_mark(diverged_at) {
        Ok(batch) => storage::commit(&*replica.disk, batch).await.map_err(|failure| failure.to_io()),
        Err(error) => Err(error),
    };
    if let Err(error) = stored {
        tracing::error!(%error, "could not store whether this node's state differs");
    }
}

/// The members' hashes at one index, as far as they answered.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) hashes: BTreeMap<u64, Hash>,
    /// Number of voters of the previous version, which do not report a hash.
    silent: usize,
}

/// On the leader: collects the members' hashes and logs the majority's.
async fn settle(replica: &RunningReplica) {
    let Some((index, own)) = replica.state_machine.view(State::newest_hash) else { return };
    let deadline = Instant::now() + HASH_DEADLINE;
    loop {
        let metrics = replica.server_metrics();
        if !metrics.state.is_leader() {
            return;
        }
        let voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
        let collected = collect(replica, &voters, index, own).await;
        match decide(&collected, &voters, own) {
            Some(right) => {
                replica.write(Domain::StateHash { index, hash: right }.encode()).await;
                if right != own {
                    hand_over_to_one_that_agrees(replica, &collected, &voters, right).await;
                }
                return;
            }
            None if Instant::now() >= deadline => {
                tracing::error!(index, known = collected.hashes.len(), voters = voters.len(), "{NOT_DECIDED}");
                return;
            }
            None => sleep(HASH_PAUSE).await,
        }
    }
}

/// The hash that a majority of all voters has. If too few voters can be asked for a majority, because the others
/// run the previous version: this leader's own hash.
fn decide(collected: &Collected, voters: &[u64], own: Hash) -> Option<Hash> {
    let can_be_asked = voters.len().saturating_sub(collected.silent);
    majority(collected, voters).or_else(|| (can_be_asked < needed(voters)).then_some(own))
}

fn needed(voters: &[u64]) -> usize {
    voters.len() / 2 + 1
}

/// The hash that a majority of all voters reported, if there is one.
pub(crate) fn majority(collected: &Collected, voters: &[u64]) -> Option<Hash> {
    let mut counts: BTreeMap<Hash, usize> = BTreeMap::new();
    collected.hashes.values().for_each(|hash| *counts.entry(*hash).or_default() += 1);
    counts.into_iter().find(|(_, count)| *count >= needed(voters)).map(|(hash, _)| hash)
}

/// Asks every voter for the hash of its state after the entry at `index`; `own` is this node's hash.
pub(crate) async fn collect(replica: &RunningReplica, voters: &[u64], index: u64, own: Hash) -> Collected {
    let asked = voters.iter().map(|&node| async move {
        if node == replica.identity.owner {
            return (node, Ok(Some(own)));
        }
        let Ok(mut peer) = replica.peer(node) else { return (node, Ok(None)) };
        let asked = timeout(PEER_CALL_TIMEOUT, peer.state_hash(proto::StateHashRequest { index })).await;
        match asked {
            Ok(Ok(reply)) => (node, Ok(Hash::try_from(reply.into_inner().hash.as_ref()).ok())),
            Ok(Err(status)) if status.code() == Code::Unimplemented => (node, Err(())),
            Ok(Err(_)) | Err(_) => (node, Ok(None)),
        }
    });
    let mut collected = Collected::default();
    for (node, hash) in join_all(asked).await {
        match hash {
            Ok(Some(hash)) => drop(collected.hashes.insert(node, hash)),
            Ok(None) => {}
            Err(()) => collected.silent += 1,
        }
    }
    collected
}

/// Transfers leadership to a voter whose state hash is the majority's.
pub(crate) async fn hand_over_to_one_that_agrees(
    replica: &RunningReplica,
    collected: &Collected,
    voters: &[u64],
    right: Hash,
) {
    let agrees = |node: &&u64| collected.hashes.get(*node) == Some(&right);
    for &successor in voters.iter().filter(agrees) {
        tracing::error!(successor, "this leader's state differs from the majority's: leadership is transferred");
        if transfer(replica, successor).await.is_ok() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_majority_of_all_voters_is_correct_and_without_a_majority_none_is() {
        let (right, wrong) = ([1; 32], [2; 32]);
        let collected = |hashes: &[(u64, Hash)], silent| Collected { hashes: hashes.iter().copied().collect(), silent };
        for (case, known, voters, own, expected) in [
            ("all agree", collected(&[(1, right), (2, right), (3, right)], 0), 3, right, Some(right)),
            ("this leader differs", collected(&[(1, wrong), (2, right), (3, right)], 0), 3, wrong, Some(right)),
            ("a follower differs", collected(&[(1, right), (2, wrong), (3, right)], 0), 3, right, Some(right)),
            ("one is missing", collected(&[(1, right), (2, right)], 0), 3, right, Some(right)),
            ("one is missing, one differs", collected(&[(1, right), (2, wrong)], 0), 3, right, None),
            ("two are missing", collected(&[(1, right)], 0), 3, right, None),
            ("each has another", collected(&[(1, right), (2, wrong), (3, [3; 32])], 0), 3, right, None),
            ("alone", collected(&[(1, right)], 0), 1, right, Some(right)),
            ("two of the previous version", collected(&[(1, right)], 2), 3, right, Some(right)),
            ("one of the previous version", collected(&[(1, right)], 1), 3, right, None),
            ("two of five are silent, two agree", collected(&[(1, right), (2, right), (3, wrong)], 2), 5, right, None),
        ] {
            let voters: Vec<u64> = (1..=voters).collect();
            assert_eq!(decide(&known, &voters, own), expected, "{case}");
        }
    }
}

//! What a leader does beside answering: it asks for the voters' clocks, logs its state's hash, and hands over.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use activation::state::{Command as Domain, State};
use api::peer::v1 as proto;
use futures::future::join_all;
use openraft::async_runtime::WatchReceiver;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, timeout, timeout_at},
};

use crate::{
    limits::{CLOCK_OFFSET_MS_MAX, CLOCK_SAMPLE_TIMEOUT, FAREWELL_TIMEOUT, HANDOVER_DEADLINE},
    machine::Progress,
    member::{Inner, Unavailable},
    membership,
    settings::Pace,
};

/// Runs for as long as the replica does.
pub(crate) async fn run(inner: Arc<Inner>, pace: Pace) {
    let mut role = inner.raft.server_metrics();
    let mut progress = inner.machine.progress();
    let mut next_sample = interval(pace.clock_sample_interval);
    next_sample.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let members = tokio::spawn(look_at_members(Arc::clone(&inner), pace.look_interval));
    let _stopped_with_this = AbortOnDrop(members);
    let mut hashed_index = progress.borrow().hash_due_index;
    loop {
        let began = take_role(&inner);
        if began {
            sample_clocks(&inner).await;
        }
        tokio::select! {
            changed = role.changed() => if changed.is_err() { return },
            _ = next_sample.tick() => {
                look_at_store(&inner);
                sample_clocks(&inner).await;
            }
            due = hash_due(&mut progress, hashed_index) => match due {
                Some(index) => {
                    hashed_index = index;
                    log_hash(&inner).await;
                }
                None => return,
            },
        }
    }
}

/// Beside the rest: a change of the membership takes its time.
async fn look_at_members(inner: Arc<Inner>, every: Duration) {
    let mut next = interval(every);
    next.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        next.tick().await;
        membership::look(&inner).await;
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A file of its own for a page is one that sled never syncs: what is in it would not outlive a crash.
fn look_at_store(inner: &Inner) {
    let blobs = inner.store.blobs();
    if blobs > 0 {
        tracing::error!(blobs, "the store holds pages that were never made durable: back the node up and replace it");
    }
}

fn take_role(inner: &Inner) -> bool {
    let metrics = inner.server_metrics();
    let term = metrics.state.is_leader().then_some(metrics.vote.leader_id.term);
    let voters: Vec<_> = metrics.membership_config.membership().voter_ids().collect();
    inner.clock.set_role(term, &voters)
}

/// Asks every voter for its clock, all at once. One that does not answer in time gives no sample.
async fn sample_clocks(inner: &Inner) {
    let metrics = inner.server_metrics();
    if !metrics.state.is_leader() {
        return;
    }
    let membership = metrics.membership_config.membership();
    let samples = membership.voter_ids().map(|node| async move {
        if node == inner.identity.owner {
            let wall_ms = inner.clock.wall_ms();
            inner.clock.sample(node, wall_ms);
            return Some((node, wall_ms));
        }
        let mut peer = inner.peers.client(node, membership.get_node(&node)?).ok()?;
        let reply = timeout(CLOCK_SAMPLE_TIMEOUT, peer.clock(proto::ClockRequest {})).await.ok()?.ok()?.into_inner();
        inner.clock.sample(node, reply.wall_ms);
        Some((node, reply.wall_ms))
    });
    let samples: BTreeMap<_, _> = join_all(samples).await.into_iter().flatten().collect();
    // A stamp is where a jump is noticed: without requests it would go unseen.
    inner.clock.stamp(inner.machine.view(State::time_ms));
    step_aside(inner, &samples).await;
}

/// A node whose clock is hours off the others' does not lead where another can: what it says of time helps nobody.
async fn step_aside(inner: &Inner, samples: &BTreeMap<u64, u64>) {
    let Some(median_ms) = inner.clock.median() else { return };
    let is_off = |wall_ms: &u64| wall_ms.abs_diff(median_ms) > CLOCK_OFFSET_MS_MAX;
    if !samples.get(&inner.identity.owner).is_some_and(is_off) {
        return;
    }
    if let Some((&successor, _)) = samples.iter().find(|(_, wall_ms)| !is_off(wall_ms)) {
        tracing::error!(successor, "this node's clock is more than four hours off the others': another one is to lead");
        let _elected_again_it_tries_again = transfer(inner, successor).await;
    }
}

async fn hash_due(progress: &mut watch::Receiver<Progress>, hashed_index: u64) -> Option<u64> {
    progress.wait_for(|progress| progress.hash_due_index > hashed_index).await.ok().map(|due| due.hash_due_index)
}

/// Logs the newest hash of this leader's state, for every node to compare with its own at that entry.
async fn log_hash(inner: &Inner) {
    if !inner.server_metrics().state.is_leader() {
        return;
    }
    if let Some((index, hash)) = inner.machine.view(State::newest_hash) {
        inner.write(Domain::StateHash { index, hash }.encode()).await;
    }
}

/// Makes `to` the leader and waits until this node sees it.
pub(crate) async fn transfer(inner: &Inner, to: u64) -> Result<(), Unavailable> {
    let mut metrics = inner.raft.server_metrics();
    inner.raft.trigger().transfer_leader(to).await.map_err(|_| Unavailable::NoLeader)?;
    let arrived = async {
        while metrics.borrow_watched().current_leader != Some(to) {
            metrics.changed().await.map_err(|_| Unavailable::NoLeader)?;
        }
        Ok(())
    };
    timeout_at(Instant::now() + HANDOVER_DEADLINE, arrived).await.unwrap_or(Err(Unavailable::NoLeader))
}

/// Hands leadership to the voter whose log is the longest, where this node leads and there is one.
pub(crate) async fn hand_over(inner: &Inner) {
    let successor = {
        let metrics = inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let voters: Vec<_> = metrics.membership_config.membership().voter_ids().collect();
        metrics.replication.as_ref().and_then(|matched| {
            let others = matched.iter().filter(|(node, _)| **node != inner.identity.owner && voters.contains(node));
            others.max_by_key(|(_, last)| last.map(|id| id.index)).map(|(node, _)| *node)
        })
    };
    if let Some(successor) = successor
        && transfer(inner, successor).await.is_err()
    {
        tracing::warn!(successor, "leadership was not taken over in time; the others will elect");
    }
}

/// Tells the others that this node stops and comes back. One that does not hear it takes the node for dead after a while.
pub(crate) async fn say_farewell(inner: &Inner) {
    inner.leaving.store(true, Ordering::Relaxed);
    let metrics = inner.server_metrics();
    let members = metrics.membership_config.membership().nodes();
    let told = members.filter(|(node, _)| **node != inner.identity.owner).map(|(&node, member)| async move {
        let Ok(mut peer) = inner.peers.client(node, member) else { return };
        let _not_heard = timeout(FAREWELL_TIMEOUT, peer.leaving(proto::LeavingRequest {})).await;
    });
    join_all(told).await;
}

//! A leader's duties apart from answering requests: it samples the voters' clocks, advances cluster time, and hands
//! over.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use activation::{
    clock::{ClockAlarm, ClockAlarmKind, Stamp},
    state::{BatchBuilder, Command as Domain},
};
use api::peer::v1 as proto;
use futures::future::join_all;
use tokio::{
    task::AbortHandle,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    environment::ReplicaTask,
    leader::{clock::AppliedTimes, handover::transfer, links, membership, proposal::Proposed},
    limits::{
        CLOCK_OFFSET_MS_MAX, CLOCK_RETRY_PAUSE, CLOCK_SAMPLE_TIMEOUT, CONFIRMATION_RETRY_PAUSE, IDLE_STAMP_MS,
        PEER_CALL_TIMEOUT,
    },
    replica::running::RunningReplica,
    settings::Pace,
};

/// Runs until the replica stops.
pub(crate) async fn run(replica: Arc<RunningReplica>, pace: Pace) {
    let mut role = replica.consensus.server_metrics();
    let mut next_sample = interval(pace.clock_sample_interval);
    next_sample.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let members = replica.tasks.spawn(ReplicaTask::Members, look_at_members(Arc::clone(&replica), pace.look_interval));
    let _stopped_with_this = AbortOnDrop(members);
    loop {
        let began = take_role(&replica);
        if began {
            sample_clocks(&replica).await;
        }
        tokio::select! {
            changed = role.changed() => if changed.is_err() { return },
            _ = next_sample.tick() => {
                look_at_store(&replica);
                sample_clocks(&replica).await;
            }
            () = sleep(CLOCK_RETRY_PAUSE), if replica.clock.waits_for_clocks() => sample_clocks(&replica).await,
        }
    }
}

/// A task of its own: a change of the membership takes time.
async fn look_at_members(replica: Arc<RunningReplica>, every: Duration) {
    let mut next = interval(every);
    next.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        next.tick().await;
        membership::look(&replica).await;
        links::look(&replica).await;
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// sled puts a large page into a separate file, which it never syncs: the page would not survive a crash.
fn look_at_store(replica: &RunningReplica) {
    let blobs = replica.disk.unsynced_pages();
    if blobs > 0 {
        tracing::error!(
            blobs,
            "the store holds pages that were never made durable: back up the cluster (`quorate cluster backup`) and \
             replace this node"
        );
    }
}

/// Asks repeatedly whether a majority confirms the leader, until the replica stops.
pub(crate) async fn confirm(replica: Arc<RunningReplica>, every: Duration) {
    let mut leader = replica.consensus.server_metrics();
    loop {
        let asked = timeout(PEER_CALL_TIMEOUT, replica.read_point_once()).await;
        let point = asked.ok().flatten();
        if let Some(point) = point {
            replica.confirmation.confirmed(point.log_index);
        }
        let is_confirmed = point.is_some();
        let pause = sleep(if is_confirmed { every } else { CONFIRMATION_RETRY_PAUSE });
        tokio::pin!(pause);
        let known = leader.borrow_watched().current_leader;
        loop {
            tokio::select! {
                () = &mut pause => break,
                changed = leader.changed() => match changed {
                    Err(_) => return,
                    Ok(()) if leader.borrow_watched().current_leader != known => break,
                    Ok(()) => {}
                },
            }
        }
    }
}

fn take_role(replica: &RunningReplica) -> bool {
    let metrics = replica.server_metrics();
    let term = metrics.state.is_leader().then_some(metrics.vote.leader_id.term);
    let voters: Vec<_> = metrics.membership_config.membership().voter_ids().collect();
    replica.clock.set_role(term, &voters)
}

/// Samples every voter's clock, concurrently. A voter that does not answer in time gives no sample.
async fn sample_clocks(replica: &RunningReplica) {
    let metrics = replica.server_metrics();
    if !metrics.state.is_leader() {
        return;
    }
    let membership = metrics.membership_config.membership();
    let samples = membership.voter_ids().map(|node| async move {
        if node == replica.identity.owner {
            let wall_ms = replica.clock.wall_ms();
            replica.clock.sample(node, wall_ms, replica.clock.is_synchronised());
            return Some((node, wall_ms));
        }
        let mut peer = replica.peers.client(node, membership.get_node(&node)?).ok()?;
        let reply = timeout(CLOCK_SAMPLE_TIMEOUT, peer.clock(proto::ClockRequest {})).await.ok()?.ok()?.into_inner();
        replica.clock.sample(node, reply.wall_ms, reply.synchronised);
        Some((node, reply.wall_ms))
    });
    let samples: BTreeMap<_, _> = join_all(samples).await.into_iter().flatten().collect();
    // A jump is detected when a stamp is made; without requests there would be none.
    if let Some(stamp) = replica.stamp() {
        keep_time(replica, stamp).await;
    }
    step_aside(replica, &samples).await;
}

/// Advances the replicated clocks when there are no requests, sets cluster time back when confirmed clocks are
/// behind it, and logs once a minute a clock alarm that an administrator must handle.
async fn keep_time(replica: &RunningReplica, stamp: Stamp) {
    let AppliedTimes { times, format, .. } = replica.state_machine.applied_times();
    if let Some(alarm) = replica.clock.alarm() {
        warn_of(replica, alarm);
    }
    if !format.has_expiry_clock() {
        return;
    }
    let _order = replica.clock.order().await;
    if let Some(time_ms) = replica.clock.to_reset() {
        let ahead_ms = stamp.time_ms.saturating_sub(time_ms);
        tracing::warn!(
            ahead_ms,
            "cluster time is ahead of the nodes' clocks, which agree with each other: it is set back to them"
        );
        let written = replica.write(Domain::ResetClock { time_ms }.encode()).await;
        // If it was not committed, stamps that are in use would be discarded, and cluster time would run backwards.
        if matches!(written, Proposed::Committed { .. }) {
            replica.clock.set(|| replica.state_machine.applied_times());
        }
        return;
    }
    let is_behind = |replicated: Option<u64>, now_ms: u64| {
        replicated.is_some_and(|replicated_ms| now_ms.saturating_sub(replicated_ms) >= IDLE_STAMP_MS)
    };
    let expiry_ms = stamp.expiry_ms.unwrap_or(stamp.time_ms);
    if (is_behind(times.time_ms, stamp.time_ms) || is_behind(times.expiry_ms, expiry_ms))
        && let Some(stamp) = replica.stamp()
    {
        replica.write(BatchBuilder::new(stamp).finish()).await;
    }
}

fn warn_of(replica: &RunningReplica, alarm: ClockAlarm) {
    if !replica.clock_warnings.is_due() {
        return;
    }
    let minutes = alarm.target_ms.abs_diff(alarm.previous_ms) / 60_000;
    match alarm.kind() {
        ClockAlarmKind::Jump => tracing::error!(
            minutes,
            clocks = alarm.samples,
            "the nodes' clocks jumped without confirmation: no machine expires until they are synchronised, or until \
             `quorate cluster clock accept` confirms them"
        ),
        ClockAlarmKind::Ahead => tracing::error!(
            minutes,
            clocks = alarm.samples,
            "cluster time is ahead of the nodes' clocks: `quorate cluster clock reset` sets it back to them"
        ),
    }
}

/// If this node's clock differs from the median by more than [`CLOCK_OFFSET_MS_MAX`], transfers leadership to a voter
/// whose clock does not.
async fn step_aside(replica: &RunningReplica, samples: &BTreeMap<u64, u64>) {
    let Some(median_ms) = replica.clock.median() else { return };
    let is_off = |wall_ms: &u64| wall_ms.abs_diff(median_ms) > CLOCK_OFFSET_MS_MAX;
    if !samples.get(&replica.identity.owner).is_some_and(is_off) {
        return;
    }
    if let Some((&successor, _)) = samples.iter().find(|(_, wall_ms)| !is_off(wall_ms)) {
        tracing::error!(
            successor,
            "this node's clock differs from the others by more than four hours: leadership is transferred"
        );
        let _elected_again_it_tries_again = transfer(replica, successor).await;
    }
}

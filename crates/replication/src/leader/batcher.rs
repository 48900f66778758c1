//! Many requests, one log entry.
//!
//! The leader takes all that waits at this moment into one batch and proposes it; while it becomes durable the next one
//! gathers. There is no artificial delay: a lone request goes at once, a thousand share one barrier.

use std::{collections::VecDeque, sync::Arc};

use activation::state::{Applied, BatchBuilder, PushError, RecordOutcome};
use bytes::Bytes;
use openraft::impls::ProgressResponder;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::Instant,
};

use crate::{
    environment::{ReplicaTask, Tasks},
    leader::clock::LeaderClock,
    limits::{BATCH_QUEUE_REQUESTS_MAX, BATCHES_IN_FLIGHT_MAX},
    observer::Observer,
    raft::{consensus::Consensus, state_machine::StateMachine, types::Command},
};

/// What became of one request.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The count, or the refusal.
    pub outcome: RecordOutcome,
    /// Cluster time of the entry.
    pub cluster_time_ms: u64,
    /// The entry that holds the request.
    pub log_index: u64,
    /// Position of the request in the entry, from 0.
    pub offset: u32,
}

/// An encoded record and who waits for it. Dropped without an answer it is asked again: recording is idempotent.
pub(crate) struct Waiting {
    pub(crate) record: Bytes,
    pub(crate) reply: oneshot::Sender<Recorded>,
}

/// Starts the batcher of a node. It answers only while the node leads; it ends when the last sender is dropped.
pub(crate) fn start(
    tasks: &Tasks,
    consensus: Arc<Consensus>,
    state_machine: StateMachine,
    clock: Arc<LeaderClock>,
    observer: Arc<dyn Observer>,
) -> mpsc::Sender<Waiting> {
    let (sender, queue) = mpsc::channel(BATCH_QUEUE_REQUESTS_MAX);
    tasks.spawn(ReplicaTask::Batcher, gather(tasks.clone(), consensus, state_machine, clock, observer, queue));
    sender
}

async fn gather(
    tasks: Tasks,
    consensus: Arc<Consensus>,
    state_machine: StateMachine,
    clock: Arc<LeaderClock>,
    observer: Arc<dyn Observer>,
    mut queue: mpsc::Receiver<Waiting>,
) {
    let slots = Arc::new(Semaphore::new(BATCHES_IN_FLIGHT_MAX));
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match queue.recv().await {
                Some(first) => waiting.push_back(first),
                None => return,
            }
        }
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        while waiting.len() < activation::limits::BATCH_RECORDS_MAX
            && let Ok(next) = queue.try_recv()
        {
            waiting.push_back(next);
        }
        let order = clock.order().await;
        let Some(stamp) = clock.stamp(|| state_machine.applied_times()) else {
            waiting.clear();
            continue;
        };
        let mut batch = BatchBuilder::new(stamp);
        let mut callers = Vec::with_capacity(waiting.len());
        while let Some(Waiting { record, reply }) = waiting.pop_front() {
            match batch.push_encoded(&record) {
                Ok(()) => callers.push(reply),
                Err(PushError::Full(_)) => {
                    waiting.push_front(Waiting { record, reply });
                    break;
                }
                // Checked here, before the log: another node may run another version.
                Err(PushError::Malformed(what)) => tracing::warn!(%what, "a node forwarded what is no record"),
            }
        }
        if callers.is_empty() {
            continue;
        }
        let (responder, committed, applied) = ProgressResponder::new();
        let (proposed_at, observer) = (Instant::now(), Arc::clone(&observer));
        if let Err(stopped) = consensus.raft().client_write_ff(Command(batch.finish()), Some(responder)).await {
            if consensus.failure().is_some() {
                tracing::debug!(%stopped, "the log takes no more entries");
                return;
            }
            // It is made anew: the callers, dropped here, ask again.
            continue;
        }
        drop(order);
        tasks.spawn(ReplicaTask::Batch, async move {
            // openraft logs a warning when this receiver is dropped; keep it until the entry is applied.
            let _committed = committed;
            // A write that failed, or whose outcome is unknown, drops the callers: they ask again.
            if let Ok(Ok(response)) = applied.await
                && let Some(Applied::Batch { time_ms, outcomes }) = response.data
            {
                observer.committed(callers.len(), proposed_at.elapsed());
                answer(callers, outcomes, time_ms, response.log_id.index);
            }
            drop(slot);
        });
    }
}

fn answer(callers: Vec<oneshot::Sender<Recorded>>, outcomes: Vec<RecordOutcome>, cluster_time_ms: u64, log_index: u64) {
    for (offset, (reply, outcome)) in (0..).zip(callers.into_iter().zip(outcomes)) {
        // A caller whose deadline has passed is gone; its request stays recorded.
        let _gone = reply.send(Recorded { outcome, cluster_time_ms, log_index, offset });
    }
}

//! Combines many requests into one log entry.
//!
//! The leader puts all requests that wait at one moment into one batch and proposes it. While that batch becomes
//! durable, the next one fills. There is no artificial delay: a single request is proposed at once, and a thousand
//! requests share one fsync.

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

/// The outcome of one recorded request.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The count after the request, or the refusal.
    pub outcome: RecordOutcome,
    /// Cluster time of the log entry, in milliseconds since the Unix epoch.
    pub cluster_time_ms: u64,
    /// Index of the log entry that holds the request.
    pub log_index: u64,
    /// Position of the request in the entry, from 0.
    pub offset: u32,
}

/// An encoded record and its caller's reply channel. If it is dropped without an answer the caller retries:
/// recording is idempotent.
pub(crate) struct Waiting {
    pub(crate) record: Bytes,
    pub(crate) reply: oneshot::Sender<Recorded>,
}

/// Starts the batcher of a node. It answers only while the node leads, and ends when the last sender is dropped.
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
                // Checked before the record is written to the log: the other node may run another version.
                Err(PushError::Malformed(what)) => tracing::warn!(%what, "a node forwarded a malformed record"),
            }
        }
        if callers.is_empty() {
            continue;
        }
        let (responder, committed, applied) = ProgressResponder::new();
        let (proposed_at, observer) = (Instant::now(), Arc::clone(&observer));
        if let Err(stopped) = consensus.raft().client_write_ff(Command(batch.finish()), Some(responder)).await {
            if consensus.failure().is_some() {
                tracing::debug!(%stopped, "the log accepts no more entries");
                return;
            }
            // openraft is being restarted: the callers' channels are dropped here, so they retry.
            continue;
        }
        drop(order);
        tasks.spawn(ReplicaTask::Batch, async move {
            // openraft logs a warning when this receiver is dropped; keep it until the entry is applied.
            let _committed = committed;
            // A write that failed, or whose outcome is unknown, drops the callers' channels: they retry.
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
        // A caller whose deadline has passed no longer waits; its request stays recorded.
        let _gone = reply.send(Recorded { outcome, cluster_time_ms, log_index, offset });
    }
}

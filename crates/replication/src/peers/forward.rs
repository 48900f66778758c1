//! Forwards requests from the node that received them to the leader: one open stream, many requests in a message.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use activation::state::RecordOutcome;
use api::peer::v1 as proto;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::{
    environment::{ReplicaTask, Tasks},
    leader::batcher::{Recorded, Waiting},
    limits::{FORWARD_QUEUE_REQUESTS_MAX, FORWARD_REQUESTS_MAX, FORWARDS_IN_FLIGHT_MAX},
    peers::channels::{Peer, Peers},
    raft::types::Member,
};

/// The stream to the current leader; reopened when the leader changes or the stream breaks.
pub(crate) struct Forwarder {
    peers: Arc<Peers>,
    tasks: Tasks,
    open: Mutex<Option<(u64, Member, mpsc::Sender<Waiting>)>>,
}

impl Forwarder {
    pub(crate) fn new(peers: Arc<Peers>, tasks: Tasks) -> Self {
        Self { peers, tasks, open: Mutex::new(None) }
    }

    /// Puts `waiting` into the queue of the stream to `leader`. On any failure it is dropped, and its caller
    /// retries.
    pub(crate) async fn send(&self, leader: u64, member: &Member, waiting: Waiting) {
        let queue = self.queue(leader, member);
        if let Some(queue) = queue {
            // If the stream ended between the check and the send, the request is dropped and its caller retries on
            // a new stream.
            let _ended = queue.send(waiting).await;
        }
    }

    fn queue(&self, leader: u64, member: &Member) -> Option<mpsc::Sender<Waiting>> {
        // A cached stream, replaced by one assignment: it is consistent after a panic.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.as_ref() {
            Some((node, known, queue)) if *node == leader && known == member && !queue.is_closed() => {
                Some(queue.clone())
            }
            _ => {
                let peer = self.peers.client(leader, member).ok()?;
                let (queue, requests) = mpsc::channel(FORWARD_QUEUE_REQUESTS_MAX);
                self.tasks.spawn(ReplicaTask::Forwarding, run(peer, requests));
                *open = Some((leader, member.clone(), queue.clone()));
                Some(queue)
            }
        }
    }
}

/// Runs one stream until it breaks or its queue is dropped. Requests that still wait then are dropped, and their
/// callers retry.
async fn run(mut peer: Peer, mut requests: mpsc::Receiver<Waiting>) {
    let (messages, outgoing) = mpsc::channel::<proto::SubmitRequest>(FORWARDS_IN_FLIGHT_MAX);
    let mut replies = match peer.submit(ReceiverStream::new(outgoing)).await {
        Ok(replies) => replies.into_inner(),
        Err(status) => return tracing::debug!(message = status.message(), "no stream to the leader"),
    };
    let mut under_way: BTreeMap<u64, Vec<oneshot::Sender<Recorded>>> = BTreeMap::new();
    let mut next_id = 0;
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            reply = next_reply(&mut replies) => match reply {
                Some(reply) => deliver(reply, &mut under_way),
                None => return,
            },
            taken = requests.recv_many(&mut batch, FORWARD_REQUESTS_MAX), if under_way.len() < FORWARDS_IN_FLIGHT_MAX => {
                if taken == 0 {
                    return;
                }
                let (records, callers) = batch.drain(..).map(|waiting| (waiting.record, waiting.reply)).unzip();
                under_way.insert(next_id, callers);
                // Fewer messages are in flight than the channel holds, so this send does not wait.
                if messages.send(proto::SubmitRequest { id: next_id, records }).await.is_err() {
                    return;
                }
                next_id += 1;
            }
        }
    }
}

async fn next_reply(replies: &mut Streaming<proto::SubmitReply>) -> Option<proto::SubmitReply> {
    match replies.message().await {
        Ok(reply) => reply,
        Err(status) => {
            tracing::debug!(message = status.message(), "the stream to the leader broke");
            None
        }
    }
}

fn deliver(reply: proto::SubmitReply, under_way: &mut BTreeMap<u64, Vec<oneshot::Sender<Recorded>>>) {
    let callers = under_way.remove(&reply.id).unwrap_or_default();
    for (caller, submitted) in callers.into_iter().zip(reply.results) {
        if let Some(recorded) = recorded_in(&submitted) {
            let _gone = caller.send(recorded);
        }
    }
}

pub(crate) fn recorded_out(recorded: Option<&Recorded>) -> proto::Submitted {
    recorded.map_or_else(proto::Submitted::default, |recorded| proto::Submitted {
        outcome: recorded.outcome.encode().into(),
        cluster_time_ms: recorded.cluster_time_ms,
        log_index: recorded.log_index,
        offset: recorded.offset,
    })
}

/// `None` if the leader had no answer, or one that this version cannot decode: the caller retries in both cases.
fn recorded_in(submitted: &proto::Submitted) -> Option<Recorded> {
    let outcome = RecordOutcome::decode(&submitted.outcome).ok()?;
    Some(Recorded {
        outcome,
        cluster_time_ms: submitted.cluster_time_ms,
        log_index: submitted.log_index,
        offset: submitted.offset,
    })
}

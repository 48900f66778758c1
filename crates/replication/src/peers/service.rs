//! The peer service: the calls that other nodes make to this one.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use activation::state::Holder;
use api::peer::v1::{self as proto, peer_server};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    environment::{ReplicaTask, Tasks},
    gate::{hello, state::Gate},
    leader::{batcher::Waiting, profiles::profile_out, propose},
    legacy::LegacyRequests,
    limits::{FORWARD_REQUESTS_MAX, FORWARDS_IN_FLIGHT_MAX},
    peers::{forward::recorded_out, receiving},
    raft::{
        types::Runtime,
        wire::{self, Malformed},
    },
    replica::running::RunningReplica,
};

type Reply<T> = Result<Response<T>, Status>;
type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The peer service of one replica; see [`Replica::peer_service`](crate::Replica::peer_service).
#[derive(Clone)]
pub struct PeerService {
    pub(crate) running: Arc<RunningReplica>,
    /// Answers the `Ask` call of nodes that run the previous version.
    pub(crate) legacy: Arc<dyn LegacyRequests>,
}

fn malformed(Malformed(what): Malformed) -> Status {
    Status::invalid_argument(what)
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

#[tonic::async_trait]
impl peer_server::Peer for PeerService {
    type AppendStream = Replies<proto::AppendReply>;
    type SubmitStream = Replies<proto::SubmitReply>;
    type SendSnapshotStream = Replies<proto::SnapshotProgress>;

    async fn identify(&self, _: Request<proto::IdentifyRequest>) -> Reply<proto::IdentifyReply> {
        let identity = self.running.identity;
        let initialised = self.running.raft().is_initialized().await.map_err(stopped)?;
        let store = Bytes::copy_from_slice(identity.store.as_bytes());
        let newest_format = self.running.newest_format.number();
        let boot = Some(self.running.gate.own().boot);
        Ok(Response::new(proto::IdentifyReply { node: identity.owner, store, initialised, newest_format, boot }))
    }

    async fn hello(&self, request: Request<proto::HelloRequest>) -> Reply<proto::HelloReply> {
        let RunningReplica { gate, peers, log, .. } = &*self.running;
        let node = self.running.admit(request.metadata())?;
        let hello = hello::hello_in(request.into_inner()).map_err(malformed)?;
        let metrics = self.running.server_metrics();
        let membership = metrics.membership_config.membership();
        let verdict = hello::answer((gate, peers, log), membership, node, hello).await.map_err(stopped)?;
        Ok(Response::new(hello::reply_out(gate, verdict)))
    }

    async fn append(&self, request: Request<Streaming<proto::AppendRequest>>) -> Reply<Self::AppendStream> {
        self.running.admit_started(request.metadata())?;
        let (gate, replying) = (Arc::clone(&self.running.gate), Arc::clone(&self.running.gate));
        // A message that cannot be decoded ends the stream; the leader opens a new one.
        let requests = tokio_stream::StreamExt::map_while(request.into_inner(), move |message| {
            let message = message.ok().filter(|_| gate.is_admitted())?;
            wire::append_in(message).ok()
        });
        let raft = self.running.raft();
        let results = Runtime::scope(self.running.seed(), async { raft.stream_append(requests) }).await;
        let replies = results.map(move |result| match result {
            Ok(result) => {
                Ok(proto::AppendReply { durable: Some(replying.durable()), ..wire::append_result_out(&result) })
            }
            Err(fatal) => Err(stopped(fatal)),
        });
        Ok(Response::new(replies.boxed()))
    }

    async fn vote(&self, request: Request<proto::VoteRequest>) -> Reply<proto::VoteReply> {
        self.running.admit_started(request.metadata())?;
        let request = wire::vote_request_in(request.into_inner()).map_err(malformed)?;
        let response = self.running.raft().vote(request).await.map_err(stopped)?;
        let durable = Some(self.running.gate.durable());
        Ok(Response::new(proto::VoteReply { durable, ..wire::vote_reply_out(&response) }))
    }

    async fn pre_vote(&self, request: Request<proto::VoteRequest>) -> Reply<proto::VoteReply> {
        self.running.admit_started(request.metadata())?;
        let request = wire::vote_request_in(request.into_inner()).map_err(malformed)?;
        let response = self.running.raft().pre_vote(request).await.map_err(stopped)?;
        let durable = Some(self.running.gate.durable());
        Ok(Response::new(proto::VoteReply { durable, ..wire::vote_reply_out(&response) }))
    }

    async fn install_snapshot(&self, request: Request<Streaming<proto::SnapshotChunk>>) -> Reply<proto::SnapshotReply> {
        self.running.admit_started(request.metadata())?;
        Ok(Response::new(receiving::receive_whole(&self.running, request.into_inner()).await?))
    }

    async fn send_snapshot(&self, request: Request<Streaming<proto::SnapshotPart>>) -> Reply<Self::SendSnapshotStream> {
        self.running.admit_started(request.metadata())?;
        let progress = receiving::receive_in_parts(Arc::clone(&self.running), request.into_inner());
        Ok(Response::new(progress.boxed()))
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::TransferLeaderRequest>,
    ) -> Reply<proto::TransferLeaderReply> {
        self.running.admit_trusting(request.metadata())?;
        let request = wire::transfer_in(request.into_inner()).map_err(malformed)?;
        let response = self.running.raft().handle_transfer_leader(request).await.map_err(stopped)?;
        Ok(Response::new(wire::transfer_reply_out(&response)))
    }

    async fn submit(&self, request: Request<Streaming<proto::SubmitRequest>>) -> Reply<Self::SubmitStream> {
        self.running.admit_trusting(request.metadata())?;
        let (replies, outgoing) = mpsc::channel(FORWARDS_IN_FLIGHT_MAX);
        let RunningReplica { tasks, batcher, gate, .. } = &*self.running;
        let own = (tasks.clone(), batcher.clone(), Arc::clone(gate));
        let submissions = take_submissions(own, request.into_inner(), replies);
        self.running.tasks.spawn(ReplicaTask::Submissions, submissions);
        Ok(Response::new(ReceiverStream::new(outgoing).boxed()))
    }

    async fn propose(&self, request: Request<proto::ProposeRequest>) -> Reply<proto::ProposeReply> {
        self.running.admit_trusting(request.metadata())?;
        let proposal = request.into_inner().proposal;
        let proposal = proposal
            .ok_or_else(|| Status::invalid_argument("a proposal is empty, or of a newer version than this node's"))?;
        Ok(Response::new(propose::here(&self.running, proposal.into()).await.into()))
    }

    async fn read_index(&self, request: Request<proto::ReadIndexRequest>) -> Reply<proto::ReadIndexReply> {
        use proto::read_index_reply::Result;
        self.running.admit_trusting(request.metadata())?;
        let result = match self.running.read_point_here().await {
            Some(point) => Result::Point(point.into()),
            None => Result::Retry(proto::Retry {}),
        };
        Ok(Response::new(proto::ReadIndexReply { result: Some(result) }))
    }

    async fn state_hash(&self, request: Request<proto::StateHashRequest>) -> Reply<proto::StateHashReply> {
        self.running.admit_started(request.metadata())?;
        let index = request.into_inner().index;
        let hash = self.running.state_machine.view(|state| state.hash_at(index));
        let hash = hash.map_or_else(Bytes::new, |hash| Bytes::copy_from_slice(&hash));
        let diverged = self.running.state_machine.progress().borrow().diverged_at.is_some();
        Ok(Response::new(proto::StateHashReply { hash, diverged }))
    }

    async fn clock(&self, request: Request<proto::ClockRequest>) -> Reply<proto::ClockReply> {
        self.running.admit(request.metadata())?;
        if let Some(reason) = self.running.gate.quarantined_because() {
            // The refusal makes the leader count this node as lost: its vote goes to a learner.
            return Err(Status::failed_precondition(format!("the node is quarantined: {reason}")));
        }
        let leaving = self.running.leaving.load(Ordering::Relaxed);
        Ok(Response::new(proto::ClockReply {
            wall_ms: self.running.clock.wall_ms(),
            leaving,
            synchronised: self.running.clock.is_synchronised(),
            election_profile: profile_out(self.running.consensus.profile()).into(),
            round_trips: self.running.round_trips.medians().into_iter().map(round_trip_out).collect(),
        }))
    }

    async fn vouch(&self, request: Request<proto::VouchRequest>) -> Reply<proto::VouchReply> {
        self.running.admit_trusting(request.metadata())?;
        let key: [u8; 32] = request.get_ref().key.as_ref().try_into().map_err(|_| malformed(Malformed("key")))?;
        let holder = self.running.state_machine.view(|state| state.registry().get(&key).map(|it| it.holder.clone()));
        let node = match holder {
            Some(Holder::Node(node)) => node,
            Some(Holder::Person { .. }) | None => 0,
        };
        Ok(Response::new(proto::VouchReply { node }))
    }

    async fn leaving(&self, request: Request<proto::LeavingRequest>) -> Reply<proto::LeavingReply> {
        let node = self.running.admit(request.metadata())?;
        self.running.presence.is_leaving(node);
        Ok(Response::new(proto::LeavingReply {}))
    }

    async fn ask(&self, request: Request<proto::AskRequest>) -> Reply<proto::AskReply> {
        self.running.admit(request.metadata())?;
        let answer = self.legacy.answer(request.into_inner().question).await?;
        Ok(Response::new(proto::AskReply { answer }))
    }
}

fn round_trip_out((node, took): (u64, Duration)) -> proto::RoundTrip {
    proto::RoundTrip { node, microseconds: u64::try_from(took.as_micros()).unwrap_or(u64::MAX) }
}

/// Reads one node's submissions, a bounded number of messages at a time, and answers each message when all of its
/// requests are recorded.
async fn take_submissions(
    (tasks, batcher, gate): (Tasks, mpsc::Sender<Waiting>, Arc<Gate>),
    mut messages: Streaming<proto::SubmitRequest>,
    replies: mpsc::Sender<Result<proto::SubmitReply, Status>>,
) {
    let slots = Arc::new(Semaphore::new(FORWARDS_IN_FLIGHT_MAX));
    while let Ok(Some(proto::SubmitRequest { id, records })) = messages.message().await {
        if gate.is_quarantined() {
            return;
        }
        if records.len() > FORWARD_REQUESTS_MAX {
            let _gone = replies.send(Err(Status::invalid_argument("a submission holds too many records"))).await;
            return;
        }
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let mut recorded = Vec::with_capacity(records.len());
        for record in records {
            let (reply, answer) = oneshot::channel();
            if batcher.send(Waiting { record, reply }).await.is_err() {
                return;
            }
            recorded.push(answer);
        }
        let replies = replies.clone();
        tasks.spawn(ReplicaTask::Submission, async move {
            let mut results = Vec::with_capacity(recorded.len());
            for answer in recorded {
                results.push(recorded_out(answer.await.ok().as_ref()));
            }
            let _gone = replies.send(Ok(proto::SubmitReply { id, results })).await;
            drop(slot);
        });
    }
}

//! A node's peer service; the oracle records each promise in an answer.

use std::pin::Pin;

use api::peer::v1::{self as proto, peer_server::Peer};
use futures::{Stream, StreamExt};
use replication::PeerService;
use tonic::{Request, Response, Status, Streaming};

use crate::world::World;

type Reply<T> = Result<Response<T>, Status>;
type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The peer service of one node, with the recording of its promises.
pub(crate) struct WatchedCalls {
    pub(crate) calls: PeerService,
    pub(crate) world: World,
    pub(crate) node: u64,
}

#[tonic::async_trait]
impl Peer for WatchedCalls {
    type AppendStream = Replies<proto::AppendReply>;
    type SubmitStream = Replies<proto::SubmitReply>;
    type SendSnapshotStream = Replies<proto::SnapshotProgress>;

    async fn append(&self, request: Request<Streaming<proto::AppendRequest>>) -> Reply<Self::AppendStream> {
        let (world, node) = (self.world.clone(), self.node);
        let replies = self.calls.append(request).await?.into_inner().inspect(move |reply| {
            use proto::append_reply::Result::Matching;
            if let Ok(proto::AppendReply { result: Some(Matching(matching)), .. }) = reply {
                let index = matching.last.map_or(0, |last| last.index);
                world.oracle(|oracle| oracle.promises.matching(node, index));
            }
        });
        Ok(Response::new(replies.boxed()))
    }

    async fn vote(&self, request: Request<proto::VoteRequest>) -> Reply<proto::VoteReply> {
        let asked = request.get_ref().vote;
        let reply = self.calls.vote(request).await?;
        if let Some(vote) = asked.filter(|_| reply.get_ref().granted) {
            self.world
                .trace(format_args!("node {} grants its vote to node {} in term {}", self.node, vote.node, vote.term));
            self.world.oracle(|oracle| oracle.promises.granted(self.node, (vote.term, vote.node)));
        }
        Ok(reply)
    }

    async fn install_snapshot(&self, request: Request<Streaming<proto::SnapshotChunk>>) -> Reply<proto::SnapshotReply> {
        self.world.trace(format_args!("the leader sends node {} a snapshot", self.node));
        self.calls.install_snapshot(request).await
    }

    async fn send_snapshot(&self, request: Request<Streaming<proto::SnapshotPart>>) -> Reply<Self::SendSnapshotStream> {
        self.world.trace(format_args!("the leader sends node {} a snapshot", self.node));
        self.calls.send_snapshot(request).await
    }

    async fn pre_vote(&self, request: Request<proto::VoteRequest>) -> Reply<proto::VoteReply> {
        self.calls.pre_vote(request).await
    }

    async fn identify(&self, request: Request<proto::IdentifyRequest>) -> Reply<proto::IdentifyReply> {
        self.calls.identify(request).await
    }

    async fn hello(&self, request: Request<proto::HelloRequest>) -> Reply<proto::HelloReply> {
        self.calls.hello(request).await
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::TransferLeaderRequest>,
    ) -> Reply<proto::TransferLeaderReply> {
        self.calls.transfer_leader(request).await
    }

    async fn submit(&self, request: Request<Streaming<proto::SubmitRequest>>) -> Reply<Self::SubmitStream> {
        self.calls.submit(request).await
    }

    async fn propose(&self, request: Request<proto::ProposeRequest>) -> Reply<proto::ProposeReply> {
        self.calls.propose(request).await
    }

    async fn read_index(&self, request: Request<proto::ReadIndexRequest>) -> Reply<proto::ReadIndexReply> {
        self.calls.read_index(request).await
    }

    async fn state_hash(&self, request: Request<proto::StateHashRequest>) -> Reply<proto::StateHashReply> {
        self.calls.state_hash(request).await
    }

    async fn clock(&self, request: Request<proto::ClockRequest>) -> Reply<proto::ClockReply> {
        self.calls.clock(request).await
    }

    async fn vouch(&self, request: Request<proto::VouchRequest>) -> Reply<proto::VouchReply> {
        self.calls.vouch(request).await
    }

    async fn leaving(&self, request: Request<proto::LeavingRequest>) -> Reply<proto::LeavingReply> {
        self.calls.leaving(request).await
    }

    async fn ask(&self, request: Request<proto::AskRequest>) -> Reply<proto::AskReply> {
        self.calls.ask(request).await
    }
}

//! openraft's calls to other nodes, over tonic.

use std::{future::Future, sync::Arc, time::Duration};

use api::peer::v1 as proto;
use futures::{Stream, StreamExt};
use openraft::{
    OptionalSend, RaftNetworkFactory,
    base::{BoxFuture, BoxStream},
    errors::{NetworkError, ReplicationClosed, StreamingError, Unreachable},
    network::{RPCOption, v2::RaftNetworkV2},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use tokio::sync::watch;
use tonic::{Response, Status};
use uuid::Uuid;

use crate::{
    gate::state::Gate,
    limits::TRANSFER_CALL_TIMEOUT,
    peers::channels::{NoChannel, Peer, Peers},
    raft::{
        sending,
        types::{EncodedState, Member, RpcError, Snapshot, TypeConfig, Vote},
        wire::{self, Malformed},
    },
};

/// Creates a [`Link`] to each node that openraft calls.
pub(crate) struct Links {
    pub(crate) peers: Arc<Peers>,
    pub(crate) gate: Arc<Gate>,
    /// Size of one part of a snapshot, in bytes; each part is one message.
    pub(crate) chunk_bytes: usize,
    /// Closed when the calling openraft instance has ended.
    pub(crate) ended: watch::Receiver<()>,
}

impl RaftNetworkFactory<TypeConfig> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: u64, member: &Member) -> Link {
        let peer = self.peers.client(target, member).map_err(Arc::new);
        let to = Target { node: target, store: member.store, gate: Arc::clone(&self.gate) };
        Link { peer, peers: Arc::clone(&self.peers), to, chunk_bytes: self.chunk_bytes, ended: self.ended.clone() }
    }
}

/// The calls to one peer.
pub(crate) struct Link {
    /// The client, or why there is none: an invalid address is reported by the first call.
    peer: Result<Peer, Arc<NoChannel>>,
    peers: Arc<Peers>,
    to: Target,
    chunk_bytes: usize,
    ended: watch::Receiver<()>,
}

/// The peer's identity, and the start gate that records it.
#[derive(Clone)]
struct Target {
    node: u64,
    store: Uuid,
    gate: Arc<Gate>,
}

impl Target {
    fn refused(&self, status: &Status) -> RpcError {
        self.gate.was_refused(self.node, status);
        unreachable(status.message())
    }

    /// Records what a reply reports about the peer's store.
    ///
    /// Errors: the reply must be ignored.
    fn hear(&self, durable: Option<proto::Durable>) -> Result<(), RpcError> {
        self.gate.hear_reply(self.node, self.store, durable).map_err(unreachable)
    }

    /// The result of an append by the leader of `vote`.
    ///
    /// A peer that lacks an entry that it acknowledged to this leader has lost it. openraft does not expect this
    /// case: a debug build panics, and a release build never replicates to the peer again. Therefore openraft gets
    /// the error that the peer is unreachable, and the next Hello notifies the peer of the missing entry.
    fn append_result(
        &self,
        vote: &Vote,
        reply: proto::AppendReply,
    ) -> Result<StreamAppendResult<TypeConfig>, RpcError> {
        self.hear(reply.durable)?;
        let result = wire::append_result_in(reply).map_err(malformed)?;
        match &result {
            Ok(Some(last)) => self.gate.acknowledged(self.node, self.store, *vote, *last),
            Err(StreamAppendError::Conflict(at)) => {
                let acknowledged = self.gate.acknowledged_by(self.node, self.store, vote);
                if acknowledged.is_some_and(|last| at.index <= last.index) {
                    let index = at.index;
                    tracing::error!(node = self.node, index, "a follower lacks an entry that it acknowledged");
                    self.gate.is_unknown_to(self.node);
                    return Err(unreachable(format!("node {} lacks entry {index}, which it acknowledged", self.node)));
                }
            }
            Ok(None) | Err(StreamAppendError::HigherVote(_)) => {}
        }
        Ok(result)
    }
}

fn unreachable(what: impl ToString) -> RpcError {
    Unreachable::from_string(what).into()
}

fn malformed(Malformed(what): Malformed) -> RpcError {
    NetworkError::from_string(what).into()
}

impl Link {
    /// The client; an error if this node is quarantined, because it must not call other nodes. openraft keeps a
    /// link while the peer is a member, even if its address changes, so the client uses the channel that was opened
    /// last.
    fn peer(&self) -> Result<Peer, RpcError> {
        if self.to.gate.is_quarantined() {
            return Err(unreachable("this node is quarantined"));
        }
        let newest = self.peers.newest(self.to.node, self.to.store);
        newest.map_or_else(|| self.peer.clone().map_err(unreachable), Ok)
    }

    /// One call with its reply within `deadline`. Any failure counts as unreachable, so that openraft pauses before
    /// the next call.
    async fn call<T>(
        &self,
        deadline: Duration,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, RpcError> {
        match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.to.refused(&status)),
            Err(_) => Err(unreachable(format!("no answer within {} ms", deadline.as_millis()))),
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = EncodedState;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let deadline = option.hard_ttl();
        let mut replies = self.stream_append(futures::stream::iter([request]), option).await?;
        match tokio::time::timeout(deadline, replies.next()).await {
            Ok(Some(reply)) => Ok(reply?.into()),
            Ok(None) => Err(unreachable("the peer closed the stream without an answer")),
            Err(_) => Err(unreachable("no answer in time")),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut requests: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>, RpcError>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        // No deadline for the stream: heartbeats have their own, and the channel's keep-alive ends a stream to a
        // peer that is down.
        Box::pin(async move {
            // openraft pauses after an error only if it occurs inside this stream. If a call failed before the
            // first request is taken, openraft would repeat it without a pause, some ten thousand times a second
            // while a peer is down.
            let Some(first) = requests.next().await else {
                return Ok(futures::stream::empty().boxed() as BoxStream<'s, _>);
            };
            // All requests of a stream belong to one term of leadership.
            let (vote, to, gate) = (first.vote, self.to.clone(), Arc::clone(&self.to.gate));
            let messages = futures::stream::iter([first]).chain(requests);
            let messages = messages.take_while(move |_| std::future::ready(!gate.is_quarantined()));
            let messages = messages.map(|request| wire::append_out(&request));
            let mut ended = self.ended.clone();
            let mut peer = self.peer()?;
            let replies = tokio::select! {
                replies = peer.append(messages) => replies.map_err(|status| self.to.refused(&status))?,
                // A peer that does not respond must not delay the openraft instance that follows.
                _ = ended.changed() => return Err(unreachable("the caller has ended")),
            };
            let results = replies.into_inner().map(move |reply| match reply {
                Ok(reply) => to.append_result(&vote, reply),
                Err(status) => Err(to.refused(&status)),
            });
            Ok(results.boxed() as BoxStream<'s, _>)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let mut peer = self.peer()?;
        let reply = self.call(option.hard_ttl(), peer.vote(wire::vote_request_out(&request))).await?;
        self.to.hear(reply.durable)?;
        wire::vote_reply_in(reply).map_err(malformed)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        // openraft's default implementation grants the vote: a peer that cannot be reached must not count as
        // agreement.
        let mut peer = self.peer()?;
        let reply = self.call(option.hard_ttl(), peer.pre_vote(wire::vote_request_out(&request))).await?;
        self.to.hear(reply.durable)?;
        wire::vote_reply_in(reply).map_err(malformed)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let unreachable = |what: &str| StreamingError::Unreachable(Unreachable::from_string(what));
        let mut peer = self.peer().map_err(|error| unreachable(&error.to_string()))?;
        let reply = tokio::select! {
            closed = cancel => return Err(closed.into()),
            reply = sending::send(&mut peer, &vote, &snapshot, self.chunk_bytes, option.hard_ttl()) => reply,
        };
        let reply = reply.map_err(|status| {
            self.to.gate.was_refused(self.to.node, &status);
            unreachable(status.message())
        })?;
        match wire::vote_in(reply.vote) {
            Ok(accepted) => {
                if let Some(last) = snapshot.meta.last_log_id.filter(|_| accepted == vote) {
                    self.to.gate.acknowledged(self.to.node, self.to.store, vote, last);
                }
                Ok(SnapshotResponse::new(accepted))
            }
            Err(Malformed(what)) => Err(StreamingError::Network(NetworkError::from_string(what))),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let mut peer = self.peer()?;
        let reply = self
            .call(option.hard_ttl().max(TRANSFER_CALL_TIMEOUT), peer.transfer_leader(wire::transfer_out(&request)))
            .await?;
        wire::transfer_reply_in(reply).map_err(malformed)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        sync::atomic::{AtomicBool, Ordering},
        task::{Context, Poll},
    };

    use openraft::network::RPCOption;
    use storage::{Disk, Kind, Owner, SledDisk, Store};
    use tonic::transport::Endpoint;
    use uuid::Uuid;

    use super::*;
    use crate::{gate::state::Beginning, planted::Planted};

    /// A stream that records whether the next request was taken, at which point openraft would pause.
    struct Pausing(Arc<AtomicBool>, Option<AppendEntriesRequest<TypeConfig>>);

    impl Stream for Pausing {
        type Item = AppendEntriesRequest<TypeConfig>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.0.store(true, Ordering::Relaxed);
            Poll::Ready(self.1.take())
        }
    }

    #[tokio::test]
    async fn a_peer_that_is_down_is_not_called_again_before_openrafts_pause() {
        // Nothing listens on port 9 of the loopback address.
        let connect = Arc::new(|address: &str| Ok(Endpoint::from_shared(format!("http://{address}"))?.connect_lazy()));
        let peers = Peers::new(1, Uuid::from_u128(1), 1, connect);
        let member = Member { address: "127.0.0.1:9".into(), store: Uuid::from_u128(2) };
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner { kind: Kind::Node, number: 1, store_if_new: Uuid::from_u128(1) };
        let store = Arc::new(Store::open(&folder.path().join("store"), owner).unwrap());
        let disk = Arc::new(SledDisk::start(store, folder.path(), |_| {}).unwrap());
        let beginning = Beginning { was_member: true, is_alone: false };
        let identity = (disk.identity(), 1);
        let gate = Gate::open(disk, identity, Arc::default(), beginning, Planted::NONE).await.unwrap();
        let (_runs, ended) = watch::channel(());
        let mut links = Links { peers: Arc::new(peers), gate: Arc::new(gate), chunk_bytes: 1, ended };
        let mut link = links.new_client(2, &member).await;
        let request = AppendEntriesRequest {
            vote: Vote::new_committed(1, 1),
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        };
        let paused = Arc::new(AtomicBool::new(false));
        let requests = Pausing(Arc::clone(&paused), Some(request));
        let called = link.stream_append(requests, RPCOption::new(Duration::from_secs(1))).await;
        assert!(called.is_err(), "no node answers");
        assert!(paused.load(Ordering::Relaxed), "the pause was skipped");
    }
}

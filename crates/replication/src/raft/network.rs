//! openraft's calls to other nodes, over tonic.

use std::{future::Future, sync::Arc, time::Duration};

use api::peer::v1 as proto;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use openraft::{
    OptionalSend, RaftNetworkFactory,
    base::{BoxFuture, BoxStream},
    errors::{NetworkError, ReplicationClosed, StreamingError, Unreachable},
    network::{RPCOption, v2::RaftNetworkV2},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use tonic::{Response, Status};

use crate::{
    limits::SNAPSHOT_CHUNK_BYTES,
    peers::channels::{NoChannel, Peer, Peers},
    raft::{
        types::{Member, RpcError, Snapshot, TypeConfig, Vote},
        wire::{self, Malformed},
    },
};

/// Makes a [`Link`] to each node that openraft asks for.
pub(crate) struct Links(pub(crate) Arc<Peers>);

impl RaftNetworkFactory<TypeConfig> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: u64, member: &Member) -> Link {
        Link { peer: self.0.client(target, member).map_err(Arc::new) }
    }
}

/// One peer.
pub(crate) struct Link {
    /// The client, or why there is none: an address that is no address is found by the first call.
    peer: Result<Peer, Arc<NoChannel>>,
}

fn unreachable(what: impl ToString) -> RpcError {
    Unreachable::from_string(what).into()
}

fn malformed(Malformed(what): Malformed) -> RpcError {
    NetworkError::from_string(what).into()
}

impl Link {
    fn peer(&self) -> Result<Peer, RpcError> {
        self.peer.clone().map_err(unreachable)
    }
}

/// One call and its answer within `deadline`; anything else counts as unreachable, so that openraft backs off.
async fn call<T>(deadline: Duration, answer: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, RpcError> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(unreachable(status.message())),
        Err(_) => Err(unreachable(format!("no answer within {} ms", deadline.as_millis()))),
    }
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = Bytes;

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
        // No deadline of its own: heartbeats bring theirs, and the channel's keep-alive ends a stream to a dead peer.
        Box::pin(async move {
            // openraft pauses after an error inside this stream: a call that fails before it asks for the first request
            // would be made again at once, some ten thousand times a second for as long as a peer is down.
            let Some(first) = requests.next().await else {
                return Ok(futures::stream::empty().boxed() as BoxStream<'s, _>);
            };
            let messages = futures::stream::iter([first]).chain(requests).map(|request| wire::append_out(&request));
            let replies = self.peer()?.append(messages).await.map_err(|status| unreachable(status.message()))?;
            let results = replies.into_inner().map(|reply| match reply {
                Ok(reply) => wire::append_result_in(reply).map_err(malformed),
                Err(status) => Err(unreachable(status.message())),
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
        let reply = call(option.hard_ttl(), peer.vote(wire::vote_request_out(&request))).await?;
        wire::vote_reply_in(reply).map_err(malformed)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        // openraft's own default grants: a peer that cannot be asked must not count as one that agrees.
        let mut peer = self.peer()?;
        let reply = call(option.hard_ttl(), peer.pre_vote(wire::vote_request_out(&request))).await?;
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
        let mut peer = self.peer.clone().map_err(|error| unreachable(&error.to_string()))?;
        let chunks = futures::stream::iter(snapshot_chunks(&vote, &snapshot));
        let sent = tokio::time::timeout(option.hard_ttl(), peer.install_snapshot(chunks));
        let reply = tokio::select! {
            closed = cancel => return Err(closed.into()),
            sent = sent => match sent {
                Ok(Ok(reply)) => reply.into_inner(),
                Ok(Err(status)) => return Err(unreachable(status.message())),
                Err(_) => return Err(unreachable("the snapshot was not taken in time")),
            },
        };
        match wire::vote_in(reply.vote) {
            Ok(vote) => Ok(SnapshotResponse::new(vote)),
            Err(Malformed(what)) => Err(StreamingError::Network(NetworkError::from_string(what))),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let mut peer = self.peer()?;
        let reply = call(option.hard_ttl(), peer.transfer_leader(wire::transfer_out(&request))).await?;
        wire::transfer_reply_in(reply).map_err(malformed)
    }
}

/// The snapshot in messages; the first one says what is coming.
fn snapshot_chunks(vote: &Vote, snapshot: &Snapshot) -> Vec<proto::SnapshotChunk> {
    let state = &snapshot.snapshot;
    let head = proto::SnapshotHead {
        vote: Some(wire::vote_out(vote)),
        last: snapshot.meta.last_log_id.as_ref().map(wire::log_id_out),
        membership: Some(wire::stored_membership_out(&snapshot.meta.last_membership)),
        state_bytes: state.len() as u64,
    };
    let first = proto::SnapshotChunk { head: Some(head), state: Bytes::new() };
    let rest = (0..state.len()).step_by(SNAPSHOT_CHUNK_BYTES).map(|start| {
        let end = state.len().min(start + SNAPSHOT_CHUNK_BYTES);
        proto::SnapshotChunk { head: None, state: state.slice(start..end) }
    });
    std::iter::once(first).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        sync::atomic::{AtomicBool, Ordering},
        task::{Context, Poll},
    };

    use openraft::network::RPCOption;
    use tonic::transport::Endpoint;
    use uuid::Uuid;

    use super::*;

    /// A stream that notes whether anybody has asked for the next request, where openraft would pause.
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
        // Port 9 of the loopback address: nobody is there.
        let connect = Arc::new(|address: &str| Ok(Endpoint::from_shared(format!("http://{address}"))?.connect_lazy()));
        let peers = Peers::new(1, Uuid::from_u128(1), connect);
        let member = Member { address: "127.0.0.1:9".into(), store: Uuid::from_u128(2) };
        let mut link = Links(Arc::new(peers)).new_client(2, &member).await;
        let request = AppendEntriesRequest {
            vote: Vote::new_committed(1, 1),
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        };
        let paused = Arc::new(AtomicBool::new(false));
        let requests = Pausing(Arc::clone(&paused), Some(request));
        let called = link.stream_append(requests, RPCOption::new(Duration::from_secs(1))).await;
        assert!(called.is_err(), "nobody is there");
        assert!(paused.load(Ordering::Relaxed), "the pause was passed by");
    }
}

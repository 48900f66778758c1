//! Receives a snapshot from another node, in parts or as a whole.

use std::sync::Arc;

use api::peer::v1::{self as proto, snapshot_part::Part, snapshot_progress::Progress};
use bytes::{Bytes, BytesMut};
use futures::{Stream, future::BoxFuture, stream};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use tokio::time::sleep;
use tonic::{Status, Streaming};

use crate::{
    limits::{SNAPSHOT_BYTES_MAX, SNAPSHOT_INSTALLING_INTERVAL},
    peers::taking_over,
    raft::{
        incoming::{Transfer, TransferError},
        types::{EncodedState, Snapshot, SnapshotMeta, Vote},
        wire::{self, Malformed},
    },
    replica::running::RunningReplica,
};

/// What the sender announces about a snapshot before it sends the state.
struct Head {
    vote: Vote,
    meta: SnapshotMeta,
    state_bytes: u64,
}

fn malformed(Malformed(what): Malformed) -> Status {
    Status::invalid_argument(what)
}

fn head_in(head: Option<proto::SnapshotHead>) -> Result<Head, Status> {
    let head = head.ok_or_else(|| Status::invalid_argument("a snapshot transfer begins without a header"))?;
    let state_bytes = head.state_bytes;
    if state_bytes > SNAPSHOT_BYTES_MAX {
        let refusal = format!("a snapshot of {state_bytes} bytes is larger than the limit of {SNAPSHOT_BYTES_MAX}");
        return Err(Status::resource_exhausted(refusal));
    }
    let vote = wire::vote_in(head.vote).map_err(malformed)?;
    let last_membership = wire::stored_membership_in(head.membership).map_err(malformed)?;
    let meta = SnapshotMeta { last_log_id: head.last.map(wire::log_id_in), last_membership };
    Ok(Head { vote, meta, state_bytes })
}

/// Receives a snapshot as a whole and installs it.
pub(crate) async fn receive_whole(
    running: &RunningReplica,
    mut chunks: Streaming<proto::SnapshotChunk>,
) -> Result<proto::SnapshotReply, Status> {
    let Head { vote, meta, state_bytes } = head_in(chunks.message().await?.and_then(|first| first.head))?;
    // The buffer grows with what arrives, not to the announced size.
    let mut state = BytesMut::new();
    while let Some(chunk) = chunks.message().await? {
        if (state.len() + chunk.state.len()) as u64 > state_bytes {
            return Err(Status::invalid_argument("a snapshot is longer than its header announced"));
        }
        state.extend_from_slice(&chunk.state);
    }
    if state.len() as u64 != state_bytes {
        return Err(Status::invalid_argument("a snapshot is shorter than its header announced"));
    }
    let state = running.computations.run(move || EncodedState::new(state.freeze())).await?;
    install(running, vote, Snapshot { meta, snapshot: state }).await
}

/// Installs the snapshot, unless the log holds its last entry already: then the log is kept (Raft paper, section 7, step 6).
///
/// The leader knows only what this node has acknowledged to it, so it may send a snapshot to a node whose log reaches further. openraft
/// 0.10.0-alpha.37 would install it and step its progress of log writes back, which its debug builds assert against. An append without
/// entries asks openraft whether the log holds the entry, and answers when the entry is durable.
async fn install(running: &RunningReplica, vote: Vote, snapshot: Snapshot) -> Result<proto::SnapshotReply, Status> {
    let last = snapshot.meta.last_log_id;
    let held = AppendEntriesRequest { vote, prev_log_id: last, entries: Vec::new(), leader_commit: last };
    let held = running.raft().append_entries(held).await;
    let vote = match held.map_err(|error| Status::unavailable(error.to_string()))? {
        AppendEntriesResponse::Success => vote,
        AppendEntriesResponse::HigherVote(higher) => higher,
        AppendEntriesResponse::PartialSuccess(_) | AppendEntriesResponse::Conflict => {
            let response = running.raft().install_full_snapshot(vote, snapshot).await;
            response.map_err(|fatal| Status::unavailable(fatal.to_string()))?.vote
        }
    };
    Ok(proto::SnapshotReply { vote: Some(wire::vote_out(&vote)) })
}

impl From<TransferError> for Status {
    fn from(error: TransferError) -> Self {
        let text = error.to_string();
        match error {
            TransferError::TooLong => Self::invalid_argument(text),
            TransferError::Damaged => Self::data_loss(text),
            TransferError::Superseded | TransferError::Disk(_) | TransferError::Stopped(_) => Self::unavailable(text),
        }
    }
}

/// The status for a transfer that ended. If the disk refused a part of it the node fails: there may be no other
/// write that would reveal the fault.
fn ended(running: &RunningReplica, error: TransferError) -> Status {
    if let TransferError::Disk(error) = &error {
        running.gate.disk_failed(error);
    }
    error.into()
}

/// What the sender announced about the snapshot that arrives.
struct Offered {
    vote: Vote,
    meta: SnapshotMeta,
    replaces_diverged: bool,
}

/// A call that sends a snapshot in parts.
struct Call {
    running: Arc<RunningReplica>,
    parts: Streaming<proto::SnapshotPart>,
    step: Step,
}

/// The next step of the call.
#[expect(clippy::large_enum_variant, reason = "one value per transfer, and there are few transfers")]
enum Step {
    Offer,
    Parts { offered: Offered, transfer: Transfer },
    Installing(BoxFuture<'static, Result<proto::SnapshotReply, Status>>),
    Done,
}

/// Receives a snapshot in parts, reports after each part how much is held, and installs the snapshot.
pub(crate) fn receive_in_parts(
    running: Arc<RunningReplica>,
    parts: Streaming<proto::SnapshotPart>,
) -> impl Stream<Item = Result<proto::SnapshotProgress, Status>> + Send {
    let call = Call { running, parts, step: Step::Offer };
    stream::try_unfold(call, Call::next)
}

impl Call {
    /// Executes the next step and reports the progress; `None` after the last step.
    async fn next(mut self) -> Result<Option<(proto::SnapshotProgress, Self)>, Status> {
        if !self.running.gate.is_admitted() {
            return Err(Status::failed_precondition("the node is no longer admitted"));
        }
        let (progress, step) = match std::mem::replace(&mut self.step, Step::Done) {
            Step::Offer => {
                let (offered, transfer) = self.offered().await?;
                self.held(offered, transfer)
            }
            Step::Parts { offered, mut transfer } => {
                // The stream ended; the caller may continue in a later call.
                let Some(message) = self.parts.message().await? else { return Ok(None) };
                let Some(Part::State(state)) = message.part.filter(|part| *part != Part::State(Bytes::new())) else {
                    return Err(Status::invalid_argument("a part of a snapshot is empty, or an offer"));
                };
                transfer.add(state).await.map_err(|error| ended(&self.running, error))?;
                self.held(offered, transfer)
            }
            Step::Installing(mut installing) => tokio::select! {
                biased;
                installed = &mut installing => (Progress::Installed(installed?), Step::Done),
                () = sleep(SNAPSHOT_INSTALLING_INTERVAL) => {
                    (Progress::Installing(proto::Installing {}), Step::Installing(installing))
                }
            },
            Step::Done => return Ok(None),
        };
        self.step = step;
        Ok(Some((proto::SnapshotProgress { progress: Some(progress) }, self)))
    }

    async fn offered(&mut self) -> Result<(Offered, Transfer), Status> {
        let Some(Part::Offer(offer)) = self.parts.message().await?.and_then(|first| first.part) else {
            return Err(Status::invalid_argument("a snapshot begins without an offer"));
        };
        let Head { vote, meta, state_bytes } = head_in(offer.head)?;
        if offer.replaces_diverged {
            taking_over::check(&self.running)?;
        }
        let digest = offer.digest.as_ref().try_into();
        let digest = digest.map_err(|_| Status::invalid_argument("a digest is not 32 bytes"))?;
        let transfer = self.running.incoming.begin(meta.last_log_id, digest, state_bytes).await;
        let transfer = transfer.map_err(|error| ended(&self.running, error))?;
        Ok((Offered { vote, meta, replaces_diverged: offer.replaces_diverged }, transfer))
    }

    /// The progress after a part; if the snapshot is complete, installing it is the next step.
    fn held(&self, offered: Offered, transfer: Transfer) -> (Progress, Step) {
        let progress = Progress::HeldBytes(transfer.held());
        if !transfer.is_complete() {
            return (progress, Step::Parts { offered, transfer });
        }
        let running = Arc::clone(&self.running);
        let installing = async move {
            let state = transfer.state(&running.computations).await;
            let state = state.map_err(|error| ended(&running, error))?;
            let Offered { vote, meta, replaces_diverged } = offered;
            let reply = if replaces_diverged {
                taking_over::take_over(&running, meta, state).await?;
                proto::SnapshotReply { vote: Some(wire::vote_out(&vote)) }
            } else {
                install(&running, vote, Snapshot { meta, snapshot: state }).await?
            };
            if let Err(error) = transfer.remove().await {
                tracing::warn!(%error, "could not remove the received file of a snapshot that is installed");
            }
            Ok(reply)
        };
        (progress, Step::Installing(Box::pin(installing)))
    }
}

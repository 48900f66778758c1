//! Sending a snapshot to another node.

use std::time::Duration;

use api::peer::v1::{self as proto, snapshot_part::Part, snapshot_progress::Progress};
use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::{
    limits::{SNAPSHOT_CHUNK_BYTES, SNAPSHOT_CHUNKS_IN_FLIGHT_MAX, SNAPSHOT_PROGRESS_TIMEOUT},
    peers::channels::Peer,
    raft::{
        types::{Snapshot, Vote},
        wire,
    },
};

/// Sends `snapshot`, in parts of `chunk_bytes` bytes, and waits until it is installed. A peer whose version does
/// not support parts gets it as a whole, within `whole`.
///
/// Errors: the peer refused the snapshot, could not be reached, or made no progress within
/// [`SNAPSHOT_PROGRESS_TIMEOUT`]. The peer keeps what it received, and the next attempt continues from there.
pub(crate) async fn send(
    peer: &mut Peer,
    vote: &Vote,
    snapshot: &Snapshot,
    chunk_bytes: usize,
    whole: Duration,
) -> Result<proto::SnapshotReply, Status> {
    match send_in_parts(peer, offer(vote, snapshot), snapshot.snapshot.bytes(), chunk_bytes).await {
        Err(status) if status.code() == Code::Unimplemented => send_whole(peer, vote, snapshot, whole).await,
        sent => sent,
    }
}

/// Sends a snapshot that a majority confirmed to a peer whose state has diverged, in parts of `chunk_bytes` bytes,
/// and waits until the peer has taken it over. Errors as in [`send`].
pub(crate) async fn replace_diverged(
    peer: &mut Peer,
    vote: &Vote,
    snapshot: &Snapshot,
    chunk_bytes: usize,
) -> Result<(), Status> {
    let offer = proto::SnapshotOffer { replaces_diverged: true, ..offer(vote, snapshot) };
    send_in_parts(peer, offer, snapshot.snapshot.bytes(), chunk_bytes).await.map(drop)
}

fn offer(vote: &Vote, snapshot: &Snapshot) -> proto::SnapshotOffer {
    proto::SnapshotOffer {
        head: Some(head(vote, snapshot)),
        digest: Bytes::copy_from_slice(snapshot.snapshot.digest()),
        replaces_diverged: false,
    }
}

fn head(vote: &Vote, snapshot: &Snapshot) -> proto::SnapshotHead {
    proto::SnapshotHead {
        vote: Some(wire::vote_out(vote)),
        last: snapshot.meta.last_log_id.as_ref().map(wire::log_id_out),
        membership: Some(wire::stored_membership_out(&snapshot.meta.last_membership)),
        state_bytes: snapshot.snapshot.bytes().len() as u64,
    }
}

fn part(part: Part) -> proto::SnapshotPart {
    proto::SnapshotPart { part: Some(part) }
}

async fn send_in_parts(
    peer: &mut Peer,
    offer: proto::SnapshotOffer,
    state: &Bytes,
    chunk_bytes: usize,
) -> Result<proto::SnapshotReply, Status> {
    let (parts, outgoing) = mpsc::channel(SNAPSHOT_CHUNKS_IN_FLIGHT_MAX);
    // The channel has room: this is the first message.
    let _sent = parts.try_send(part(Part::Offer(offer)));
    let answered = timeout(SNAPSHOT_PROGRESS_TIMEOUT, peer.send_snapshot(ReceiverStream::new(outgoing))).await;
    let mut answers = answered.map_err(|_| no_progress())??.into_inner();
    let mut deadline = Instant::now() + SNAPSHOT_PROGRESS_TIMEOUT;
    // The number of bytes that the peer holds, and the start of the next part, once the peer has reported where to
    // start.
    let mut held = None;
    let mut next = state.len();
    loop {
        tokio::select! {
            biased;
            answer = timeout_at(deadline, answers.message()) => {
                let answer = answer.map_err(|_| no_progress())??;
                let answer = answer.ok_or_else(|| Status::unavailable("the peer closed the stream without an answer"))?;
                match answer.progress {
                    Some(Progress::HeldBytes(bytes)) => {
                        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= state.len());
                        let bytes = bytes.filter(|bytes| held.is_none_or(|held| *bytes > held));
                        let bytes = bytes.ok_or_else(|| Status::internal("the peer reports an invalid snapshot size"))?;
                        if held.replace(bytes).is_none() {
                            next = bytes;
                        }
                    }
                    Some(Progress::Installing(_)) => {}
                    Some(Progress::Installed(reply)) => return Ok(reply),
                    None => return Err(Status::internal("a reply to a snapshot has no content")),
                }
                deadline = Instant::now() + SNAPSHOT_PROGRESS_TIMEOUT;
            }
            Ok(room) = parts.reserve(), if next < state.len() => {
                let end = state.len().min(next + chunk_bytes.max(1));
                room.send(part(Part::State(state.slice(next..end))));
                next = end;
            }
        }
    }
}

fn no_progress() -> Status {
    let seconds = SNAPSHOT_PROGRESS_TIMEOUT.as_secs();
    Status::deadline_exceeded(format!("the peer accepted no more of a snapshot within {seconds} s"))
}

/// Sends a snapshot as previous versions expect it; the first message announces its size.
async fn send_whole(
    peer: &mut Peer,
    vote: &Vote,
    snapshot: &Snapshot,
    within: Duration,
) -> Result<proto::SnapshotReply, Status> {
    let state = snapshot.snapshot.bytes().clone();
    let first = proto::SnapshotChunk { head: Some(head(vote, snapshot)), state: Bytes::new() };
    let rest = (0..state.len()).step_by(SNAPSHOT_CHUNK_BYTES).map(move |start| {
        let end = state.len().min(start + SNAPSHOT_CHUNK_BYTES);
        proto::SnapshotChunk { head: None, state: state.slice(start..end) }
    });
    let chunks = futures::stream::iter(std::iter::once(first).chain(rest));
    let sent = timeout(within, peer.install_snapshot(chunks)).await;
    let sent = sent.map_err(|_| Status::deadline_exceeded("the peer did not install the snapshot in time"))?;
    Ok(sent?.into_inner())
}

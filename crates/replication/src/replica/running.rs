//! The parts of a running replica, and what all of its tasks need: the leader, appending a command, read points.
//!
//! Each function makes one attempt; [`Replica`](crate::Replica) repeats them until one succeeds or the deadline
//! passes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use activation::{
    clock::{ClockAlarm, Stamp},
    settings::ElectionProfile,
    state::{Applied, Format, RequestId},
};
use api::peer::v1 as proto;
use bytes::Bytes;
use openraft::{
    ReadPolicy, async_runtime::WatchReceiver, errors::ClientWriteError, impls::ProgressResponder,
    metrics::RaftServerMetrics,
};
use sha2::{Digest, Sha256};
use storage::{Disk, Identity};
use tokio::sync::{mpsc, oneshot, watch};
use tonic::{Status, metadata::MetadataMap};

use crate::{
    environment::{Computations, Tasks},
    gate::state::Gate,
    leader::{
        batcher::{Recorded, Waiting},
        clock::LeaderClock,
        confirmation::Confirmation,
        presence::Presence,
        profiles::Profiles,
        proposal::Proposed,
        round_trips::RoundTrips,
    },
    peers::{
        channels::{self, NoChannel, Peer, PeerChannel, Peers},
        forward::Forwarder,
    },
    planted::{Bug, Planted},
    raft::{
        consensus::Consensus,
        incoming::Incoming,
        log::Log,
        state_machine::{Raft, StateMachine},
        types::{Command, Member, TypeConfig},
    },
    replica::shared_reads::SharedReads,
    warnings::{Warnings, WarningsByReason},
};

/// No result within the deadline. Whether a request was recorded is unknown; recording it again does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// There is no leader, or the leader did not answer.
    #[error("no leader answered within the deadline: a majority of the voters must be up and reach each other")]
    NoLeader,
    /// This node's state has diverged from the majority's.
    #[error(
        "this node's state differs from the majority's: it does not answer until it has taken over the majority's \
         state (run `quorate cluster rejoin NODE` on another node)"
    )]
    Diverged,
    /// This node is quarantined: its disk went back in time, or its data folder was copied.
    #[error(
        "this node is quarantined, because its disk went back in time or is a copy: it does not answer; remove it \
         (`quorate cluster remove NODE --dead`) and let it join under a new number; where a majority is quarantined: \
         `quorate host recover`"
    )]
    Quarantined,
}

/// A read point: a state that has applied the log up to it is current.
#[derive(Clone, Copy, Debug)]
pub struct ReadPoint {
    /// Index of the last committed entry.
    pub log_index: u64,
    /// Cluster time at the read point, in milliseconds since the Unix epoch.
    pub cluster_time_ms: u64,
    /// The time by which requests expire and certificates end, in milliseconds since the Unix epoch; equal to
    /// cluster time in formats 1 and 2.
    pub expiry_ms: u64,
    /// The clock alarm that an administrator must handle, if any.
    pub clock_alarm: Option<ClockAlarm>,
    /// How far cluster time is ahead of the voters' median, in milliseconds; `None` if unknown.
    pub ahead_ms: Option<u64>,
}

impl From<ReadPoint> for proto::ReadPoint {
    fn from(point: ReadPoint) -> Self {
        Self {
            log_index: point.log_index,
            cluster_time_ms: point.cluster_time_ms,
            clock_alarm: point.clock_alarm.map(|alarm| proto::ClockAlarm {
                previous_ms: alarm.previous_ms,
                target_ms: alarm.target_ms,
                samples: u32::try_from(alarm.samples).unwrap_or(u32::MAX),
            }),
            expiry_ms: point.expiry_ms,
            ahead_ms: point.ahead_ms,
        }
    }
}

impl From<proto::ReadPoint> for ReadPoint {
    fn from(point: proto::ReadPoint) -> Self {
        Self {
            log_index: point.log_index,
            cluster_time_ms: point.cluster_time_ms,
            clock_alarm: point.clock_alarm.map(|alarm| ClockAlarm {
                previous_ms: alarm.previous_ms,
                target_ms: alarm.target_ms,
                samples: alarm.samples as usize,
            }),
            expiry_ms: if point.expiry_ms > 0 { point.expiry_ms } else { point.cluster_time_ms },
            ahead_ms: point.ahead_ms,
        }
    }
}

/// Whether the disk of a replica finishes its writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hanging {
    /// It finishes its writes.
    #[default]
    No,
    /// A write has been in progress for [`DISK_HANDOVER_AFTER`](crate::limits::DISK_HANDOVER_AFTER): the node must
    /// not lead.
    ForSeconds,
    /// A write has been in progress for [`DISK_HANG_MAX`](crate::limits::DISK_HANG_MAX): the node has failed.
    TooLong,
}

/// The parts of a running replica. Shared by its handles and its background tasks.
pub(crate) struct RunningReplica {
    pub(crate) identity: Identity,
    pub(crate) gate: Arc<Gate>,
    pub(crate) consensus: Arc<Consensus>,
    /// The election profile from the node's configuration file, if any.
    pub(crate) own_profile: watch::Sender<Option<ElectionProfile>>,
    pub(crate) state_machine: StateMachine,
    pub(crate) clock: Arc<LeaderClock>,
    pub(crate) batcher: mpsc::Sender<Waiting>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) log: Log,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) tasks: Tasks,
    pub(crate) computations: Computations,
    /// The snapshot that another node is sending.
    pub(crate) incoming: Arc<Incoming>,
    /// The newest format that this node reads.
    pub(crate) newest_format: Format,
    pub(crate) forwarder: Forwarder,
    pub(crate) seeds: AtomicU64,
    pub(crate) first_seed: u64,
    pub(crate) presence: Presence,
    pub(crate) round_trips: RoundTrips,
    pub(crate) profiles: Profiles,
    pub(crate) confirmation: Confirmation,
    pub(crate) shared_reads: SharedReads<Unavailable>,
    /// Limits the log lines about a clock alarm.
    pub(crate) clock_warnings: Warnings,
    /// Limits the log lines about calls by nodes that expect another store: an old cluster may call ten times a
    /// second and more.
    pub(crate) refused_calls: WarningsByReason,
    /// Size of one part of a snapshot, in bytes; each part is one message.
    pub(crate) snapshot_chunk_bytes: usize,
    /// Held while a node takes over the majority's state.
    pub(crate) rejoining: tokio::sync::Mutex<()>,
    /// A bug of the simulation.
    pub(crate) planted: Planted,
    /// Locked for reading while a command that depends on the format is in progress.
    pub(crate) format: tokio::sync::RwLock<()>,
    /// Entries of newer formats up to this index have been removed from the disk permanently.
    pub(crate) clean_index: AtomicU64,
    pub(crate) promote_after: Duration,
    /// Whether the disk finishes its writes.
    pub(crate) hanging: watch::Sender<Hanging>,
    /// Whether this node is about to stop, and will return.
    pub(crate) leaving: AtomicBool,
}

impl RunningReplica {
    /// The current openraft instance.
    pub(crate) fn raft(&self) -> Raft {
        self.consensus.raft()
    }

    /// The election profile that this node should have.
    pub(crate) fn wanted_profile(&self) -> ElectionProfile {
        let own = *self.own_profile.borrow();
        own.unwrap_or_else(|| self.state_machine.view(|state| state.settings().raft_profile))
    }

    /// A new seed for a task that openraft starts on behalf of this crate.
    pub(crate) fn seed(&self) -> u64 {
        self.seeds.fetch_add(1, Ordering::Relaxed)
    }

    /// An id that no other request has, derived from the store, this process (whose seed is random), and a counter.
    pub(crate) fn request_id(&self) -> RequestId {
        let mut digest = Sha256::new();
        digest.update(b"quorate/request/1");
        digest.update(self.identity.store.as_bytes());
        digest.update(self.first_seed.to_be_bytes());
        digest.update(self.seed().to_be_bytes());
        let mut id = RequestId::default();
        id.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
        id
    }

    pub(crate) fn server_metrics(&self) -> RaftServerMetrics<TypeConfig> {
        self.raft().server_metrics().borrow_watched().clone()
    }

    pub(crate) fn member(&self, node: u64) -> Option<Member> {
        self.raft().metrics().borrow_watched().membership_config.membership().get_node(&node).cloned()
    }

    /// Checks a caller on the peer port, and returns its node number.
    pub(crate) fn admit(&self, metadata: &MetadataMap) -> Result<u64, Status> {
        let known = |node| self.member(node).map(|member| member.store);
        channels::admit(metadata, self.identity.store, known).inspect_err(|status| {
            if let Some(left_out) = self.refused_calls.due(status.message()) {
                tracing::warn!(reason = status.message(), left_out, "a peer's call was refused");
            }
        })
    }

    /// Checks a caller on the peer port for a call that concerns the log, a vote or a request: this node must be
    /// admitted, and must have recognised the calling process. Returns the caller's node number.
    pub(crate) fn admit_started(&self, metadata: &MetadataMap) -> Result<u64, Status> {
        let node = self.admit(metadata)?;
        let store = self.member(node).map(|member| member.store);
        self.gate.check(node, store, channels::calling_boot(metadata)).inspect_err(|status| {
            tracing::debug!(node, reason = status.message(), "a peer's call was refused");
        })?;
        Ok(node)
    }

    /// Whether this node's state was found to differ from the majority's.
    pub(crate) fn has_diverged(&self) -> bool {
        !self.planted.has(Bug::DivergedLeads) && self.state_machine.progress().borrow().diverged_at.is_some()
    }

    /// Checks a caller on the peer port for a call that relies on this node's state, or on its leadership: the
    /// state must not have diverged. Returns the caller's node number.
    pub(crate) fn admit_trusting(&self, metadata: &MetadataMap) -> Result<u64, Status> {
        let node = self.admit_started(metadata)?;
        if self.has_diverged() {
            let own = self.identity.owner;
            return Err(Status::failed_precondition(format!("the state of node {own} differs from the majority's")));
        }
        Ok(node)
    }

    /// The channel to the member `node`.
    pub(crate) fn channel(&self, node: u64) -> Result<PeerChannel, NoChannel> {
        let member = self.member(node).ok_or(NoChannel::NotMember { node })?;
        self.peers.channel(node, &member)
    }

    /// The client of the member `node`.
    pub(crate) fn peer(&self, node: u64) -> Result<Peer, NoChannel> {
        let member = self.member(node).ok_or(NoChannel::NotMember { node })?;
        self.peers.client(node, &member)
    }

    /// The leader, as this node observes it, and its member record.
    pub(crate) fn leader(&self) -> Option<(u64, Member)> {
        let metrics = self.raft().server_metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader?;
        let member = metrics.membership_config.membership().get_node(&leader)?.clone();
        Some((leader, member))
    }

    pub(crate) async fn submit_once(&self, record: Bytes) -> Option<Recorded> {
        if !self.gate.is_admitted() {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { record, reply };
        let (leader, member) = self.leader()?;
        if leader == self.identity.owner {
            self.batcher.send(waiting).await.ok()?;
        } else {
            self.forwarder.send(leader, &member, waiting).await;
        }
        answer.await.ok()
    }

    /// Appends one command and waits until it is applied.
    pub(crate) async fn write(&self, command: Bytes) -> Proposed {
        let (responder, _committed, applied) = ProgressResponder::new();
        if self.raft().client_write_ff(Command(command), Some(responder)).await.is_err() {
            return Proposed::Retry;
        }
        match applied.await {
            Ok(Ok(response)) => match response.data {
                Some(Applied::Refused(refusal)) => Proposed::refused(refusal),
                Some(Applied::Repeated { refused: Some(refusal), .. }) => Proposed::refused(refusal),
                Some(Applied::Repeated { index, refused: None }) => Proposed::Committed { log_index: index },
                _ => Proposed::Committed { log_index: response.log_id.index },
            },
            // openraft refused the command before it was written.
            Ok(Err(ClientWriteError::ForwardToLeader(_))) => Proposed::Retry,
            // The command was written, and leadership was lost afterwards.
            Ok(Err(_)) | Err(_) => Proposed::Unknown,
        }
    }

    /// The outcome of a proposal that is in force already: the index of the last entry applied on this node.
    pub(crate) fn committed(&self) -> Proposed {
        Proposed::Committed { log_index: self.state_machine.last().map_or(0, |id| id.index) }
    }

    /// A stamp for the next batch, if this node leads and has applied the first entry of its term. Before that, an
    /// entry of an earlier leader may still set cluster time.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        self.clock.stamp(|| self.state_machine.applied_times())
    }

    /// One attempt to get a read point from the leader.
    pub(crate) async fn read_point_once(&self) -> Option<ReadPoint> {
        if !self.gate.is_admitted() {
            return None;
        }
        let (leader, member) = self.leader()?;
        if leader == self.identity.owner {
            return self.read_point_here().await;
        }
        let mut peer = self.peers.client(leader, &member).ok()?;
        let reply = peer.read_index(proto::ReadIndexRequest {}).await;
        let reply = reply.inspect_err(|status| self.gate.was_refused(leader, status)).ok()?;
        match reply.into_inner().result? {
            proto::read_index_reply::Result::Point(point) => Some(point.into()),
            proto::read_index_reply::Result::Retry(proto::Retry {}) => None,
        }
    }

    /// Asks a majority whether this node still leads (ReadIndex, never a lease), and returns the read point.
    pub(crate) async fn read_point_here(&self) -> Option<ReadPoint> {
        if self.planted.has(Bug::StaleRead) {
            let (log_index, times) = self.state_machine.view_at(|index, state| (index, state.times()));
            let cluster_time_ms = times.time_ms?;
            let expiry_ms = times.expiry_ms.unwrap_or(cluster_time_ms);
            return Some(ReadPoint { log_index, cluster_time_ms, expiry_ms, clock_alarm: None, ahead_ms: None });
        }
        let linearizer = self.raft().get_read_linearizer(ReadPolicy::ReadIndex).await.ok()?;
        let ready = linearizer.await_ready(&self.raft()).await.ok()?;
        let stamp = self.stamp()?;
        Some(ReadPoint {
            log_index: ready.read_log_id().index(),
            cluster_time_ms: stamp.time_ms,
            expiry_ms: stamp.expiry_ms.unwrap_or(stamp.time_ms),
            clock_alarm: self.clock.alarm(),
            ahead_ms: self.clock.ahead_ms(),
        })
    }
}

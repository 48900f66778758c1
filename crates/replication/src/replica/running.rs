//! The parts of a running replica, and what all that works on it needs: who leads, appending a command, where the log stands.
//!
//! One attempt each; [`Replica`](crate::Replica) repeats them until there is an answer or the deadline.

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

/// No answer could be had in time. Whether a request was recorded is unknown; recording it again does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// No leader, or none that answered.
    #[error("no leader answered within the deadline: a majority of the voters must be up and reach each other")]
    NoLeader,
    /// This node's state differs from the majority's.
    #[error(
        "this node's state differs from the majority's: it answers no more until it has taken over theirs (`quorate cluster \
         rejoin NODE`, asked of another node)"
    )]
    Diverged,
    /// This node is quarantined: its disk went back in time, or it is a copy.
    #[error(
        "this node is quarantined, because its disk went back in time or is a copy: it answers no more; remove it \
         (`quorate cluster remove NODE --dead`) and let it join under a new number; where a majority is quarantined: \
         `quorate host recover`"
    )]
    Quarantined,
}

/// Where the log stood when it was asked; all that is applied up to there is current.
#[derive(Clone, Copy, Debug)]
pub struct ReadPoint {
    /// The entry.
    pub log_index: u64,
    /// Cluster time then.
    pub cluster_time_ms: u64,
    /// The time by which requests expire and certificates end; cluster time in formats 1 and 2.
    pub expiry_ms: u64,
    /// What an administrator has to look at.
    pub clock_alarm: Option<ClockAlarm>,
    /// By how much cluster time is ahead of the voters' median; none where that is not known.
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
    /// It does.
    #[default]
    No,
    /// It has not for so long that the node should not lead.
    ForSeconds,
    /// It has not for so long that the node has failed.
    TooLong,
}

/// The parts of a running replica. Shared by its handles and its background tasks.
pub(crate) struct RunningReplica {
    pub(crate) identity: Identity,
    pub(crate) gate: Arc<Gate>,
    pub(crate) consensus: Arc<Consensus>,
    /// The election profile that the node's own file gives.
    pub(crate) own_profile: watch::Sender<Option<ElectionProfile>>,
    pub(crate) state_machine: StateMachine,
    pub(crate) clock: Arc<LeaderClock>,
    pub(crate) batcher: mpsc::Sender<Waiting>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) log: Log,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) tasks: Tasks,
    pub(crate) computations: Computations,
    /// The snapshot that another node sends.
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
    /// Of an alarm of the clocks.
    pub(crate) clock_warnings: Warnings,
    /// Of calls by nodes that mean another store: an old cluster calls on, ten times a second and more.
    pub(crate) refused_calls: WarningsByReason,
    /// Part of a snapshot in one message, in bytes.
    pub(crate) snapshot_chunk_bytes: usize,
    /// Held while a node takes over the majority's state.
    pub(crate) rejoining: tokio::sync::Mutex<()>,
    /// A bug of the simulation.
    pub(crate) planted: Planted,
    /// Held to read while a command is on its way that depends on the format.
    pub(crate) format: tokio::sync::RwLock<()>,
    /// What the log held of newer formats up to here is gone for good.
    pub(crate) clean_index: AtomicU64,
    pub(crate) promote_after: Duration,
    /// Whether its disk finishes its writes.
    pub(crate) hanging: watch::Sender<Hanging>,
    /// Whether this node is about to stop, and comes back.
    pub(crate) leaving: AtomicBool,
}

impl RunningReplica {
    /// The openraft that runs.
    pub(crate) fn raft(&self) -> Raft {
        self.consensus.raft()
    }

    /// The election profile that this node is to have.
    pub(crate) fn wanted_profile(&self) -> ElectionProfile {
        let own = *self.own_profile.borrow();
        own.unwrap_or_else(|| self.state_machine.view(|state| state.settings().raft_profile))
    }

    /// A fresh seed for a task that openraft starts on our behalf.
    pub(crate) fn seed(&self) -> u64 {
        self.seeds.fetch_add(1, Ordering::Relaxed)
    }

    /// An id that no other request has: of this store, this process (whose seed is random), and a number.
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

    /// The same for a call in which the log, a vote or a request is at stake: this node must be admitted, and know the
    /// process that calls.
    pub(crate) fn admit_started(&self, metadata: &MetadataMap) -> Result<u64, Status> {
        let node = self.admit(metadata)?;
        let store = self.member(node).map(|member| member.store);
        self.gate.check(node, store, channels::calling_boot(metadata)).inspect_err(|status| {
            tracing::debug!(node, reason = status.message(), "a peer's call was refused");
        })?;
        Ok(node)
    }

    /// Whether this node's state was seen to differ from the majority's.
    pub(crate) fn has_diverged(&self) -> bool {
        !self.planted.has(Bug::DivergedLeads) && self.state_machine.progress().borrow().diverged_at.is_some()
    }

    /// The same for a call that asks for what this node's state says, or that this node leads.
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

    /// The leader as this node knows it, and where it is.
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
            // Refused before it was written.
            Ok(Err(ClientWriteError::ForwardToLeader(_))) => Proposed::Retry,
            // It was written, and leadership was lost since.
            Ok(Err(_)) | Err(_) => Proposed::Unknown,
        }
    }

    /// What was proposed stands already: with the last entry applied here.
    pub(crate) fn committed(&self) -> Proposed {
        Proposed::Committed { log_index: self.state_machine.last().map_or(0, |id| id.index) }
    }

    /// A stamp for the next batch, where this node leads and has applied the first entry of its term: before that an
    /// entry of an earlier leader may still set cluster time.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        self.clock.stamp(|| self.state_machine.applied_times())
    }

    /// Where the log stands, from the leader.
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

    /// Asks a majority whether this node still leads (ReadIndex, never a lease), and says where the log stands.
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

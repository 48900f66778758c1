//! What a running member of the cluster consists of, and its way to the leader: here, or over to another node.
//!
//! One attempt each; [`Replica`](crate::Replica) makes them until there is an answer or the patience is over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use activation::{
    clock::ClockAlarm,
    state::{Applied, BatchBuilder, Command as Domain, State},
};
use api::peer::v1 as proto;
use bytes::Bytes;
use openraft::{ReadPolicy, async_runtime::WatchReceiver, impls::ProgressResponder, metrics::RaftServerMetrics};
use storage::{Identity, Store};
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, metadata::MetadataMap};

use crate::{
    batcher::{Recorded, Waiting},
    format,
    forward::Forwarder,
    leader_clock::LeaderClock,
    log::Log,
    machine::Machine,
    membership::{self, Change, Presence},
    peers::{self, NoChannel, Peer, PeerChannel, Peers},
    types::{Command, Member, Raft, TypeConfig},
};

/// No answer could be had in time. Whether a request was recorded is unknown; recording it again does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// No leader, or none that answered.
    #[error("no leader answered within the deadline: a majority of the voters must be up and reach each other")]
    NoLeader,
    /// This node's state differs from the leader's.
    #[error("this node's state differs from the leader's: it answers no more until it is replaced")]
    Diverged,
}

/// Where the log stood when it was asked; all that is applied up to there is current.
#[derive(Clone, Copy, Debug)]
pub struct ReadPoint {
    /// The entry.
    pub log_index: u64,
    /// Cluster time then.
    pub cluster_time_ms: u64,
    /// A jump of the clocks that waits for an administrator.
    pub clock_alarm: Option<ClockAlarm>,
}

/// What an administrator proposes to the leader.
pub(crate) enum Proposal {
    Command(Bytes),
    AcceptClock,
    ResetClock,
    Change(Change),
}

/// What became of it.
pub(crate) enum Proposed {
    Committed { log_index: u64 },
    Refused(String),
    Retry,
}

/// The parts of a running replica.
pub(crate) struct Inner {
    pub(crate) identity: Identity,
    pub(crate) raft: Raft,
    pub(crate) machine: Machine,
    pub(crate) clock: Arc<LeaderClock>,
    pub(crate) batcher: mpsc::Sender<Waiting>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) log: Log,
    pub(crate) store: Arc<Store>,
    pub(crate) forwarder: Forwarder,
    pub(crate) seeds: AtomicU64,
    pub(crate) presence: Presence,
    /// Held to read while a command is on its way that depends on the format.
    pub(crate) format: tokio::sync::RwLock<()>,
    /// What the log held of newer formats up to here is gone for good.
    pub(crate) clean_index: AtomicU64,
    pub(crate) promote_after: Duration,
    /// Whether this node is about to stop, and comes back.
    pub(crate) leaving: AtomicBool,
}

fn change_out(change: Change) -> proto::propose_request::Proposal {
    use proto::propose_request::Proposal as Asked;
    match change {
        Change::Add { node, address } => Asked::AddNode(proto::AddNode { node, address }),
        Change::Remove { node } => Asked::RemoveNode(proto::RemoveNode { node }),
        Change::Promote { node, instead_of } => {
            Asked::PromoteNode(proto::PromoteNode { node, instead_of: instead_of.unwrap_or(0) })
        }
    }
}

impl Inner {
    /// A fresh seed for a task that openraft starts on our behalf.
    pub(crate) fn seed(&self) -> u64 {
        self.seeds.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn server_metrics(&self) -> RaftServerMetrics<TypeConfig> {
        self.raft.server_metrics().borrow_watched().clone()
    }

    pub(crate) fn member(&self, node: u64) -> Option<Member> {
        self.raft.metrics().borrow_watched().membership_config.membership().get_node(&node).cloned()
    }

    /// Checks a caller on the peer port, and returns its node number.
    pub(crate) fn admit(&self, metadata: &MetadataMap) -> Result<u64, Status> {
        let known = |node| self.member(node).map(|member| member.store);
        peers::admit(metadata, self.identity.store, known).inspect_err(|status| {
            tracing::warn!(reason = status.message(), "a peer's call was refused");
        })
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
    fn leader(&self) -> Option<(u64, Member)> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader?;
        let member = metrics.membership_config.membership().get_node(&leader)?.clone();
        Some((leader, member))
    }

    pub(crate) async fn submit_once(&self, record: Bytes) -> Option<Recorded> {
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

    pub(crate) async fn propose_once(&self, proposal: Proposal) -> Proposed {
        let Some((leader, member)) = self.leader() else { return Proposed::Retry };
        if leader == self.identity.owner {
            return self.propose_here(proposal).await;
        }
        let proposal = match proposal {
            Proposal::Command(command) => proto::propose_request::Proposal::Command(command),
            Proposal::AcceptClock => proto::propose_request::Proposal::AcceptClock(proto::AcceptClock {}),
            Proposal::ResetClock => proto::propose_request::Proposal::ResetClock(proto::ResetClock {}),
            Proposal::Change(change) => change_out(change),
        };
        let Ok(mut peer) = self.peers.client(leader, &member) else { return Proposed::Retry };
        match peer.propose(proto::ProposeRequest { proposal: Some(proposal) }).await {
            Ok(reply) => match reply.into_inner().result {
                Some(proto::propose_reply::Result::Committed(committed)) => {
                    Proposed::Committed { log_index: committed.log_index }
                }
                Some(proto::propose_reply::Result::Refused(why)) => Proposed::Refused(why),
                Some(proto::propose_reply::Result::Retry(_)) | None => Proposed::Retry,
            },
            Err(_) => Proposed::Retry,
        }
    }

    /// Proposes on this node, which must lead.
    pub(crate) async fn propose_here(&self, proposal: Proposal) -> Proposed {
        match proposal {
            Proposal::Command(command) => format::propose(self, command).await,
            Proposal::AcceptClock => self.accept_clock_here().await,
            Proposal::ResetClock => self.reset_clock_here().await,
            Proposal::Change(change) => membership::change(self, change).await,
        }
    }

    async fn accept_clock_here(&self) -> Proposed {
        let _order = self.clock.order().await;
        if self.clock.alarm().is_none() {
            return Proposed::Refused("no jump of the clocks waits to be accepted".into());
        }
        self.clock.accept();
        // An empty batch carries the new time into the log, so that the next leader starts from it.
        match self.clock.stamp(self.machine.view(State::time_ms)) {
            Some(stamp) => self.write(BatchBuilder::new(stamp).finish()).await,
            None => Proposed::Retry,
        }
    }

    async fn reset_clock_here(&self) -> Proposed {
        let _order = self.clock.order().await;
        let Some(time_ms) = self.clock.median() else {
            return Proposed::Refused("the clocks of a majority of the voters are not known yet".into());
        };
        let proposed = self.write(Domain::ResetClock { time_ms }.encode()).await;
        if matches!(proposed, Proposed::Committed { .. }) {
            self.clock.reset(time_ms);
        }
        proposed
    }

    /// Appends one command and waits until it is applied.
    pub(crate) async fn write(&self, command: Bytes) -> Proposed {
        let (responder, _committed, applied) = ProgressResponder::new();
        if self.raft.client_write_ff(Command(command), Some(responder)).await.is_err() {
            return Proposed::Retry;
        }
        match applied.await {
            Ok(Ok(response)) => match response.data {
                Some(Applied::Refused(refusal)) => Proposed::Refused(refusal.to_string()),
                _ => Proposed::Committed { log_index: response.log_id.index },
            },
            _ => Proposed::Retry,
        }
    }

    pub(crate) async fn read_point_once(&self) -> Option<ReadPoint> {
        let (leader, member) = self.leader()?;
        if leader == self.identity.owner {
            return self.read_point_here().await;
        }
        let mut peer = self.peers.client(leader, &member).ok()?;
        let reply = peer.read_index(proto::ReadIndexRequest {}).await.ok()?.into_inner();
        let Some(proto::read_index_reply::Result::Point(point)) = reply.result else { return None };
        Some(ReadPoint {
            log_index: point.log_index,
            cluster_time_ms: point.cluster_time_ms,
            clock_alarm: point.clock_alarm.map(|alarm| ClockAlarm {
                previous_ms: alarm.previous_ms,
                target_ms: alarm.target_ms,
                samples: alarm.samples as usize,
            }),
        })
    }

    /// Asks a majority whether this node still leads (ReadIndex, never a lease), and says where the log stands.
    pub(crate) async fn read_point_here(&self) -> Option<ReadPoint> {
        let linearizer = self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await.ok()?;
        let ready = linearizer.await_ready(&self.raft).await.ok()?;
        let stamp = self.clock.stamp(self.machine.view(State::time_ms))?;
        Some(ReadPoint {
            log_index: ready.read_log_id().index(),
            cluster_time_ms: stamp.time_ms,
            clock_alarm: self.clock.alarm(),
        })
    }
}

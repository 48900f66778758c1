//! One node's replica: the handle that the daemon holds.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use activation::{message::Record, settings::ElectionProfile};
use api::peer::v1::peer_server::PeerServer;
use bytes::Bytes;
use openraft::{async_runtime::WatchReceiver, errors::Fatal, metrics::RaftServerMetrics};
use storage::Identity;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    environment::ReplicaTask,
    leader::{batcher::Recorded, handover},
    legacy::LegacyRequests,
    limits::{DISK_HANG_MAX, PEER_MESSAGE_BYTES_MAX, RETRY_PAUSE, SUBMIT_DEADLINE},
    peers::service::PeerService,
    raft::{consensus::Follow, types::TypeConfig},
    replica::running::{Hanging, RunningReplica, Unavailable},
};

pub(crate) mod administration;
pub(crate) mod bootstrap;
pub(crate) mod elections;
mod hanging_disk;
mod node_calls;
pub(crate) mod profile;
pub(crate) mod reads;
pub(crate) mod running;
pub(crate) mod shared_reads;
pub(crate) mod start;

/// The health of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// The node runs.
    Running,
    /// The node's state has differed from the majority's since the entry at this index.
    Diverged(u64),
    /// The node is quarantined, for this reason: its disk went back in time, or its data folder was copied. It
    /// takes no part any more.
    Quarantined(String),
    /// The node has failed and must be restarted.
    Failed(Failure),
}

/// Why a replica has stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The log, the snapshot or the state machine failed; the text names which of them, and the error.
    #[error("{0}")]
    Storage(String),
    /// openraft's task panicked.
    #[error("panicked")]
    Panicked,
    /// The replica was shut down.
    #[error("the replica has stopped")]
    Stopped,
}

impl Failure {
    fn hung() -> Self {
        Self::Storage(format!("the disk did not finish a write within {} s", DISK_HANG_MAX.as_secs()))
    }

    fn of(fatal: &Fatal<TypeConfig>) -> Self {
        match fatal {
            Fatal::StorageError(error) => Self::Storage(error.to_string()),
            Fatal::Panicked => Self::Panicked,
            Fatal::Stopped => Self::Stopped,
        }
    }
}

/// A running replica. Cheap to clone. Dropping the last clone does not stop it; [`shutdown`](Self::shutdown) does.
#[derive(Clone)]
pub struct Replica(pub(crate) Arc<RunningReplica>);

/// A weak handle to a replica, which does not keep it running. For values that the replica itself holds, such as
/// the environment's [`LegacyRequests`](crate::LegacyRequests).
#[derive(Clone, Default)]
pub struct WeakReplica(Weak<RunningReplica>);

impl WeakReplica {
    /// The replica, while another handle keeps it running; else `None`.
    pub fn upgrade(&self) -> Option<Replica> {
        self.0.upgrade().map(Replica)
    }
}

impl Replica {
    /// The service that other nodes call; the daemon serves it on this node's peer address.
    pub fn peer_service(&self, legacy: Arc<dyn LegacyRequests>) -> PeerServer<PeerService> {
        PeerServer::new(self.peer_calls(legacy))
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX)
    }

    /// The implementation of the peer service without the server around it, for a simulation that inspects each
    /// reply.
    pub fn peer_calls(&self, legacy: Arc<dyn LegacyRequests>) -> PeerService {
        PeerService { running: Arc::clone(&self.0), legacy }
    }

    /// A weak handle, which does not keep the replica running.
    pub fn downgrade(&self) -> WeakReplica {
        WeakReplica(Arc::downgrade(&self.0))
    }

    /// The identity of this node.
    pub fn identity(&self) -> Identity {
        self.0.identity
    }

    /// Whether this node belongs to a cluster.
    pub async fn is_initialised(&self) -> bool {
        loop {
            match self.0.raft().is_initialized().await {
                Ok(is_initialised) => return is_initialised,
                Err(_) if self.0.consensus.failure().is_some() => return false,
                // The consensus is being replaced: retry.
                Err(_) => sleep(RETRY_PAUSE).await,
            }
        }
    }

    /// Sets the node's own election profile, which overrides the cluster's setting `raft.profile`; with `None` the
    /// node follows that setting. If this changes the profile in force, the consensus is replaced within seconds,
    /// in the same process.
    pub fn keep_to_profile(&self, profile: Option<ElectionProfile>) {
        self.0.own_profile.send_if_modified(|own| std::mem::replace(own, profile) != profile);
    }

    /// Records one request: on this node if it leads, else on the leader.
    ///
    /// Returns when the request is on stable storage of a majority and applied.
    pub async fn submit(&self, record: &Record) -> Result<Recorded, Unavailable> {
        let mut bytes = Vec::with_capacity(record.encoded_len());
        record.encode(&mut bytes);
        let bytes = Bytes::from(bytes);
        self.retrying(SUBMIT_DEADLINE, || self.0.submit_once(bytes.clone())).await
    }

    /// The current health of this node.
    pub fn health(&self) -> Health {
        // Checked first, because a hanging disk also stops openraft.
        if *self.0.hanging.borrow() == Hanging::TooLong {
            return Health::Failed(Failure::hung());
        }
        if let Some(fatal) = self.0.consensus.failure() {
            return Health::Failed(Failure::of(&fatal));
        }
        if let Some(failure) = &*self.0.gate.failure().borrow() {
            return Health::Failed(Failure::Storage(failure.to_string()));
        }
        if let Some(reason) = self.0.gate.quarantined_because() {
            return Health::Quarantined(reason.to_string());
        }
        match self.0.state_machine.progress().borrow().diverged_at {
            Some(index) => Health::Diverged(index),
            None => Health::Running,
        }
    }

    /// Whether a write has been in progress for so long that the node neither leads nor stands for election.
    pub fn is_disk_hanging(&self) -> bool {
        *self.0.hanging.borrow() != Hanging::No
    }

    /// How many times a node has opened this store, including this time.
    pub fn generation(&self) -> u64 {
        self.0.gate.own().generation
    }

    /// Whether the other members have recognised this start of the node, so that it takes part.
    pub fn is_admitted(&self) -> bool {
        self.0.gate.is_admitted()
    }

    /// Waits until this node has failed, and returns the reason.
    pub async fn failed(&self) -> Failure {
        let mut metrics = self.0.consensus.metrics();
        let mut gate = self.0.gate.failure();
        let mut hanging = self.0.hanging.subscribe();
        loop {
            if let Some(failure) = &*gate.borrow_and_update() {
                return Failure::Storage(failure.to_string());
            }
            if *hanging.borrow_and_update() == Hanging::TooLong {
                return Failure::hung();
            }
            if let Some(fatal) = self.0.consensus.failure() {
                return Failure::of(&fatal);
            }
            tokio::select! {
                changed = metrics.changed() => if changed.is_err() {
                    return self.0.consensus.failure().map_or(Failure::Stopped, |fatal| Failure::of(&fatal));
                },
                changed = gate.changed() => if changed.is_err() { return Failure::Stopped },
                changed = hanging.changed() => if changed.is_err() { return Failure::Stopped },
            }
        }
    }

    /// Notifies the other members that this node stops soon and will return, so that it keeps its vote.
    pub async fn say_farewell(&self) {
        handover::announce_stop(&self.0).await;
    }

    /// Transfers leadership, if this node leads and another voter can lead, and stops.
    pub async fn shutdown(&self) {
        handover::hand_over(&self.0).await;
        self.join().await;
    }

    /// Stops openraft and waits until it has stopped.
    ///
    /// Runs in a task of its own: if the first caller that waits for openraft's task were dropped, the other
    /// callers would panic.
    pub(crate) async fn join(&self) {
        let (consensus, (done, stopped)) = (Arc::clone(&self.0.consensus), tokio::sync::oneshot::channel());
        self.0.tasks.spawn(ReplicaTask::Shutdown, async move {
            consensus.end().await;
            let _caller_is_gone = done.send(());
        });
        let _ended_with_the_runtime = stopped.await;
    }

    /// Repeats `attempt` until it succeeds or `deadline` has passed; between attempts it waits for a change of
    /// leader, or for [`RETRY_PAUSE`].
    async fn retrying<T, F>(&self, deadline: Duration, attempt: impl Fn() -> F) -> Result<T, Unavailable>
    where
        F: Future<Output = Option<T>>,
    {
        let attempts = async {
            loop {
                if self.0.state_machine.progress().borrow().diverged_at.is_some() {
                    return Err(Unavailable::Diverged);
                }
                if self.0.gate.is_quarantined() {
                    return Err(Unavailable::Quarantined);
                }
                let asked = self.0.raft().server_metrics().borrow_watched().current_leader;
                // A frozen leader holds its requests while its connections last. When another node becomes leader,
                // the requests are retried there.
                tokio::select! {
                    answer = attempt() => match answer {
                        Some(answer) => return Ok(answer),
                        // Not at every change of the metrics: a leader without a majority changes them with each
                        // attempt, and would be called again without a pause.
                        None => {
                            let _other_leader_or_pause =
                                timeout(RETRY_PAUSE, succeeded(self.0.consensus.server_metrics(), asked)).await;
                        }
                    },
                    () = succeeded(self.0.consensus.server_metrics(), asked) => {}
                }
            }
        };
        timeout_at(Instant::now() + deadline, attempts).await.unwrap_or(Err(Unavailable::NoLeader))
    }
}

/// Returns when a node other than `asked` is leader.
async fn succeeded(mut leader: Follow<RaftServerMetrics<TypeConfig>>, asked: Option<u64>) {
    while leader.borrow_watched().current_leader.is_none_or(|leader| Some(leader) == asked) {
        if leader.changed().await.is_err() {
            // The replica has stopped: the attempt detects this itself.
            return std::future::pending().await;
        }
    }
}

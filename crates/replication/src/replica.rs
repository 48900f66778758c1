//! One node's part in the cluster: the handle that the daemon holds.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};

use activation::{
    message::Record,
    state::{Command as Domain, Format, State},
};
use api::peer::v1::peer_server::PeerServer;
use bytes::Bytes;
use futures::{Stream, stream};
use openraft::{alias::WatchReceiverOf, async_runtime::WatchReceiver, metrics::RaftServerMetrics};
use storage::{Identity, Store, Writer};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

#[cfg(feature = "fault-injection")]
use crate::kept_entries::KeptEntries;
use crate::{
    backup,
    batcher::{self, Recorded},
    bootstrap::{self, BootstrapError},
    format,
    forward::Forwarder,
    leader_clock::{Clock, LeaderClock},
    leading,
    legacy::LegacyQuestions,
    limits::{MEMBERSHIP_DEADLINE, PEER_MESSAGE_BYTES_MAX, PROPOSE_DEADLINE, RETRY_PAUSE, SUBMIT_DEADLINE},
    log::{self, Log, LogDamaged},
    machine::{Machine, Progress, StateDamaged},
    member::{Inner, Proposal, Proposed, ReadPoint, Unavailable},
    membership::{self, Change, Presence},
    network::Links,
    observer::Observer,
    peers::{Connect, Peers},
    service::PeerService,
    settings::{Pace, RaftSettings, SettingsError},
    snapshot_file::SnapshotFile,
    types::{Command, EntryPayload, Member, Raft, Runtime, TypeConfig},
};

/// What a replica is given: everything that touches the world outside.
pub struct Surroundings {
    /// This node's clocks.
    pub clock: Arc<dyn Clock>,
    /// Opens channels to other nodes.
    pub connect: Connect,
    /// Where randomness begins: election timeouts follow from it.
    pub seed: u64,
    /// Measures it.
    pub observer: Arc<dyn Observer>,
}

/// Why a replica did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings contradict each other.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The log on disk.
    #[error(transparent)]
    Log(#[from] LogDamaged),
    /// The snapshot on disk.
    #[error(transparent)]
    State(#[from] StateDamaged),
    /// The log begins after the snapshot ends.
    #[error(
        "the log begins after entry {purged}, the snapshot {path} ends at {snapshot}: entries between them are missing; \
         restore both from one backup, or let the node join anew"
    )]
    Gap {
        /// The last purged entry.
        purged: u64,
        /// The last entry in the snapshot.
        snapshot: u64,
        /// The snapshot.
        path: String,
    },
    /// The log goes on in a later version's words.
    #[error(
        "entry {index} of the log was written by a newer version: run that on this node, or have the cluster go back \
         first (`quorate cluster format --help`)"
    )]
    Newer {
        /// The entry.
        index: u64,
    },
    /// The operating system or openraft said no.
    #[error("the replica did not start: {0}")]
    Other(String),
}

/// Why an administrator's command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// The state machine refused it.
    #[error("{0}")]
    Refused(String),
    /// Nobody could take it.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// How this node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It runs.
    Running,
    /// Its state differs from the leader's since this entry.
    Diverged(u64),
    /// It has stopped, for this reason; only a restart helps.
    Failed(String),
}

/// What this node knows of the cluster.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// This node.
    pub node: u64,
    /// The leader, where one is known.
    pub leader: Option<u64>,
    /// The term.
    pub term: u64,
    /// Numbers of the voters.
    pub voters: Vec<u64>,
    /// All members.
    pub members: BTreeMap<u64, Member>,
    /// The last entry in this node's log.
    pub last_index: u64,
}

/// Another member, as the leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Entries that it does not have yet.
    pub lag: u64,
    /// It was heard of within the last seconds.
    pub answers: bool,
    /// It votes.
    pub votes: bool,
}

/// A running replica. Cheap to clone; the last one dropped does not stop it: [`shutdown`](Self::shutdown) does.
#[derive(Clone)]
pub struct Replica(pub(crate) Arc<Inner>);

/// A replica that does not keep itself running: for tasks that end when the node stops.
#[derive(Clone, Default)]
pub struct WeakReplica(Weak<Inner>);

impl WeakReplica {
    /// The replica, as long as it is held elsewhere.
    pub fn upgrade(&self) -> Option<Replica> {
        self.0.upgrade().map(Replica)
    }
}

impl Replica {
    /// Starts the replica that lives in `store`, with its snapshots in `folder`.
    pub async fn start(
        store: Arc<Store>,
        folder: &Path,
        settings: &RaftSettings,
        surroundings: Surroundings,
    ) -> Result<Self, StartError> {
        Self::start_at_pace(store, folder, settings, surroundings, Pace::default()).await
    }

    /// The same, at another pace than the usual one.
    pub async fn start_at_pace(
        store: Arc<Store>,
        folder: &Path,
        settings: &RaftSettings,
        surroundings: Surroundings,
        pace: Pace,
    ) -> Result<Self, StartError> {
        let Surroundings { clock, connect, seed, observer } = surroundings;
        let identity = log::peer_identity(store.identity(), log::recoveries(&store)?);
        let synced = Arc::clone(&observer);
        let writer = Writer::start_timed(Arc::clone(&store), move |took| synced.synced(took));
        let writer = writer.map_err(|error| StartError::Other(error.to_string()))?;
        let log = Log::load(&store, writer)?;
        storage::durable::create_folder(folder).map_err(|error| StartError::Other(error.to_string()))?;
        #[cfg(feature = "fault-injection")]
        let log = if settings.keep_purged {
            let kept = KeptEntries::open(folder).map_err(|error| StartError::Other(error.to_string()))?;
            log.keeping_purged(kept)
        } else {
            log
        };
        let file = SnapshotFile::new(folder);
        let machine = Machine::load(file.clone())?.observed_by(Arc::clone(&observer));
        let (purged, snapshot) = (log.purged().map_or(0, |id| id.index), machine.last().map_or(0, |id| id.index));
        if let Some(index) = log.first_unknown_after(machine.last()) {
            return Err(StartError::Newer { index });
        }
        if let Some(index) = log.last_newer_than(machine.view(State::format)) {
            machine.holds_newer_up_to(index);
        }
        if purged > snapshot {
            return Err(StartError::Gap { purged, snapshot, path: file.path().display().to_string() });
        }
        let peers = Arc::new(Peers::new(identity.owner, identity.store, connect));
        let config = Arc::new(settings.to_openraft(pace)?);
        let links = Links(Arc::clone(&peers));
        let start = Raft::new(identity.owner, config, links, log.clone(), machine.clone());
        let raft = Runtime::scope(seed, start).await.map_err(|error| StartError::Other(error.to_string()))?;
        let clock = Arc::new(LeaderClock::new(clock));
        let batcher = batcher::start(raft.clone(), machine.clone(), Arc::clone(&clock), observer);
        let forwarder = Forwarder::new(Arc::clone(&peers));
        let seeds = AtomicU64::new(seed);
        let inner = Arc::new(Inner {
            identity,
            raft,
            machine,
            clock,
            batcher,
            peers,
            log,
            store,
            forwarder,
            seeds,
            presence: Presence::default(),
            format: tokio::sync::RwLock::default(),
            clean_index: AtomicU64::new(0),
            promote_after: settings.promote_after,
            leaving: AtomicBool::new(false),
        });
        tokio::spawn(leading::run(Arc::clone(&inner), pace));
        tokio::spawn(format::follow(Arc::downgrade(&inner)));
        Ok(Self(inner))
    }

    /// The service that other nodes call; to be served on this node's peer address. `legacy` answers the `Ask` call of
    /// nodes that run the version before.
    pub fn peer_service(&self, legacy: Arc<dyn LegacyQuestions>) -> PeerServer<PeerService> {
        PeerServer::new(PeerService { member: Arc::clone(&self.0), legacy })
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX)
    }

    /// A handle that does not keep it running.
    pub fn downgrade(&self) -> WeakReplica {
        WeakReplica(Arc::downgrade(&self.0))
    }

    /// Whose replica this is.
    pub fn identity(&self) -> Identity {
        self.0.identity
    }

    /// Forms a cluster of `addresses` (node number to HOST:PORT of its peer service), this node among them.
    ///
    /// Waits until all of them answer, up to `patience`; refused where one of them belongs to a cluster already. The cluster
    /// writes the newest format that all of them read.
    pub async fn bootstrap(&self, addresses: &BTreeMap<u64, String>, patience: Duration) -> Result<(), BootstrapError> {
        let format = bootstrap::bootstrap(&self.0, addresses, patience).await?;
        if format > Format::OLDEST
            && let Err(error) = self.propose(&Domain::SetFormat { format }).await
        {
            // It is formed, and counts.
            tracing::warn!(%error, "the cluster writes format {}: `quorate cluster format set {format}`", Format::OLDEST);
        }
        Ok(())
    }

    /// The oldest format that a version must read to start from what this node has on its disk.
    pub fn stored_format(&self) -> Format {
        format::stored(&self.0)
    }

    /// Whether this node belongs to a cluster.
    pub async fn is_initialised(&self) -> bool {
        self.0.raft.is_initialized().await.unwrap_or(false)
    }

    /// Records one request: by this node if it leads, else by the leader.
    ///
    /// Returns when the request is on stable storage of a majority and applied.
    pub async fn submit(&self, record: &Record) -> Result<Recorded, Unavailable> {
        let mut bytes = Vec::with_capacity(record.encoded_len());
        record.encode(&mut bytes);
        let bytes = Bytes::from(bytes);
        self.retrying(SUBMIT_DEADLINE, || self.0.submit_once(bytes.clone())).await
    }

    /// Carries out an administrator's command; returns the index of its entry.
    pub async fn propose(&self, command: &Domain) -> Result<u64, ProposeError> {
        let command = command.encode();
        self.propose_to_leader(|| Proposal::Command(command.clone())).await
    }

    /// Takes the jump of the clocks that raised the alarm.
    pub async fn accept_clock(&self) -> Result<u64, ProposeError> {
        self.propose_to_leader(|| Proposal::AcceptClock).await
    }

    /// Sets cluster time to the median of the voters' clocks, also backwards.
    pub async fn reset_clock(&self) -> Result<u64, ProposeError> {
        self.propose_to_leader(|| Proposal::ResetClock).await
    }

    /// The whole state as it is now, as a file's content that [`crate::Backup`] reads. Any node gives it, while it serves.
    pub async fn backup(&self) -> Result<Bytes, Unavailable> {
        self.read_point().await?;
        let (meta, state) = self.0.machine.snapshot();
        Ok(backup::encode(&meta, &state))
    }

    /// Makes the node that runs at `address` a member: a learner that catches up, and a voter where one more is useful.
    /// Returns when it has caught up.
    pub async fn add(&self, node: u64, address: &str) -> Result<u64, ProposeError> {
        self.change(Change::Add { node, address: address.into() }).await
    }

    /// Takes a node out of the cluster, this one too. Whoever takes its vote has it before it goes.
    pub async fn remove(&self, node: u64) -> Result<u64, ProposeError> {
        self.change(Change::Remove { node }).await
    }

    /// Gives a learner a vote: that of another one, of one that is gone, or one that was missing.
    pub async fn promote(&self, node: u64, instead_of: Option<u64>) -> Result<u64, ProposeError> {
        self.change(Change::Promote { node, instead_of }).await
    }

    async fn change(&self, change: Change) -> Result<u64, ProposeError> {
        self.propose_within(MEMBERSHIP_DEADLINE, || Proposal::Change(change.clone())).await
    }

    /// Tells the others that this node stops soon and comes back: its vote is kept for it.
    pub async fn say_farewell(&self) {
        leading::say_farewell(&self.0).await;
    }

    /// Waits until all that was committed before this call is applied here (ReadIndex), and says where that is.
    pub async fn read_point(&self) -> Result<ReadPoint, Unavailable> {
        let point = self.retrying(SUBMIT_DEADLINE, || self.0.read_point_once()).await?;
        self.wait_applied(point.log_index).await?;
        Ok(point)
    }

    /// Waits until the entry at `index` is applied here.
    pub async fn wait_applied(&self, index: u64) -> Result<(), Unavailable> {
        let mut progress = self.progress();
        let applied = progress.wait_for(|progress| progress.applied_index >= index);
        match timeout_at(Instant::now() + SUBMIT_DEADLINE, applied).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Unavailable::NoLeader),
        }
    }

    /// Looks at the state as it is applied here, which may lag behind the leader's.
    pub fn view<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.0.machine.view(look)
    }

    /// The same, together with the index of the last entry applied.
    pub fn view_at<T>(&self, look: impl FnOnce(u64, &State) -> T) -> T {
        self.0.machine.view_at(look)
    }

    /// Follows what is applied here.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.0.machine.progress()
    }

    /// The hash of the state here, and the index of the entry after which it was taken.
    pub fn state_hash(&self) -> (u64, [u8; 32]) {
        self.0.machine.hash()
    }

    /// The command at `index`, as long as the log holds it.
    pub fn command_at(&self, index: u64) -> Option<Bytes> {
        match self.0.log.entry(index)?.payload {
            EntryPayload::Normal(Command(bytes)) => Some(bytes),
            EntryPayload::Blank | EntryPayload::Membership(_) => None,
        }
    }

    /// What this node knows of the cluster. A leader that no majority has answered for two elections' time does not call
    /// itself one: another may lead already.
    pub fn cluster(&self) -> ClusterView {
        let applied = self.0.machine.membership();
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow_watched();
        // The metrics follow a moment later: who waited for an entry to be applied is to see what it did.
        let is_newer = applied.log_id() > metrics.membership_config.log_id();
        let membership = if is_newer { applied.membership() } else { metrics.membership_config.membership() };
        let node = self.0.identity.owner;
        let patience = Duration::from_millis(self.0.raft.config().election_timeout_max.saturating_mul(2));
        let is_alone = membership.voter_ids().count() <= 1;
        let leads = || {
            is_alone || metrics.last_quorum_acked.is_some_and(|acked| openraft::Instant::elapsed(&*acked) < patience)
        };
        ClusterView {
            node,
            leader: metrics.current_leader.filter(|leader| *leader != node || leads()),
            term: metrics.current_term,
            voters: membership.voter_ids().collect(),
            members: membership.nodes().map(|(&node, member)| (node, member.clone())).collect(),
            last_index: metrics.last_log_index.unwrap_or(0),
        }
    }

    /// The other members; nothing where this node does not lead.
    pub fn followers(&self) -> BTreeMap<u64, Follower> {
        membership::followers(&self.0)
    }

    /// Whoever leads, from now on: each that this node hears of.
    pub fn leaders(&self) -> impl Stream<Item = u64> + Send + Unpin + use<> {
        let metrics = self.0.raft.server_metrics();
        Box::pin(stream::unfold((metrics, None), async |(mut metrics, before)| {
            loop {
                let now = metrics.borrow_watched().current_leader;
                if now.is_some() && now != before {
                    return now.map(|leader| (leader, (metrics, now)));
                }
                metrics.changed().await.ok()?;
            }
        }))
    }

    /// Pages of the store that were never made durable: none, or the node is to be replaced.
    pub fn unsynced_pages(&self) -> usize {
        self.0.store.blobs()
    }

    /// The last entry in the newest snapshot; 0 before the first.
    pub fn snapshot_index(&self) -> u64 {
        self.0.raft.metrics().borrow_watched().snapshot.map_or(0, |id| id.index)
    }

    /// This node's wall clock.
    pub fn wall_ms(&self) -> u64 {
        self.0.clock.wall_ms()
    }

    /// Bytes of the store on disk.
    pub fn store_bytes(&self) -> u64 {
        self.0.store.bytes_on_disk().unwrap_or(0)
    }

    /// How this node is, now.
    pub fn health(&self) -> Health {
        if let Err(fatal) = &self.0.raft.metrics().borrow_watched().running_state {
            return Health::Failed(fatal.to_string());
        }
        match self.0.machine.progress().borrow().diverged_at {
            Some(index) => Health::Diverged(index),
            None => Health::Running,
        }
    }

    /// Waits until this node has failed, and says why.
    pub async fn failed(&self) -> String {
        let mut metrics = self.0.raft.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow_watched().running_state {
                return fatal.to_string();
            }
            if metrics.changed().await.is_err() {
                return "the replica has stopped".into();
            }
        }
    }

    /// Makes `to` the leader; returns when this node sees it lead.
    pub async fn transfer_leader(&self, to: u64) -> Result<(), Unavailable> {
        leading::transfer(&self.0, to).await
    }

    /// Hands leadership over, if this node leads and another can, and stops.
    pub async fn shutdown(&self) {
        leading::hand_over(&self.0).await;
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::warn!(%error, "the replica did not stop cleanly");
        }
    }

    async fn propose_to_leader(&self, proposal: impl Fn() -> Proposal) -> Result<u64, ProposeError> {
        self.propose_within(PROPOSE_DEADLINE, proposal).await
    }

    async fn propose_within(&self, patience: Duration, proposal: impl Fn() -> Proposal) -> Result<u64, ProposeError> {
        let proposed = self.retrying(patience, || async {
            match self.0.propose_once(proposal()).await {
                Proposed::Committed { log_index } => Some(Ok(log_index)),
                Proposed::Refused(why) => Some(Err(ProposeError::Refused(why))),
                Proposed::Retry => None,
            }
        });
        proposed.await?
    }

    /// Tries until there is an answer or `patience` is over; between tries it waits for a new leader, or a moment.
    async fn retrying<T, F>(&self, patience: Duration, attempt: impl Fn() -> F) -> Result<T, Unavailable>
    where
        F: Future<Output = Option<T>>,
    {
        let attempts = async {
            loop {
                if self.0.machine.progress().borrow().diverged_at.is_some() {
                    return Err(Unavailable::Diverged);
                }
                let mut leader = self.0.raft.server_metrics();
                let asked = leader.borrow_watched().current_leader;
                // A leader that froze holds its requests for as long as its connections stand: once another one leads,
                // they are asked again there.
                tokio::select! {
                    answer = attempt() => match answer {
                        Some(answer) => return Ok(answer),
                        None => {
                            let _changed_or_pause = timeout(RETRY_PAUSE, leader.changed()).await;
                        }
                    },
                    () = succeeded(self.0.raft.server_metrics(), asked) => {}
                }
            }
        };
        timeout_at(Instant::now() + patience, attempts).await.unwrap_or(Err(Unavailable::NoLeader))
    }
}

/// Returns when another node leads than the one that was `asked`.
async fn succeeded(mut leader: WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>, asked: Option<u64>) {
    while leader.borrow_watched().current_leader.is_none_or(|leader| Some(leader) == asked) {
        if leader.changed().await.is_err() {
            // The replica has stopped: the attempt will notice by itself.
            return std::future::pending().await;
        }
    }
}

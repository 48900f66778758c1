//! Starts a replica from what its disk holds.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
};

use activation::state::{Format, State};
use storage::{Disk, Identity, WriteFailed};

use crate::{
    environment::{Environment, ReplicaTask},
    gate::{
        admission,
        state::{Beginning, Gate, GateError},
    },
    leader::{
        batcher, clock::LeaderClock, confirmation::Confirmation, duties, format, hashes, presence::Presence,
        profiles::Profiles, round_trips::RoundTrips,
    },
    peers::{channels::Peers, forward::Forwarder},
    planted::Planted,
    raft::{
        consensus::{Consensus, NotMade, Parts},
        incoming::Incoming,
        log::{self, Log, LogDamaged},
        snapshot_file::SnapshotFile,
        state_machine::{StateDamaged, StateMachine},
    },
    replica::{Replica, elections, hanging_disk, profile, running::RunningReplica, shared_reads::SharedReads},
    settings::{Pace, RaftSettings, SettingsError},
    warnings::{Warnings, WarningsByReason},
};

/// Why a replica did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings contradict each other.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The log on disk is damaged.
    #[error(transparent)]
    Log(#[from] LogDamaged),
    /// The snapshot on disk is damaged.
    #[error(transparent)]
    State(#[from] StateDamaged),
    /// The log begins after the end of the snapshot.
    #[error(
        "the log begins after entry {purged}, the snapshot {path} ends at {snapshot}: entries between them are \
         missing; restore both from one backup, or let the node join again"
    )]
    Gap {
        /// Index of the last purged entry.
        purged: u64,
        /// Index of the last entry in the snapshot.
        snapshot: u64,
        /// Path of the snapshot.
        path: String,
    },
    /// The log contains an entry in the format of a later version.
    #[error(
        "entry {index} of the log was written by a newer version: run that version on this node, or set an older \
         format in the cluster first (`quorate cluster format --help`)"
    )]
    Newer {
        /// Index of that entry.
        index: u64,
    },
    /// A write to the disk failed.
    #[error("the start could not be recorded in the store: {0}")]
    Write(#[from] WriteFailed),
    /// openraft did not start.
    #[error("the replica did not start: {0}")]
    Raft(Box<dyn Error + Send + Sync>),
}

impl From<NotMade> for StartError {
    fn from(error: NotMade) -> Self {
        match error {
            NotMade::Settings(error) => Self::Settings(error),
            NotMade::Raft(error) => Self::Raft(Box::new(error)),
        }
    }
}

impl From<GateError> for StartError {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Record(damaged) => Self::Log(damaged),
            GateError::Write(failed) => Self::Write(failed),
        }
    }
}

impl Replica {
    /// Starts the replica whose log and snapshot are on `disk`.
    pub async fn start(
        disk: Arc<dyn Disk>,
        settings: &RaftSettings,
        environment: Environment,
    ) -> Result<Self, StartError> {
        Self::start_at_pace(disk, settings, environment, Pace::default()).await
    }

    /// Starts the replica whose log and snapshot are on `disk`, with intervals other than the defaults.
    pub async fn start_at_pace(
        disk: Arc<dyn Disk>,
        settings: &RaftSettings,
        environment: Environment,
        pace: Pace,
    ) -> Result<Self, StartError> {
        let Environment { clock, connect, seed, boot, observer, tasks, computations, newest_format } = environment;
        let identity = log::peer_identity(disk.identity(), log::recoveries(&*disk)?);
        let log = Log::load(Arc::clone(&disk))?;
        let state_machine = load_state_machine(&disk, &log, newest_format, settings.planted)?
            .observed_by(Arc::clone(&observer))
            .computing_with(computations.clone())
            .planted_with(settings.planted, identity.owner);
        state_machine.has_diverged(log::diverged_at(&*disk)?);
        #[cfg(feature = "fault-injection")]
        let log = if settings.keep_purged { log.keeping_purged() } else { log };
        let log = log.planted_with(settings.planted);
        let beginning = beginning(&log, &state_machine, identity);
        let gate = Gate::open(Arc::clone(&disk), (identity, boot), log.promised(), beginning, settings.planted).await?;
        let gate = Arc::new(gate);
        let peers = Arc::new(Peers::new(identity.owner, identity.store, boot, connect));
        let parts = Parts {
            node: identity.owner,
            settings: *settings,
            pace,
            log: log.clone(),
            state_machine: state_machine.clone(),
            peers: Arc::clone(&peers),
            gate: Arc::clone(&gate),
        };
        let replicated = state_machine.view(|state| state.settings().raft_profile);
        let consensus = Consensus::begin(parts, settings.profile.unwrap_or(replicated), seed).await?;
        let consensus = Arc::new(consensus);
        let clock = Arc::new(LeaderClock::new(clock, settings.planted));
        let batcher =
            batcher::start(&tasks, Arc::clone(&consensus), state_machine.clone(), Arc::clone(&clock), observer);
        let forwarder = Forwarder::new(Arc::clone(&peers), tasks.clone());
        let incoming = Arc::new(Incoming::on(Arc::clone(&disk)));
        let running = Arc::new(RunningReplica {
            identity,
            gate,
            consensus,
            own_profile: tokio::sync::watch::Sender::new(settings.profile),
            state_machine,
            clock,
            batcher,
            peers,
            log,
            disk,
            tasks: tasks.clone(),
            computations,
            incoming,
            newest_format,
            forwarder,
            seeds: AtomicU64::new(seed),
            first_seed: seed,
            presence: Presence::default(),
            round_trips: RoundTrips::default(),
            profiles: Profiles::default(),
            confirmation: Confirmation::default(),
            shared_reads: SharedReads::default(),
            clock_warnings: Warnings::default(),
            refused_calls: WarningsByReason::default(),
            snapshot_chunk_bytes: pace.snapshot_chunk_bytes,
            rejoining: tokio::sync::Mutex::default(),
            planted: settings.planted,
            format: tokio::sync::RwLock::default(),
            clean_index: AtomicU64::new(0),
            promote_after: settings.promote_after,
            hanging: tokio::sync::watch::Sender::default(),
            leaving: AtomicBool::new(false),
        });
        tasks.spawn(ReplicaTask::Duties, duties::run(Arc::clone(&running), pace));
        tasks.spawn(ReplicaTask::Hashes, hashes::run(Arc::clone(&running)));
        tasks.spawn(ReplicaTask::HangingDisk, hanging_disk::follow(Arc::clone(&running)));
        tasks.spawn(ReplicaTask::Elections, elections::follow(Arc::clone(&running)));
        tasks.spawn(ReplicaTask::Profile, profile::follow(Arc::clone(&running)));
        tasks.spawn(ReplicaTask::Admission, admission::run(Arc::clone(&running), pace.look_interval));
        tasks.spawn(ReplicaTask::Confirmation, duties::confirm(Arc::clone(&running), pace.look_interval));
        tasks.spawn(ReplicaTask::Formats, format::follow(Arc::downgrade(&running)));
        let replica = Self(running);
        let failing = replica.clone();
        tasks.spawn(ReplicaTask::Failure, async move {
            failing.failed().await;
            failing.join().await;
        });
        Ok(replica)
    }
}

/// How the node begins, by the membership on its disk.
fn beginning(log: &Log, state_machine: &StateMachine, identity: Identity) -> Beginning {
    let membership = log.membership().unwrap_or_else(|| state_machine.membership().membership().clone());
    let own = membership.get_node(&identity.owner);
    let was_member = own.is_some_and(|member| member.store == identity.store);
    Beginning { was_member, is_alone: membership.nodes().count() <= 1 }
}

/// The state machine on `disk`, if the log continues where its snapshot ends, in a format that this node reads.
fn load_state_machine(
    disk: &Arc<dyn Disk>,
    log: &Log,
    newest: Format,
    planted: Planted,
) -> Result<StateMachine, StartError> {
    let file = SnapshotFile::on(Arc::clone(disk)).planted_with(planted);
    let state_machine = StateMachine::load(file.clone(), newest)?;
    if let Some(index) = log.first_unknown_after(state_machine.last(), newest) {
        return Err(StartError::Newer { index });
    }
    if let Some(index) = log.last_newer_than(state_machine.view(State::format)) {
        state_machine.holds_newer_up_to(index);
    }
    let (purged, snapshot) = (log.purged().map_or(0, |id| id.index), state_machine.last().map_or(0, |id| id.index));
    if purged > snapshot {
        return Err(StartError::Gap { purged, snapshot, path: file.path() });
    }
    Ok(state_machine)
}

//! The running openraft instance, and its replacement. openraft takes its timeouts at creation only, so a change of
//! the election profile replaces it by another instance on the same store, in the same process.
//!
//! Invariant: never two on one store. The next instance starts only after the last one has stopped and has released
//! the log and the state machine, and after everything that it appended is durable.

use std::{io, ops::Deref, sync::Arc, time::Duration};

use activation::settings::ElectionProfile;
use openraft::{
    Config,
    alias::WatchReceiverOf,
    async_runtime::WatchReceiver,
    errors::Fatal,
    metrics::{RaftMetrics, RaftServerMetrics},
};
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::{
    gate::state::Gate,
    peers::channels::Peers,
    raft::{
        lease::{Lease, Leases},
        log::Log,
        network::Links,
        state_machine::{Raft, StateMachine},
        types::{Runtime, TypeConfig},
    },
    settings::{Pace, RaftSettings, SettingsError},
};

/// What is needed to create each openraft instance of a replica.
pub(crate) struct Parts {
    pub(crate) node: u64,
    pub(crate) settings: RaftSettings,
    pub(crate) pace: Pace,
    pub(crate) log: Log,
    pub(crate) state_machine: StateMachine,
    pub(crate) peers: Arc<Peers>,
    pub(crate) gate: Arc<Gate>,
}

/// One openraft instance, and what ends with it.
struct Made {
    raft: Raft,
    leases: Leases,
    /// Dropping it ends the instance's calls to other nodes.
    links: watch::Sender<()>,
}

impl Parts {
    fn config(&self, profile: ElectionProfile) -> Result<Arc<Config>, SettingsError> {
        Ok(Arc::new(self.settings.to_openraft(profile, self.pace)?))
    }

    async fn make(&self, config: Arc<Config>, seed: u64) -> Result<Made, Fatal<TypeConfig>> {
        let (lease, leases) = Lease::begin();
        let (links, ended) = watch::channel(());
        let network = Links {
            peers: Arc::clone(&self.peers),
            gate: Arc::clone(&self.gate),
            chunk_bytes: self.pace.snapshot_chunk_bytes,
            ended,
        };
        let (log, state_machine) = (self.log.leased(lease.clone()), self.state_machine.leased(lease));
        let start = Raft::new(self.node, config, network, log, state_machine);
        Ok(Made { raft: Runtime::scope(seed, start).await?, leases, links })
    }
}

/// The phase of the consensus.
#[derive(Clone)]
enum Phase {
    /// The instance runs, unless it has failed on its own.
    Runs,
    /// The instance is being replaced.
    Changes,
    /// The replacement could not be created.
    Failed(Fatal<TypeConfig>),
    /// The consensus was shut down.
    Ended,
}

#[derive(Clone)]
struct Current {
    raft: Raft,
    /// Number of the instance since the start of the process, from 0.
    number: u64,
    profile: ElectionProfile,
    phase: Phase,
}

/// The consensus: the current openraft instance and what is needed to replace it.
pub(crate) struct Consensus {
    parts: Parts,
    current: watch::Sender<Current>,
    /// What ends with the current instance. Locked while the instance is replaced.
    held: Mutex<Option<(Leases, watch::Sender<()>)>>,
}

/// Why the first instance could not be created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotMade {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Raft(#[from] Fatal<TypeConfig>),
}

/// Why the instance was not replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The replica stops.
    #[error("the replica has stopped")]
    Ended,
    /// An earlier write could not be made durable.
    #[error("the log could not be made durable: {0}")]
    Disk(#[from] io::Error),
    /// openraft failed.
    #[error(transparent)]
    Raft(Fatal<TypeConfig>),
}

impl Consensus {
    /// Creates the first instance.
    pub(crate) async fn begin(parts: Parts, profile: ElectionProfile, seed: u64) -> Result<Self, NotMade> {
        let Made { raft, leases, links } = parts.make(parts.config(profile)?, seed).await?;
        let current = Current { raft, number: 0, profile, phase: Phase::Runs };
        Ok(Self { parts, current: watch::Sender::new(current), held: Mutex::new(Some((leases, links))) })
    }

    /// The current instance, or the last one if none runs.
    pub(crate) fn raft(&self) -> Raft {
        self.current.borrow().raft.clone()
    }

    /// The election profile in force.
    pub(crate) fn profile(&self) -> ElectionProfile {
        self.current.borrow().profile
    }

    /// The longest round trip between two nodes that the timeouts in force tolerate.
    pub(crate) fn round_trip_max(&self) -> Duration {
        self.parts.settings.round_trip_max(self.profile())
    }

    /// Why no instance runs; `None` while it is being replaced.
    pub(crate) fn failure(&self) -> Option<Fatal<TypeConfig>> {
        // Read under one lock: before an instance is shut down on purpose, the phase changes.
        let current = self.current.borrow();
        match &current.phase {
            Phase::Runs => current.raft.metrics().borrow_watched().running_state.clone().err(),
            Phase::Changes => None,
            Phase::Failed(fatal) => Some(fatal.clone()),
            Phase::Ended => Some(Fatal::Stopped),
        }
    }

    /// Returns when the consensus was shut down, or when a replacement could not be created.
    pub(crate) async fn has_ended(&self) {
        let is_over = |current: &Current| matches!(current.phase, Phase::Failed(_) | Phase::Ended);
        let mut current = self.current.subscribe();
        let _sender_is_here = current.wait_for(is_over).await;
    }

    /// Metrics of the current instance, across replacements.
    pub(crate) fn metrics(&self) -> Follow<RaftMetrics<TypeConfig>> {
        Follow::begin(self.current.subscribe(), Raft::metrics)
    }

    /// Server metrics (role, vote, membership) of the current instance, across replacements.
    pub(crate) fn server_metrics(&self) -> Follow<RaftServerMetrics<TypeConfig>> {
        Follow::begin(self.current.subscribe(), Raft::server_metrics)
    }

    /// Changes the election profile: stops the instance and creates another one with the timeouts of `profile`.
    pub(crate) async fn change(&self, profile: ElectionProfile, seed: u64) -> Result<(), ChangeError> {
        let mut held = self.held.lock().await;
        let config = self.parts.config(profile)?;
        if self.has_times_of(profile) {
            self.current.send_modify(|current| current.profile = profile);
            return Ok(());
        }
        if self.failure().is_some() || !self.enter(Phase::Changes) {
            return Err(ChangeError::Ended);
        }
        let before = self.raft();
        let was_member = is_member(&before);
        stop(&before).await;
        if let Some(fatal) = failed_by_itself(&before) {
            self.enter(Phase::Failed(fatal.clone()));
            return Err(ChangeError::Raft(fatal));
        }
        let changed = tokio::select! {
            made = self.make_anew(&mut held, config, was_member, seed) => made,
            () = self.has_ended() => Err(ChangeError::Ended),
        };
        let Made { raft, leases, links } = changed.inspect_err(|error| {
            if let ChangeError::Raft(fatal) = error {
                self.enter(Phase::Failed(fatal.clone()));
            }
        })?;
        *held = Some((leases, links));
        let is_taken = self.current.send_if_modified(|current| {
            let goes_on = matches!(current.phase, Phase::Changes);
            if goes_on {
                *current = Current { raft: raft.clone(), number: current.number + 1, profile, phase: Phase::Runs };
            }
            goes_on
        });
        if !is_taken {
            stop(&raft).await;
            return Err(ChangeError::Ended);
        }
        Ok(())
    }

    /// Whether the timeouts of `profile` are in force already. A profile changes nothing if the node's
    /// configuration file gives all timeouts.
    pub(crate) fn has_times_of(&self, profile: ElectionProfile) -> bool {
        let settings = &self.parts.settings;
        settings.times(profile) == settings.times(self.profile())
    }

    async fn make_anew(
        &self,
        held: &mut MutexGuard<'_, Option<(Leases, watch::Sender<()>)>>,
        config: Arc<Config>,
        was_member: bool,
        seed: u64,
    ) -> Result<Made, ChangeError> {
        if let Some((mut leases, links)) = held.take() {
            drop(links);
            leases.are_over().await;
        }
        // A write that failed after the instance stopped was reported to no openraft.
        self.parts.log.settle().await.inspect_err(|error| self.parts.gate.disk_failed(error))?;
        let made = self.parts.make(config, seed).await.map_err(ChangeError::Raft)?;
        // Before its first metrics the new instance reports no members, and calls of other nodes would be refused.
        let (mut metrics, mut server_metrics) = (made.raft.metrics(), made.raft.server_metrics());
        while was_member
            && (has_no_member(&metrics.borrow_watched().membership_config)
                || has_no_member(&server_metrics.borrow_watched().membership_config))
        {
            let stopped = |_| ChangeError::Raft(Fatal::Stopped);
            tokio::select! {
                changed = metrics.changed() => changed.map_err(stopped)?,
                changed = server_metrics.changed() => changed.map_err(stopped)?,
            }
        }
        Ok(made)
    }

    /// Changes the phase, unless the consensus was shut down; returns whether it did.
    fn enter(&self, phase: Phase) -> bool {
        self.current.send_if_modified(|current| {
            let goes_on = !matches!(current.phase, Phase::Ended);
            if goes_on {
                current.phase = phase;
            }
            goes_on
        })
    }

    /// Shuts the consensus down permanently, and waits until the instance has stopped.
    pub(crate) async fn end(&self) {
        self.enter(Phase::Ended);
        let _held = self.held.lock().await;
        stop(&self.raft()).await;
    }
}

type Members = Arc<openraft::alias::StoredMembershipOf<TypeConfig>>;

fn has_no_member(membership: &Members) -> bool {
    membership.membership().nodes().next().is_none()
}

fn is_member(raft: &Raft) -> bool {
    !has_no_member(&raft.metrics().borrow_watched().membership_config)
}

/// The failure that an instance had before it was stopped, if any.
fn failed_by_itself(raft: &Raft) -> Option<Fatal<TypeConfig>> {
    let fatal = raft.metrics().borrow_watched().running_state.clone().err()?;
    (!matches!(fatal, Fatal::Stopped)).then_some(fatal)
}

async fn stop(raft: &Raft) {
    if let Err(error) = raft.shutdown().await {
        tracing::warn!(%error, "the replica did not stop cleanly");
    }
}

/// The consensus has been shut down, or has failed.
#[derive(Debug)]
pub(crate) struct Ended;

/// Metrics of the current openraft instance, across replacements.
pub(crate) struct Follow<T: Send + Sync + 'static> {
    current: watch::Receiver<Current>,
    /// Number of the instance whose metrics these are.
    number: u64,
    of: fn(&Raft) -> WatchReceiverOf<TypeConfig, T>,
    metrics: WatchReceiverOf<TypeConfig, T>,
}

impl<T: Send + Sync + 'static> Follow<T> {
    fn begin(current: watch::Receiver<Current>, of: fn(&Raft) -> WatchReceiverOf<TypeConfig, T>) -> Self {
        let (number, metrics) = {
            let current = current.borrow();
            (current.number, of(&current.raft))
        };
        Self { current, number, of, metrics }
    }

    /// The current metrics; while the instance is being replaced, the last ones.
    pub(crate) fn borrow_watched(&self) -> impl Deref<Target = T> {
        self.metrics.borrow_watched()
    }

    /// Waits for a change; an error means that there will be none.
    pub(crate) async fn changed(&mut self) -> Result<(), Ended> {
        if self.metrics.changed().await.is_ok() {
            return Ok(());
        }
        // That instance has stopped: either another one replaces it, or the consensus has ended.
        let number = self.number;
        let is_settled = |current: &Current| current.number != number || !matches!(current.phase, Phase::Changes);
        let (number, metrics) = {
            let current = self.current.wait_for(is_settled).await.map_err(|_| Ended)?;
            if current.number == number {
                return Err(Ended);
            }
            (current.number, (self.of)(&current.raft))
        };
        (self.number, self.metrics) = (number, metrics);
        Ok(())
    }
}

//! The openraft that runs, and its replacement: openraft fixes its times when it is made, so another election profile is
//! another openraft on the same store, in the same process.
//!
//! Invariant: never two on one store. The next one begins when the one before has stopped, has let go of the log and the state
//! machine, and everything that it appended is durable.

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

/// What each openraft of a replica is made of.
pub(crate) struct Parts {
    pub(crate) node: u64,
    pub(crate) settings: RaftSettings,
    pub(crate) pace: Pace,
    pub(crate) log: Log,
    pub(crate) state_machine: StateMachine,
    pub(crate) peers: Arc<Peers>,
    pub(crate) gate: Arc<Gate>,
}

/// One openraft, and what ends with it.
struct Made {
    raft: Raft,
    leases: Leases,
    /// Dropped, it ends the calls to other nodes.
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

/// How the consensus is.
#[derive(Clone)]
enum Phase {
    /// It runs, unless it has failed by itself.
    Runs,
    /// It is made anew.
    Changes,
    /// It could not be made anew.
    Failed(Fatal<TypeConfig>),
    /// It was shut down.
    Ended,
}

#[derive(Clone)]
struct Current {
    raft: Raft,
    /// Which one since the start.
    number: u64,
    profile: ElectionProfile,
    phase: Phase,
}

/// The openraft that runs.
pub(crate) struct Consensus {
    parts: Parts,
    current: watch::Sender<Current>,
    /// What ends with the one that runs. Held while it is made anew.
    held: Mutex<Option<(Leases, watch::Sender<()>)>>,
}

/// Why there is no consensus.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotMade {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Raft(#[from] Fatal<TypeConfig>),
}

/// Why the consensus was not made anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The replica stops.
    #[error("the replica has stopped")]
    Ended,
    /// What was written before could not be made durable.
    #[error("the log could not be made durable: {0}")]
    Disk(#[from] io::Error),
    /// openraft failed.
    #[error(transparent)]
    Raft(Fatal<TypeConfig>),
}

impl Consensus {
    /// Makes the first one.
    pub(crate) async fn begin(parts: Parts, profile: ElectionProfile, seed: u64) -> Result<Self, NotMade> {
        let Made { raft, leases, links } = parts.make(parts.config(profile)?, seed).await?;
        let current = Current { raft, number: 0, profile, phase: Phase::Runs };
        Ok(Self { parts, current: watch::Sender::new(current), held: Mutex::new(Some((leases, links))) })
    }

    /// The one that runs, or ran last.
    pub(crate) fn raft(&self) -> Raft {
        self.current.borrow().raft.clone()
    }

    /// The election profile in force.
    pub(crate) fn profile(&self) -> ElectionProfile {
        self.current.borrow().profile
    }

    /// The longest round trip between two nodes that the times in force bear.
    pub(crate) fn round_trip_max(&self) -> Duration {
        self.parts.settings.round_trip_max(self.profile())
    }

    /// Why it runs no more; nothing while it is made anew.
    pub(crate) fn failure(&self) -> Option<Fatal<TypeConfig>> {
        // Looked at under its lock: what is shut down on purpose is in another phase before.
        let current = self.current.borrow();
        match &current.phase {
            Phase::Runs => current.raft.metrics().borrow_watched().running_state.clone().err(),
            Phase::Changes => None,
            Phase::Failed(fatal) => Some(fatal.clone()),
            Phase::Ended => Some(Fatal::Stopped),
        }
    }

    /// Returns when it was shut down, or could not be made anew.
    pub(crate) async fn has_ended(&self) {
        let is_over = |current: &Current| matches!(current.phase, Phase::Failed(_) | Phase::Ended);
        let mut current = self.current.subscribe();
        let _sender_is_here = current.wait_for(is_over).await;
    }

    /// Its metrics, whichever runs.
    pub(crate) fn metrics(&self) -> Follow<RaftMetrics<TypeConfig>> {
        Follow::begin(self.current.subscribe(), Raft::metrics)
    }

    /// The metrics of its role, whichever runs.
    pub(crate) fn server_metrics(&self) -> Follow<RaftServerMetrics<TypeConfig>> {
        Follow::begin(self.current.subscribe(), Raft::server_metrics)
    }

    /// Takes another profile: ends openraft, and makes another one with the times of `profile`.
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

    /// Whether the one that runs has these times already: where a node's own file gives them, a profile changes nothing.
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
        // A write that failed meanwhile had no openraft to tell it to.
        self.parts.log.settle().await.inspect_err(|error| self.parts.gate.disk_failed(error))?;
        let made = self.parts.make(config, seed).await.map_err(ChangeError::Raft)?;
        // Until its first metrics it knows no member, and calls of other nodes would be refused.
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

    /// Goes to another phase; not from the last one.
    fn enter(&self, phase: Phase) -> bool {
        self.current.send_if_modified(|current| {
            let goes_on = !matches!(current.phase, Phase::Ended);
            if goes_on {
                current.phase = phase;
            }
            goes_on
        })
    }

    /// Ends it for good, and waits until it has ended.
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

/// Why a stopped one had failed before it was stopped.
fn failed_by_itself(raft: &Raft) -> Option<Fatal<TypeConfig>> {
    let fatal = raft.metrics().borrow_watched().running_state.clone().err()?;
    (!matches!(fatal, Fatal::Stopped)).then_some(fatal)
}

async fn stop(raft: &Raft) {
    if let Err(error) = raft.shutdown().await {
        tracing::warn!(%error, "the replica did not stop cleanly");
    }
}

/// The consensus has ended.
#[derive(Debug)]
pub(crate) struct Ended;

/// Metrics of whichever openraft runs.
pub(crate) struct Follow<T: Send + Sync + 'static> {
    current: watch::Receiver<Current>,
    /// Whose metrics these are.
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

    /// As they are now; while the consensus is made anew, as they were last.
    pub(crate) fn borrow_watched(&self) -> impl Deref<Target = T> {
        self.metrics.borrow_watched()
    }

    /// Waits for a change; the error says that there will be none.
    pub(crate) async fn changed(&mut self) -> Result<(), Ended> {
        if self.metrics.changed().await.is_ok() {
            return Ok(());
        }
        // That one has ended: on purpose, and another one follows, or not.
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

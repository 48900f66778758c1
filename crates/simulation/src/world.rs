//! State that the whole simulation shares: the trace, the oracle, true time, and the state of each node.
//!
//! Its lock is held only briefly, and no function of the product is called meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use activation::settings::ElectionProfile;
use activation::state::{Format, State};
use api::log::v1 as log;
use bytes::Bytes;
use prost::Message;
use replication::{AppliedEntry, Observer};
use tokio::sync::mpsc;

use crate::{
    chance::fnv_from,
    disk::WriteObserver,
    oracle::{Acknowledgement, Digest, Oracle, Violation},
    order::Asked,
    publisher::Publisher,
    time::{ClockError, TrueTime},
};

/// How many lines of the trace before a violation are shown with it.
const LAST_EVENTS: usize = 30;

/// How many commands may wait for a node.
const COMMANDS_MAX: usize = 16;

/// Within this time, every sample of a clock that was wrong is replaced by a later one.
const SAMPLES_RENEWED: Duration = Duration::from_secs(120);

/// In formats before this one, machines are compared with cluster time even while cluster time is ahead.
const FIRST_FORMAT_WITH_TARGET: u32 = 3;

/// The simulation's state of a node; it outlives the node's restarts.
pub(crate) struct NodeState {
    pub(crate) clock: ClockError,
    pub(crate) newest_format: Format,
    /// Election profile in the node's configuration, for its next start.
    pub(crate) profile: Option<ElectionProfile>,
    pub(crate) commands: Option<mpsc::Sender<Asked>>,
    /// Since when the node has reported without interruption that it is ready.
    pub(crate) ready_since: Option<Duration>,
    /// The period in which every machine received the answer that the node is not activated or has no leader.
    pub(crate) unserved: Option<(Duration, Duration)>,
    /// Whether the node's replica runs.
    pub(crate) is_up: bool,
    /// Whether the node's disk is an older one, or a copy, so that the node may be quarantined.
    pub(crate) is_older: bool,
    /// Whether the node's disk is a copy, or lacks something that the node promised, so that the node must not serve.
    pub(crate) is_stale: bool,
    /// Reads the state of the node's replica.
    pub(crate) look: Option<Arc<dyn Fn() -> Seen + Send + Sync>>,
}

/// What a node has applied, and its membership.
pub(crate) struct Seen {
    pub(crate) applied: u64,
    pub(crate) digest: Digest,
    pub(crate) members: BTreeSet<u64>,
    pub(crate) voters: BTreeSet<u64>,
}

impl NodeState {
    /// Call when the node's process has ended.
    pub(crate) fn ended(&mut self) {
        (self.is_up, self.ready_since, self.commands, self.look) = (false, None, None, None);
    }
}

impl Default for NodeState {
    fn default() -> Self {
        let clock = ClockError::default();
        Self {
            clock,
            newest_format: Format::NEWEST,
            profile: None,
            commands: None,
            ready_since: None,
            unserved: None,
            is_up: false,
            is_older: false,
            is_stale: false,
            look: None,
        }
    }
}

/// Requests to the simulation loop, for what a node or the administrator cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The process of this node has ended by itself.
    Ended(u64),
    /// Start this node with an empty disk.
    StartNew(u64),
    /// Stop this node permanently, because it has left the cluster.
    Retire(u64),
    /// Hold the links of this node for a while, as if its process stood still.
    Stall(u64),
    /// Kill this node, and start it again after the pause.
    Restart(u64, Duration),
    /// Kill this node permanently.
    Lose(u64),
    /// Store the content of this node's disk.
    KeepDisk(u64),
    /// Kill this node, set its disk back to the stored content, and start it again.
    RollBack(u64),
    /// Kill this node, alter the state in its snapshot, and start it again.
    AlterState(u64),
    /// Copy a node's disk to another host.
    Copy { from: u64, to: u64 },
    /// Set this node's clock ahead by this many hours.
    Clock(u64, i64),
    /// Switch every node off for this long.
    Skip(Duration),
    /// Make every message between nodes take this many milliseconds.
    SlowLinks(u64),
}

#[derive(Default)]
struct Shared {
    /// The runtime's time outside of every node.
    outside: Duration,
    time: TrueTime,
    trace: Trace,
    oracle: Oracle,
    nodes: BTreeMap<u64, NodeState>,
    faults: BTreeMap<&'static str, u64>,
    wishes: VecDeque<Wish>,
    elections: u64,
    /// How many requests were counted, or refused for a reason that lies with the machine.
    served: u64,
    is_ending: bool,
    is_set_up: bool,
    /// Whether the nodes' operating systems synchronise their clocks.
    synchronises_clocks: bool,
    /// When a clock of any node was wrong last.
    clocks_wrong_at: Duration,
    probe: Probe,
}

/// A check whether every member answers a machine.
#[derive(Default)]
enum Probe {
    #[default]
    Idle,
    Wanted(BTreeSet<u64>),
    /// The members that did not answer.
    Done(Vec<u64>),
}

/// The trace: every event with its time.
#[derive(Default)]
struct Trace {
    hash: u64,
    last: VecDeque<String>,
    /// All lines, where the trace is written to a file.
    lines: Option<Vec<String>>,
}

/// Access to the shared state; cheap to clone.
#[derive(Clone)]
pub(crate) struct World {
    shared: Arc<Mutex<Shared>>,
    pub(crate) publisher: Arc<Publisher>,
}

impl World {
    pub(crate) fn new(keeps_trace: bool) -> Self {
        let mut shared = Shared::default();
        shared.trace.lines = keeps_trace.then(Vec::new);
        Self { shared: Arc::new(Mutex::new(shared)), publisher: Arc::new(Publisher::new()) }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Virtual time of the runtimes since the beginning.
    pub(crate) fn now(&self) -> Duration {
        turmoil::sim_elapsed().unwrap_or_else(|| self.shared().outside)
    }

    /// Sets virtual time to `now`, outside of every node.
    pub(crate) fn is_at(&self, now: Duration) {
        let mut shared = self.shared();
        shared.outside = now;
        if shared.nodes.values().any(|node| node.clock != ClockError::default()) {
            shared.clocks_wrong_at = now;
        }
    }

    /// True time since the beginning.
    pub(crate) fn true_time(&self) -> Duration {
        let now = self.now();
        self.shared().time.at(now)
    }

    pub(crate) fn change_time(&self, change: impl FnOnce(&mut TrueTime, Duration)) {
        let now = self.now();
        change(&mut self.shared().time, now);
    }

    /// Whether the nodes' clocks have been right for long enough that the nodes must judge a client's clock
    /// correctly.
    pub(crate) fn must_know_the_time(&self) -> bool {
        let now = self.now();
        let shared = self.shared();
        let right_for = now.saturating_sub(shared.clocks_wrong_at);
        right_for > SAMPLES_RENEWED && shared.oracle.format() >= FIRST_FORMAT_WITH_TARGET
    }

    pub(crate) fn synchronises_clocks(&self) -> bool {
        self.shared().synchronises_clocks
    }

    /// Sets whether the nodes' operating systems synchronise their clocks.
    pub(crate) fn synchronise_clocks(&self, synchronises: bool) {
        self.shared().synchronises_clocks = synchronises;
    }

    pub(crate) fn clock_error(&self, node: u64) -> ClockError {
        self.shared().nodes.get(&node).map(|node| node.clock).unwrap_or_default()
    }

    /// Reads or changes a node's state.
    pub(crate) fn node<T>(&self, node: u64, look: impl FnOnce(&mut NodeState) -> T) -> T {
        look(self.shared().nodes.entry(node).or_default())
    }

    /// Adds an event to the trace, with its virtual time.
    pub(crate) fn trace(&self, event: impl Display) {
        let now = self.now();
        let line = format!("{}.{:06} {event}", now.as_secs(), now.subsec_micros());
        let mut shared = self.shared();
        let trace = &mut shared.trace;
        trace.hash = fnv_from(trace.hash, line.bytes());
        if let Some(lines) = &mut trace.lines {
            lines.push(line.clone());
        }
        if trace.last.len() == LAST_EVENTS {
            trace.last.pop_front();
        }
        trace.last.push_back(line);
    }

    /// Records that a fault was injected.
    pub(crate) fn fault(&self, kind: &'static str, what: impl Display) {
        *self.shared().faults.entry(kind).or_default() += 1;
        self.trace(format_args!("fault {kind}: {what}"));
    }

    pub(crate) fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.shared().faults.clone()
    }

    /// The trace's hash, its last lines, and all lines where they are kept.
    pub(crate) fn traced(&self) -> (u64, Vec<String>, Option<Vec<String>>) {
        let shared = self.shared();
        (shared.trace.hash, shared.trace.last.iter().cloned().collect(), shared.trace.lines.clone())
    }

    /// Calls the oracle.
    pub(crate) fn oracle<T>(&self, tell: impl FnOnce(&mut Oracle) -> T) -> T {
        tell(&mut self.shared().oracle)
    }

    /// Records that a promise was broken.
    pub(crate) fn violated(&self, kind: &'static str, expected: impl Display, found: impl Display) {
        let (now, expected, found) = (self.now(), expected.to_string(), found.to_string());
        self.trace(format_args!("VIOLATION {kind}: expected {expected}; found {found}"));
        self.shared().oracle.violated(kind, now, expected, found);
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.shared().oracle.violations().to_vec()
    }

    /// Records that a client received a count.
    pub(crate) fn acknowledged(&self, acknowledgement: Acknowledgement) {
        self.trace(format_args!(
            "machine {:x} receives {} at entry {} offset {}",
            acknowledgement.machine, acknowledgement.count, acknowledgement.index, acknowledgement.offset
        ));
        self.shared().oracle.acknowledged(acknowledgement);
    }

    /// Sends a request to the simulation loop.
    pub(crate) fn wish(&self, wish: Wish) {
        self.shared().wishes.push_back(wish);
    }

    pub(crate) fn wishes(&self) -> Vec<Wish> {
        self.shared().wishes.drain(..).collect()
    }

    /// Records that a node stands for election, or follows another leader.
    pub(crate) fn election(&self) {
        self.shared().elections += 1;
    }

    /// How many elections there were since the last call.
    pub(crate) fn elections(&self) -> u64 {
        std::mem::take(&mut self.shared().elections)
    }

    /// Ends the faults; machines finish what they have begun.
    pub(crate) fn end(&self) {
        self.shared().is_ending = true;
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.shared().is_ending
    }

    /// Call when the cluster is formed and activated, so that faults may begin.
    pub(crate) fn set_up(&self) {
        self.trace("the cluster is set up");
        self.shared().is_set_up = true;
    }

    pub(crate) fn is_set_up(&self) -> bool {
        self.shared().is_set_up
    }

    /// Opens the channel for orders to a node, and returns its receiving end.
    pub(crate) fn commands_of(&self, node: u64) -> mpsc::Receiver<Asked> {
        let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
        self.node(node, |state| state.commands = Some(sender));
        receiver
    }

    /// What each running node has applied.
    pub(crate) fn seen(&self) -> BTreeMap<u64, Seen> {
        let looks: Vec<_> = {
            let shared = self.shared();
            shared.nodes.iter().filter_map(|(node, state)| Some((*node, state.look.clone()?))).collect()
        };
        looks.into_iter().map(|(node, look)| (node, look())).collect()
    }

    /// Records that a node counted a request, or refused it for a reason that lies with the machine.
    pub(crate) fn served(&self, node: u64) {
        self.node(node, |node| node.unserved = None);
        self.shared().served += 1;
    }

    /// How many requests have been served.
    pub(crate) fn served_so_far(&self) -> u64 {
        self.shared().served
    }

    /// Requests a probe of these nodes.
    pub(crate) fn want_probe(&self, nodes: BTreeSet<u64>) {
        self.shared().probe = Probe::Wanted(nodes);
    }

    pub(crate) fn probe_wanted(&self) -> Option<BTreeSet<u64>> {
        let mut shared = self.shared();
        match std::mem::take(&mut shared.probe) {
            Probe::Wanted(nodes) => Some(nodes),
            other => {
                shared.probe = other;
                None
            }
        }
    }

    pub(crate) fn probed(&self, silent: Vec<u64>) {
        self.shared().probe = Probe::Done(silent);
    }

    /// Nodes that did not answer the probe; `None` until it has ended.
    pub(crate) fn probe_outcome(&self) -> Option<Vec<u64>> {
        match &self.shared().probe {
            Probe::Done(silent) => Some(silent.clone()),
            Probe::Idle | Probe::Wanted(_) => None,
        }
    }

    /// Nodes whose replica runs.
    pub(crate) fn nodes_up(&self) -> BTreeSet<u64> {
        let shared = self.shared();
        shared.nodes.iter().filter(|(_, node)| node.is_up).map(|(number, _)| *number).collect()
    }
}

/// Observes one node for the trace and the oracle.
pub(crate) struct Watcher {
    pub(crate) world: World,
    pub(crate) node: u64,
}

impl Observer for Watcher {
    fn applied(&self, entry: &AppliedEntry<'_>, state: &State) {
        let World { publisher, .. } = &self.world;
        let times = (self.world.now(), self.world.true_time());
        self.world.trace(format_args!("node {} applied entry {} of term {}", self.node, entry.index, entry.term));
        let before = self.world.violations().len();
        self.world.oracle(|oracle| oracle.applied(self.node, entry, state, publisher, times));
        for violation in self.world.violations().iter().skip(before) {
            let Violation { kind, expected, found, .. } = violation;
            self.world.trace(format_args!("VIOLATION {kind}: expected {expected}; found {found}"));
        }
    }
}

impl WriteObserver for Watcher {
    fn truncated(&self, index: u64) {
        self.world.trace(format_args!("node {} cuts its log before entry {index}", self.node));
        self.world.oracle(|oracle| oracle.promises.truncated(self.node, index));
    }

    fn snapshot_replaced(&self, before: &Bytes, after: &Bytes) {
        let ends = |file: &Bytes| log::Snapshot::decode(file.clone()).ok()?.last.map(|last| last.index);
        let (before, after) = (ends(before), ends(after));
        if after < before {
            let expected = format!("node {} keeps its snapshot up to entry {before:?}, or a newer one", self.node);
            self.world.violated("snapshot_went_back", expected, format_args!("one up to {after:?}"));
        }
    }
}

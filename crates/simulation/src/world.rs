//! What the whole simulation shares: the trace, the oracle, true time, and what each node is like.
//!
//! It is locked for moments only, and nothing of the product is called meanwhile.

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

/// Lines before a violation that are shown with it.
const LAST_EVENTS: usize = 30;

/// Commands that may wait for a node.
const COMMANDS_MAX: usize = 16;

/// After so long every sample of a clock that was wrong is replaced by a later one.
const SAMPLES_RENEWED: Duration = Duration::from_secs(120);

/// Before it cluster time that is ahead stays what machines are compared with.
const FIRST_FORMAT_WITH_TARGET: u32 = 3;

/// What a node is like; it outlives the node's starts.
pub(crate) struct NodeState {
    pub(crate) clock: ClockError,
    pub(crate) newest_format: Format,
    /// Of its configuration, for its next start.
    pub(crate) profile: Option<ElectionProfile>,
    pub(crate) commands: Option<mpsc::Sender<Asked>>,
    /// Since when it says without a break that it is ready.
    pub(crate) ready_since: Option<Duration>,
    /// Since when, and until when, every machine was told that the node is not activated or has no leader.
    pub(crate) unserved: Option<(Duration, Duration)>,
    /// Its replica runs.
    pub(crate) is_up: bool,
    /// Its disk is an older one, or a copy: it may be quarantined,
    pub(crate) is_older: bool,
    /// and it must not serve where it lacks something.
    pub(crate) is_stale: bool,
    /// Looks at its replica from outside.
    pub(crate) look: Option<Arc<dyn Fn() -> Seen + Send + Sync>>,
}

/// What a node has applied, and knows of the cluster.
pub(crate) struct Seen {
    pub(crate) applied: u64,
    pub(crate) digest: Digest,
    pub(crate) members: BTreeSet<u64>,
    pub(crate) voters: BTreeSet<u64>,
}

impl NodeState {
    /// The process has ended.
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

/// What the loop around the simulation is to do, because a node or the administrator cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The process of this node has ended.
    Ended(u64),
    /// This node is to be started on an empty disk.
    StartNew(u64),
    /// This node is out of the cluster: it is stopped for good.
    Retire(u64),
    /// The links of this node are held for a while, as if it stood still.
    Stall(u64),
    /// This node is killed, and started again after the pause.
    Restart(u64, Duration),
    /// This node is killed for good.
    Lose(u64),
    /// What is on this node's disk is remembered,
    KeepDisk(u64),
    /// and the disk goes back to it: the node is killed for it.
    RollBack(u64),
    /// The state in this node's snapshot becomes another one: the node is killed for it.
    AlterState(u64),
    /// A node's disk is copied to another host.
    Copy { from: u64, to: u64 },
    /// This node's clock is so many hours ahead.
    Clock(u64, i64),
    /// Every node is off for so long.
    Skip(Duration),
    /// Every message between nodes takes so many milliseconds.
    SlowLinks(u64),
}

#[derive(Default)]
struct Shared {
    /// The runtime's time, as the loop around the simulation knows it.
    outside: Duration,
    time: TrueTime,
    trace: Trace,
    oracle: Oracle,
    nodes: BTreeMap<u64, NodeState>,
    faults: BTreeMap<&'static str, u64>,
    wishes: VecDeque<Wish>,
    elections: u64,
    /// Requests that were counted, or refused for the machine's own reasons.
    served: u64,
    is_ending: bool,
    is_set_up: bool,
    /// Whether the operating systems synchronise their clocks.
    synchronises_clocks: bool,
    /// When one of the nodes' clocks was wrong last.
    clocks_wrong_at: Duration,
    probe: Probe,
}

/// Whether every member answers a machine.
#[derive(Default)]
enum Probe {
    #[default]
    Idle,
    Wanted(BTreeSet<u64>),
    /// Members that did not answer.
    Done(Vec<u64>),
}

/// The trace: every event with its time.
#[derive(Default)]
struct Trace {
    hash: u64,
    last: VecDeque<String>,
    /// Every line, if the trace is to be written to a file.
    lines: Option<Vec<String>>,
}

/// A handle to what is shared.
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

    /// Virtual time goes on to `now`, outside of every node.
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

    /// Whether the nodes' clocks have been right for long enough that a request is compared with the right time.
    pub(crate) fn must_know_the_time(&self) -> bool {
        let now = self.now();
        let shared = self.shared();
        let right_for = now.saturating_sub(shared.clocks_wrong_at);
        right_for > SAMPLES_RENEWED && shared.oracle.format() >= FIRST_FORMAT_WITH_TARGET
    }

    pub(crate) fn synchronises_clocks(&self) -> bool {
        self.shared().synchronises_clocks
    }

    /// Whether the operating systems synchronise their clocks, from now on.
    pub(crate) fn synchronise_clocks(&self, synchronises: bool) {
        self.shared().synchronises_clocks = synchronises;
    }

    pub(crate) fn clock_error(&self, node: u64) -> ClockError {
        self.shared().nodes.get(&node).map(|node| node.clock).unwrap_or_default()
    }

    /// Looks at a node's state, or changes it.
    pub(crate) fn node<T>(&self, node: u64, look: impl FnOnce(&mut NodeState) -> T) -> T {
        look(self.shared().nodes.entry(node).or_default())
    }

    /// Takes an event into the trace, with its virtual time.
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

    /// A fault happened.
    pub(crate) fn fault(&self, kind: &'static str, what: impl Display) {
        *self.shared().faults.entry(kind).or_default() += 1;
        self.trace(format_args!("fault {kind}: {what}"));
    }

    pub(crate) fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.shared().faults.clone()
    }

    /// The trace's hash, its last lines, and all lines where they were kept.
    pub(crate) fn traced(&self) -> (u64, Vec<String>, Option<Vec<String>>) {
        let shared = self.shared();
        (shared.trace.hash, shared.trace.last.iter().cloned().collect(), shared.trace.lines.clone())
    }

    /// Looks at the oracle, or tells it something.
    pub(crate) fn oracle<T>(&self, tell: impl FnOnce(&mut Oracle) -> T) -> T {
        tell(&mut self.shared().oracle)
    }

    /// A promise was broken.
    pub(crate) fn violated(&self, kind: &'static str, expected: impl Display, found: impl Display) {
        let (now, expected, found) = (self.now(), expected.to_string(), found.to_string());
        self.trace(format_args!("VIOLATION {kind}: expected {expected}; found {found}"));
        self.shared().oracle.violated(kind, now, expected, found);
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.shared().oracle.violations().to_vec()
    }

    /// A client was told a count.
    pub(crate) fn acknowledged(&self, acknowledgement: Acknowledgement) {
        self.trace(format_args!(
            "machine {:x} is told {} at entry {} offset {}",
            acknowledgement.machine, acknowledgement.count, acknowledgement.index, acknowledgement.offset
        ));
        self.shared().oracle.acknowledged(acknowledgement);
    }

    /// The loop around the simulation is to do this.
    pub(crate) fn wish(&self, wish: Wish) {
        self.shared().wishes.push_back(wish);
    }

    pub(crate) fn wishes(&self) -> Vec<Wish> {
        self.shared().wishes.drain(..).collect()
    }

    /// A node stands for election, or follows another leader.
    pub(crate) fn election(&self) {
        self.shared().elections += 1;
    }

    /// Elections since the last call.
    pub(crate) fn elections(&self) -> u64 {
        std::mem::take(&mut self.shared().elections)
    }

    /// The faults are over: machines finish what they have begun.
    pub(crate) fn end(&self) {
        self.shared().is_ending = true;
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.shared().is_ending
    }

    /// The cluster is formed and activated: faults may begin.
    pub(crate) fn set_up(&self) {
        self.trace("the cluster is set up");
        self.shared().is_set_up = true;
    }

    pub(crate) fn is_set_up(&self) -> bool {
        self.shared().is_set_up
    }

    /// Gives a node's tasks a way to be asked.
    pub(crate) fn commands_of(&self, node: u64) -> mpsc::Receiver<Asked> {
        let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
        self.node(node, |state| state.commands = Some(sender));
        receiver
    }

    /// What the nodes that run have applied, by node.
    pub(crate) fn seen(&self) -> BTreeMap<u64, Seen> {
        let looks: Vec<_> = {
            let shared = self.shared();
            shared.nodes.iter().filter_map(|(node, state)| Some((*node, state.look.clone()?))).collect()
        };
        looks.into_iter().map(|(node, look)| (node, look())).collect()
    }

    /// A node counted a request, or refused it for the machine's own reasons.
    pub(crate) fn served(&self, node: u64) {
        self.node(node, |node| node.unserved = None);
        self.shared().served += 1;
    }

    /// How many requests were served.
    pub(crate) fn served_so_far(&self) -> u64 {
        self.shared().served
    }

    /// These nodes are to be asked as a machine does.
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

    /// Nodes that did not answer, once all were asked.
    pub(crate) fn probe_outcome(&self) -> Option<Vec<u64>> {
        match &self.shared().probe {
            Probe::Done(silent) => Some(silent.clone()),
            Probe::Idle | Probe::Wanted(_) => None,
        }
    }

    /// Nodes that can be asked.
    pub(crate) fn nodes_up(&self) -> BTreeSet<u64> {
        let shared = self.shared();
        shared.nodes.iter().filter(|(_, node)| node.is_up).map(|(number, _)| *number).collect()
    }
}

/// Looks at what one node does.
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

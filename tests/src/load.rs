//! Clients that send requests as fast as they are answered, or at a fixed rate, and the answers that they received.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use activation::{id::Cmid, state::Command};
use client::{ActivateError, Deadlines};
use storage::{Kind, Owner, SledDisk, Store};
use tokio::{
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval},
};
use uuid::Uuid;

use crate::{Cluster, Product, cmid, eventually};

/// Log index and offset in the entry, as answers name them.
type LogPosition = (u64, u32);

/// The answers that the clients received.
#[derive(Debug)]
struct Told {
    acknowledged: BTreeMap<Cmid, LogPosition>,
    refused: u64,
    unanswered: u64,
    last_answer: Instant,
    pauses: Vec<Pause>,
    /// Hosts that have answered since the last call of `Load::is_answered_by`.
    hosts: BTreeSet<SocketAddr>,
}

/// The longest time without an answer to any client during one phase of a load.
#[derive(Clone, Debug)]
pub struct Pause {
    /// Name of the phase.
    pub during: String,
    /// The longest time in which no client was answered.
    pub longest: Duration,
}

#[derive(Debug)]
struct Shared {
    told: Mutex<Told>,
    machines: AtomicU64,
    stop: AtomicBool,
    began: Instant,
}

/// Running clients; each request comes from a new machine.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

/// The result of a load. As text: its figures.
#[derive(Debug)]
pub struct LoadResult {
    acknowledged: BTreeMap<Cmid, LogPosition>,
    /// Requests that a host answered with a refusal.
    pub refused: u64,
    /// Requests that no host answered in time, or whose connection broke.
    pub unanswered: u64,
    /// Time from the first to the last request.
    pub lasted: Duration,
    /// The longest time without an answer, for each phase of the load.
    pub pauses: Vec<Pause>,
}

impl fmt::Display for LoadResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answered, pause) = (self.answered(), self.longest_pause().as_millis());
        let Self { refused, unanswered, .. } = self;
        write!(
            f,
            "{answered} answered, {refused} refused, {unanswered} without an answer, longest time without one {pause} ms"
        )
    }
}

impl Told {
    /// Records the time since the last answer, which may be the longest without an answer.
    fn paused(&mut self) {
        let pause = self.last_answer.elapsed();
        if let Some(now) = self.pauses.last_mut() {
            now.longest = now.longest.max(pause);
        }
        self.last_answer = Instant::now();
    }
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, host: SocketAddr, machine: Cmid, place: LogPosition) {
        let mut told = self.told();
        // When the clients are ending, the time between answers is no pause.
        if !self.is_over() {
            told.paused();
        }
        told.hosts.insert(host);
        told.acknowledged.insert(machine, place);
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Timeouts of the clients of a load, the same as those of client machines.
const DEADLINES: Deadlines = Deadlines { connect: Duration::from_secs(2), exchange: Duration::from_secs(5) };

/// After this many answers a client with a fixed rate goes on to the next host. So a host that has restarted gets
/// clients again.
const TURN: usize = 64;

/// The rate of a client that does not ask as fast as it can.
struct Pace {
    request: Interval,
    /// After how many answers the client goes on to the next host for the first time; different for each client, so
    /// that they do not all change at once.
    first_turn: usize,
}

impl Load {
    /// Starts this many clients of all nodes, each of which asks as fast as it is answered. A client keeps its
    /// connection while it is answered, and else goes on to the next node. The outcome of a request without an answer
    /// is unknown, so nothing is expected of it.
    pub fn start(cluster: &Cluster, product: &Product, clients: usize) -> Self {
        Self::begin(&cluster.addresses(), product, clients, None)
    }

    /// Starts this many clients of the hosts at these addresses, with at most `per_second` requests a second from all
    /// clients together. Each client asks all hosts in turn.
    pub fn paced(hosts: &[SocketAddr], product: &Product, clients: usize, per_second: u32) -> Self {
        let each = Duration::from_secs(1) * u32::try_from(clients).expect("a load has few clients") / per_second;
        Self::begin(hosts, product, clients, Some(each))
    }

    fn begin(hosts: &[SocketAddr], product: &Product, clients: usize, pace: Option<Duration>) -> Self {
        let told = Told {
            acknowledged: BTreeMap::new(),
            refused: 0,
            unanswered: 0,
            last_answer: Instant::now(),
            pauses: vec![Pause { during: String::new(), longest: Duration::ZERO }],
            hosts: BTreeSet::new(),
        };
        let (machines, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { told: Mutex::new(told), machines, stop, began: Instant::now() });
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            let turn: Vec<_> = hosts.iter().copied().cycle().skip(client).take(hosts.len()).collect();
            let nodes = turn.into_iter().cycle();
            let pace = pace.map(|each| {
                let mut request = interval(each);
                // A client that had to wait does not ask more often afterwards.
                request.set_missed_tick_behavior(MissedTickBehavior::Delay);
                Pace { request, first_turn: TURN * (client + 1) / clients }
            });
            tasks.spawn(ask(Arc::clone(&shared), product.clone(), nodes, pace));
        }
        Self { shared, clients: tasks }
    }

    /// Begins a new phase; pauses are recorded for each phase.
    pub fn enters(&self, during: impl Into<String>) {
        let mut told = self.shared.told();
        told.paused();
        told.pauses.push(Pause { during: during.into(), longest: Duration::ZERO });
    }

    /// Waits for this many more answers.
    pub async fn more(&self, answers: usize) {
        let answered = || self.shared.told().acknowledged.len();
        let enough = answered() + answers;
        eventually("clients are answered", async || (answered() >= enough).then_some(())).await;
    }

    /// Waits until each of these hosts has answered once more.
    pub async fn is_answered_by(&self, hosts: &[SocketAddr]) {
        self.shared.told().hosts.clear();
        eventually("every host answers clients", async || {
            let told = self.shared.told();
            hosts.iter().all(|host| told.hosts.contains(host)).then_some(())
        })
        .await;
    }

    /// Ends the clients, and returns the result.
    pub async fn end(mut self) -> LoadResult {
        self.shared.told().paused();
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.expect("a client of a load does not panic");
        }
        let mut told = self.shared.told();
        LoadResult {
            acknowledged: std::mem::take(&mut told.acknowledged),
            refused: told.refused,
            unanswered: told.unanswered,
            lasted: self.shared.began.elapsed(),
            pauses: std::mem::take(&mut told.pauses),
        }
    }
}

/// The loop of one client.
async fn ask(shared: Arc<Shared>, product: Product, nodes: impl Iterator<Item = SocketAddr>, mut pace: Option<Pace>) {
    let mut turn = pace.as_ref().map_or(usize::MAX, |pace| pace.first_turn);
    for node in nodes {
        if let Ok(mut session) = product.session_within(node, DEADLINES).await {
            while turn > 0 && !shared.is_over() {
                if let Some(pace) = &mut pace {
                    pace.request.tick().await;
                }
                let machine = cmid(shared.machines.fetch_add(1, Ordering::Relaxed));
                match product.ask(&mut session, machine).await {
                    Ok(answered) => {
                        let body = answered.answer.body;
                        shared.answered(node, machine, (body.log_index, body.offset));
                        turn -= 1;
                    }
                    Err(ActivateError::Refused { .. }) => {
                        shared.told().refused += 1;
                        break;
                    }
                    Err(_) => {
                        shared.told().unanswered += 1;
                        break;
                    }
                }
            }
        }
        if shared.is_over() {
            return;
        }
        if turn == 0 {
            turn = TURN;
        }
        tokio::task::yield_now().await;
    }
}

impl LoadResult {
    /// How many requests were acknowledged.
    pub fn answered(&self) -> usize {
        self.acknowledged.len()
    }

    /// The longest time without an answer.
    pub fn longest_pause(&self) -> Duration {
        self.pauses.iter().map(|pause| pause.longest).max().unwrap_or_default()
    }

    /// Stops the running nodes, which kept their whole log (`QUORATE_TEST_KEEP_LOG`), and looks for every answer in
    /// each log.
    ///
    /// # Panics
    /// Where a log does not hold an answer at the position that the answer named.
    pub async fn is_kept_by(&self, cluster: &mut Cluster) {
        for (node, log) in logs(cluster).await {
            let lost: Vec<_> = self.acknowledged.iter().filter(|(machine, place)| !log.has(machine, place)).collect();
            assert!(lost.is_empty(), "node {node} lost {} of {}: {lost:?}", lost.len(), self.acknowledged.len());
        }
    }

    /// Checks the answers where a snapshot may have replaced entries that a node had not received yet: each answer is
    /// in at least one log, and no log holds another request at its position.
    ///
    /// # Panics
    /// Where no log holds an answer, or a log holds another request at its position.
    pub async fn is_held_by(&self, cluster: &mut Cluster) {
        let logs = logs(cluster).await;
        for (machine, place) in &self.acknowledged {
            let (having, lacking): (Vec<_>, Vec<_>) = logs.iter().partition(|(_, log)| log.has(machine, place));
            assert!(!having.is_empty(), "no log has {machine:?} at {place:?}");
            let others: Vec<_> =
                lacking.into_iter().filter(|(_, log)| log.0.contains_key(&place.0)).map(|(node, _)| node).collect();
            assert!(others.is_empty(), "nodes {others:?} have something else than {machine:?} at {place:?}");
        }
    }
}

/// The CMIDs in each entry of a node's log that holds a command.
struct Log(BTreeMap<u64, Vec<Cmid>>);

impl Log {
    fn has(&self, machine: &Cmid, (index, offset): &LogPosition) -> bool {
        let recorded = self.0.get(index).and_then(|entry| entry.get(usize::try_from(*offset).ok()?));
        recorded == Some(machine)
    }
}

/// Stops the running nodes, and reads their logs.
async fn logs(cluster: &mut Cluster) -> BTreeMap<u64, Log> {
    let running = cluster.running();
    for &node in &running {
        assert_eq!(cluster.stop(node).await, Some(0), "node {node}");
    }
    running.into_iter().map(|node| (node, read(&cluster.node(node).data, node))).collect()
}

fn read(data: &Path, node: u64) -> Log {
    let owner = Owner { kind: Kind::Node, number: node, store_if_new: Uuid::nil() };
    let store = Store::open(&data.join("store"), owner).expect("a node that has stopped leaves its store");
    let disk = SledDisk::start(Arc::new(store), &data.join("snapshots"), |_| {}).expect("a log can be opened");
    let commands = replication::read_commands(&disk).expect("a log can be read");
    let recorded = |command: &[u8]| match Command::decode(command).expect("a log holds commands") {
        Command::Batch(batch) => batch.records.iter().map(|record| record.cmid).collect(),
        _ => Vec::new(),
    };
    Log(commands.into_iter().map(|(index, command)| (index, recorded(&command))).collect())
}

//! Client machines that ask as fast as they are answered, and what they were told.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use activation::{id::Cmid, state::Command};
use storage::{Kind, Owner, Store};
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;

use crate::{Cluster, Product, cmid, eventually};

/// Log index and place in the entry, as answers name them.
type Place = (u64, u32);

/// What the clients were told.
#[derive(Debug)]
struct Told {
    acknowledged: BTreeMap<Cmid, Place>,
    failed: u64,
    last_answer: Instant,
    longest_pause: Duration,
}

#[derive(Debug)]
struct Shared {
    told: Mutex<Told>,
    machines: AtomicU64,
    stop: AtomicBool,
}

/// Clients under way, each with a machine of its own a request.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

/// What became of a load. As text: its figures.
#[derive(Debug)]
pub struct Answered {
    acknowledged: BTreeMap<Cmid, Place>,
    failed: u64,
    longest_pause: Duration,
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answered, pause) = (self.acknowledged.len(), self.longest_pause.as_millis());
        write!(f, "{answered} answered, {} not, longest time without an answer {pause} ms", self.failed)
    }
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, machine: Cmid, place: Place) {
        let mut told = self.told();
        told.longest_pause = told.longest_pause.max(told.last_answer.elapsed());
        told.last_answer = Instant::now();
        told.acknowledged.insert(machine, place);
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Load {
    /// So many clients of all nodes: each keeps a connection while it is answered, and goes on to the next node when it is
    /// not. What became of a request without an answer is unknown, and nobody's claim.
    pub fn start(cluster: &Cluster, product: &Product, clients: usize) -> Self {
        let told = Told {
            acknowledged: BTreeMap::new(),
            failed: 0,
            last_answer: Instant::now(),
            longest_pause: Duration::ZERO,
        };
        let (machines, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { told: Mutex::new(told), machines, stop });
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            let (shared, product) = (Arc::clone(&shared), product.clone());
            let nodes = cluster.addresses().into_iter().cycle().skip(client);
            tasks.spawn(async move {
                for node in nodes {
                    if let Ok(mut session) = product.session(node).await {
                        while !shared.is_over() {
                            let machine = cmid(shared.machines.fetch_add(1, Ordering::Relaxed));
                            let Ok(answered) = product.ask(&mut session, machine).await else {
                                shared.told().failed += 1;
                                break;
                            };
                            let body = answered.answer.body;
                            shared.answered(machine, (body.log_index, body.offset));
                        }
                    }
                    if shared.is_over() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        Self { shared, clients: tasks }
    }

    /// Waits for so many more answers.
    pub async fn more(&self, answers: usize) {
        let answered = || self.shared.told().acknowledged.len();
        let enough = answered() + answers;
        eventually("clients are answered", async || (answered() >= enough).then_some(())).await;
    }

    /// Ends the clients.
    pub async fn end(mut self) -> Answered {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.expect("a client of a load does not panic");
        }
        let mut told = self.shared.told();
        let acknowledged = std::mem::take(&mut told.acknowledged);
        Answered { acknowledged, failed: told.failed, longest_pause: told.longest_pause }
    }
}

impl Answered {
    /// Stops the nodes that run, which kept their whole log (`QUORATE_TEST_KEEP_LOG`), and looks for every answer in each.
    ///
    /// # Panics
    /// Where one is not there, in the place that it named.
    pub async fn is_kept_by(&self, cluster: &mut Cluster) {
        let running = cluster.running();
        for &node in &running {
            assert_eq!(cluster.stop(node).await, Some(0), "node {node}");
        }
        for node in running {
            let recorded = recorded(&cluster.node(node).data, node);
            let is_lost = |(machine, place): &(&Cmid, &Place)| recorded.get(place) != Some(machine);
            let lost: Vec<_> = self.acknowledged.iter().filter(is_lost).collect();
            assert!(lost.is_empty(), "node {node} lost {} of {}: {lost:?}", lost.len(), self.acknowledged.len());
        }
    }
}

/// The CMIDs in a node's log.
fn recorded(data: &Path, node: u64) -> BTreeMap<Place, Cmid> {
    let owner = Owner { kind: Kind::Node, number: node, store_if_new: Uuid::nil() };
    let store = Store::open(&data.join("store"), owner).expect("a node that has stopped leaves its store");
    let mut recorded = BTreeMap::new();
    for (index, command) in replication::read_commands(&store).expect("a log can be read") {
        if let Command::Batch(batch) = Command::decode(&command).expect("a log holds commands") {
            recorded.extend((0..).zip(batch.records).map(|(offset, record)| ((index, offset), record.cmid)));
        }
    }
    recorded
}

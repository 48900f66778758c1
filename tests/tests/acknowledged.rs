//! What a client was told stays true: thirty times a node is killed under load, and every activation that was
//! acknowledged is found afterwards in the log of every node, at the index and in the place that its answer named.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use activation::{id::Cmid, state::Command};
use quorate_tests::{Cluster, Plan, Product, Quorate, cmid, eventually};
use storage::{Kind, Owner, Store};
use uuid::Uuid;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const ROUNDS: u64 = 30;
const CLIENTS: usize = 6;
/// Acknowledgements before a node is killed, and again before it returns.
const ACKNOWLEDGEMENTS: usize = 40;

/// Log index and place in the entry, as answers name them.
type Place = (u64, u32);

/// Clients that ask as fast as they are answered, and note what they were told.
#[derive(Default)]
struct Load {
    acknowledged: Mutex<BTreeMap<Cmid, Place>>,
    machines: AtomicU64,
    stop: AtomicBool,
}

impl Load {
    /// One client: it keeps a connection while it is answered, and goes on to the next node when it is not. What became
    /// of a request without an answer is unknown, and nobody's claim.
    async fn ask(&self, product: &Product, nodes: impl Iterator<Item = SocketAddr>) {
        for node in nodes {
            if let Ok(mut session) = product.session(node).await {
                while !self.stop.load(Ordering::Relaxed) {
                    let machine = cmid(self.machines.fetch_add(1, Ordering::Relaxed));
                    let Ok(answered) = product.ask(&mut session, machine).await else { break };
                    let body = answered.answer.body;
                    self.acknowledged.lock().unwrap().insert(machine, (body.log_index, body.offset));
                }
            }
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn acknowledgements(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    async fn more(&self) {
        let enough = self.acknowledgements() + ACKNOWLEDGEMENTS;
        eventually("clients are answered", async || (self.acknowledgements() >= enough).then_some(())).await;
    }
}

/// The CMIDs in a node's log.
fn recorded(data: &Path, node: u64) -> BTreeMap<Place, Cmid> {
    let owner = Owner { kind: Kind::Node, number: node, store_if_new: Uuid::nil() };
    let store = Store::open(&data.join("store"), owner).unwrap();
    let mut recorded = BTreeMap::new();
    for (index, command) in replication::read_commands(&store).unwrap() {
        if let Command::Batch(batch) = Command::decode(&command).unwrap() {
            recorded.extend((0..).zip(batch.records).map(|(offset, record)| ((index, offset), record.cmid)));
        }
    }
    recorded
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machine_every_acknowledged_activation_outlives_thirty_kills_under_load() {
    let plan = Plan { nodes: 3, variables: &[("QUORATE_TEST_KEEP_LOG", "1")] };
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), plan).await;
    let product = cluster.product("workstation-professional-2");
    let load = Arc::new(Load::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (load, product) = (Arc::clone(&load), product.clone());
            let nodes = cluster.addresses().into_iter().cycle().skip(client);
            tokio::spawn(async move { load.ask(&product, nodes).await })
        })
        .collect();

    for round in 0..ROUNDS {
        let victim = round % 3 + 1;
        load.more().await;
        cluster.kill(victim).await;
        load.more().await;
        cluster.start(victim);
        let witness = (round + 1) % 3 + 1;
        eventually("the killed node is back", async || {
            let standing = cluster.standing(witness).await?;
            standing.members.values().all(|member| member.ready).then_some(())
        })
        .await;
    }

    load.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    cluster.settled(1).await;
    for node in cluster.numbers() {
        assert_eq!(cluster.stop(node).await, Some(0), "node {node}");
    }
    let acknowledged = load.acknowledged.lock().unwrap();
    for node in cluster.numbers() {
        let recorded = recorded(&cluster.node(node).data, node);
        let lost: Vec<_> =
            acknowledged.iter().filter(|(machine, place)| recorded.get(place) != Some(machine)).collect();
        assert!(lost.is_empty(), "node {node} lost {} of {}: {lost:?}", lost.len(), acknowledged.len());
    }
}

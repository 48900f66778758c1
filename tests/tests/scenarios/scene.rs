//! A cluster under load, and the figures that are written about it.

use std::{env, fs, path::Path, time::Duration};

use quorate_tests::{Cluster, Load, LoadResult, Network, Plan, Quorate, eventually, words};
use serde_json::{Value, json};

pub(crate) const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const PRODUCT: &str = "workstation-professional-2";

/// Number of concurrent client machines.
const CLIENTS: usize = 16;
pub(crate) const RATE: u32 = 320;

/// Election timeouts of 150 to 300 ms; every log is kept whole, and the state is checked after each entry.
pub(crate) const VARIABLES: [(&str, &str); 5] = [
    ("QUORATE_RAFT_HEARTBEAT_MS", "50"),
    ("QUORATE_RAFT_ELECTION_TIMEOUT_MIN_MS", "150"),
    ("QUORATE_RAFT_ELECTION_TIMEOUT_MAX_MS", "300"),
    ("QUORATE_TEST_KEEP_LOG", "1"),
    ("QUORATE_TEST_CHECK_INVARIANTS", "1"),
];

/// A running scenario.
pub(crate) struct Scene {
    name: String,
    pub(crate) network: Network,
    pub(crate) cluster: Cluster,
    pub(crate) load: Load,
}

/// A plan for nodes in their own namespaces.
pub(crate) fn plan(network: &Network, nodes: u8, forming: u8) -> Plan<'_> {
    Plan { nodes, forming, variables: &VARIABLES, network: Some(network) }
}

/// A cluster of nodes that have configurations and do not run.
pub(crate) async fn configured(network: &Network, nodes: u8, forming: u8) -> Cluster {
    Cluster::configured(&Quorate::at(QUORATE), plan(network, nodes, forming)).await
}

/// The network of a scenario (by its test's name), in its own namespaces; `None` where the scenario has already run
/// there.
pub(crate) async fn network(test: &str) -> Option<Network> {
    begins(test);
    Network::of(test).await
}

/// Writes an entry without figures: a scenario that does not end counts as failed.
pub(crate) fn begins(test: &str) {
    let name = name_of(test);
    write_down(&name, &json!({ "scenario": title(&name) }));
}

fn name_of(test: &str) -> String {
    test.rsplit("scenario_").next().unwrap().to_owned()
}

fn title(name: &str) -> String {
    name.replace('_', " ")
}

impl Scene {
    /// A cluster of this many nodes under load; `None` where the scenario (by its test's name) has already run in its
    /// own namespaces.
    pub(crate) async fn of(test: &str, nodes: u8) -> Option<Self> {
        let network = network(test).await?;
        let cluster = configured(&network, nodes, nodes).await;
        Some(Self::formed(test, network, cluster).await)
    }

    /// Forms a cluster of configured nodes, activates it, and puts it under load.
    pub(crate) async fn formed(test: &str, network: Network, mut cluster: Cluster) -> Self {
        cluster.form().await;
        cluster.activate().await;
        cluster.settled(1).await;
        Self::running(test, network, cluster).await
    }

    /// Puts a running cluster under load.
    pub(crate) async fn running(test: &str, network: Network, cluster: Cluster) -> Self {
        let addresses = cluster.numbers().into_iter().map(|node| cluster.node(node).clients).collect();
        Self::asked_at(test, network, cluster, addresses).await
    }

    /// Puts a running cluster under load; the clients ask at these addresses only.
    pub(crate) async fn asked_at(
        test: &str,
        network: Network,
        cluster: Cluster,
        addresses: Vec<std::net::SocketAddr>,
    ) -> Self {
        let load = Load::paced(&addresses, &cluster.product(PRODUCT), CLIENTS, RATE);
        let scene = Self { name: name_of(test), network, cluster, load };
        scene.seconds(1).await;
        scene
    }

    /// Waits for as many answers as an undisturbed load gets in this many seconds.
    pub(crate) async fn seconds(&self, seconds: u32) {
        self.load.more((RATE * seconds).try_into().unwrap()).await;
    }

    /// Number of the leader, as a node reports it.
    pub(crate) async fn leader(&self, via: u64) -> u64 {
        eventually("a leader is known", async || self.cluster.standing(via).await?.leader).await
    }

    /// The running nodes except this one.
    pub(crate) fn others(&self, than: u64) -> Vec<u64> {
        self.cluster.running().into_iter().filter(|node| *node != than).collect()
    }

    /// Waits until a node is ready again.
    pub(crate) async fn is_ready(&self, via: u64, node: u64) {
        eventually(&format!("node {node} is ready"), async || {
            let standing = self.cluster.standing(via).await?;
            (standing.leader.is_some() && standing.members.get(&node)?.ready).then_some(())
        })
        .await;
    }

    /// Waits until a node is ready again, and clients of the load get answers from it.
    pub(crate) async fn serves(&self, via: u64, node: u64) {
        self.is_ready(via, node).await;
        self.load.is_answered_by(&[self.cluster.node(node).clients]).await;
    }

    /// Drains a node; it has stopped when this returns.
    pub(crate) async fn drain(&mut self, node: u64) {
        let drained = self.cluster.admin(node, &words!["host", "drain", "--wait", "0"]).await;
        assert_eq!(drained.code, Some(0), "{}", drained.stderr);
        assert_eq!(self.cluster.ended(node).await, Some(0), "node {node}");
    }

    /// Ends the scenario: checks that every node answers clients, that every node has the same state and the same
    /// counts, and that every answer is in every log. The nodes are stopped for the last check.
    pub(crate) async fn ends(self) -> Cluster {
        let (name, mut cluster, answered) = self.agrees().await;
        answered.is_kept_by(&mut cluster).await;
        measured(&name, &answered);
        cluster
    }

    /// Ends a scenario in which logs were purged: every answer has to be in at least one log.
    pub(crate) async fn ends_with_logs_cut(self) {
        let (name, mut cluster, answered) = self.agrees().await;
        answered.is_held_by(&mut cluster).await;
        measured(&name, &answered);
    }

    async fn agrees(self) -> (String, Cluster, LoadResult) {
        self.load.enters("in the end");
        let hosts: Vec<_> = self.cluster.running().iter().map(|node| self.cluster.node(*node).clients).collect();
        self.load.is_answered_by(&hosts).await;
        let Self { name, cluster, load, network: _network } = self;
        let answered = load.end().await;
        let running = cluster.running();
        cluster.settled(running[0]).await;
        let mut counts = Vec::new();
        for &node in &running {
            counts.push(cluster.administrate(node, &words!["count"]).await["applications"].clone());
        }
        assert!(counts.iter().all(|count| count == &counts[0]), "the counts differ: {counts:?}");
        (name, cluster, answered)
    }
}

fn measured(name: &str, answered: &LoadResult) {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap();
    let pauses: Vec<Value> = answered
        .pauses
        .iter()
        .filter(|pause| !pause.during.is_empty())
        .map(|pause| json!({ "during": pause.during, "longest_ms": ms(pause.longest) }))
        .collect();
    let figures = json!({
        "answered": answered.answered(),
        "refused": answered.refused,
        "unanswered": answered.unanswered,
        "lasted_ms": ms(answered.lasted),
        "longest_ms": ms(answered.longest_pause()),
        "pauses": pauses,
    });
    write_down(name, &json!({ "scenario": title(name), "figures": figures }));
}

/// Writes the figures for the table, where one is made.
fn write_down(name: &str, scenario: &Value) {
    let Some(folder) = env::var_os("QUORATE_TEST_FIGURES") else { return };
    fs::write(Path::new(&folder).join(format!("{name}.json")), scenario.to_string()).unwrap();
}

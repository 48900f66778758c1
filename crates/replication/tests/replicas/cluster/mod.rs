//! Replicas in one process, each with its own runtime, port and folder, so that one can be killed.

pub(crate) mod hanging_disk;
mod node;
mod test_clock;
mod waiting;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use activation::state::RecordOutcome;
use replication::{Pace, Planted, RaftSettings, Recorded};
use tempfile::TempDir;

pub(crate) use self::{
    node::Node,
    waiting::{TIMEOUT, eventually},
};
use crate::world;

/// Election timeouts for a quiet loopback interface.
pub(crate) const SETTINGS: RaftSettings = RaftSettings {
    profile: None,
    heartbeat_interval: Duration::from_millis(50),
    election_timeout_min: Duration::from_millis(250),
    election_timeout_max: Duration::from_millis(500),
    promote_after: Duration::from_millis(1500),
    #[cfg(feature = "fault-injection")]
    keep_purged: false,
    planted: Planted::NONE,
    #[cfg(feature = "fault-injection")]
    purge_what_is_kept: false,
};

/// The clocks and members are sampled often; snapshots are made as rarely as in production.
pub(crate) fn pace() -> Pace {
    let often = Duration::from_millis(50);
    Pace { clock_sample_interval: often, look_interval: often, ..Pace::default() }
}

/// A cluster of the nodes 1 to n.
pub(crate) struct Cluster {
    nodes: BTreeMap<u64, Node>,
    folder: TempDir,
}

impl Cluster {
    /// Nodes that belong to no cluster yet.
    pub(crate) async fn unformed(size: u64, settings: RaftSettings, pace: Pace) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut nodes = BTreeMap::new();
        for number in 1..=size {
            let mut node = Node::new(number, folder.path().join(format!("node-{number}")), settings, pace);
            node.start().await;
            nodes.insert(number, node);
        }
        Self { nodes, folder }
    }

    /// A cluster that node 1 has formed, with all nodes activated.
    pub(crate) async fn activated(size: u64) -> Self {
        Self::activated_at(size, SETTINGS, pace()).await
    }

    pub(crate) async fn activated_at(size: u64, settings: RaftSettings, pace: Pace) -> Self {
        let cluster = Self::unformed(size, settings, pace).await;
        cluster.form().await;
        cluster
    }

    /// Forms the cluster and activates all nodes.
    pub(crate) async fn form(&self) {
        let addresses = self.addresses();
        self.node(1).on(async move |replica| replica.bootstrap(&addresses, TIMEOUT).await).await.unwrap();
        for command in world::activation(self.nodes.keys().copied()) {
            self.node(1).on(async move |replica| replica.propose(&command).await).await.unwrap();
        }
    }

    pub(crate) fn addresses(&self) -> BTreeMap<u64, String> {
        self.nodes.iter().map(|(&number, node)| (number, node.address())).collect()
    }

    /// A path in the folder of the whole cluster.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn node(&self, number: u64) -> &Node {
        &self.nodes[&number]
    }

    pub(crate) fn node_mut(&mut self, number: u64) -> &mut Node {
        self.nodes.get_mut(&number).unwrap()
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.is_running())
    }

    /// The leader that all running nodes report.
    pub(crate) async fn leader(&self) -> u64 {
        let mut leader = None;
        eventually("all running nodes follow one of them", || {
            let mut known = self.running().map(|node| node.replica().cluster().leader);
            let first = known.next().flatten();
            leader = first.filter(|&first| known.all(|next| next == Some(first)) && self.node(first).is_running());
            std::future::ready(leader.is_some())
        })
        .await;
        leader.unwrap()
    }

    /// A running node that does not lead.
    pub(crate) async fn follower(&self) -> u64 {
        let leader = self.leader().await;
        self.running().map(Node::number).find(|&node| node != leader).expect("a running follower")
    }

    /// Waits until every running node has applied the same entries, and returns the hashes of their states.
    pub(crate) async fn settled_hashes(&self) -> BTreeMap<u64, [u8; 32]> {
        let mut hashes = BTreeMap::new();
        eventually("all running nodes have applied the same", || {
            let states: BTreeMap<_, _> =
                self.running().map(|node| (node.number(), node.replica().state_hash())).collect();
            let ends: Vec<_> = self.running().map(|node| node.replica().cluster().last_index).collect();
            let settled = states.values().all(|(applied, _)| ends.iter().all(|end| end == applied));
            hashes = states.into_iter().map(|(node, (_, hash))| (node, hash)).collect();
            std::future::ready(settled)
        })
        .await;
        hashes
    }

    /// Asserts that all running nodes reach the same state.
    pub(crate) async fn assert_equal_states(&self) {
        let hashes = self.settled_hashes().await;
        let first = hashes.values().next().unwrap();
        assert!(hashes.values().all(|hash| hash == first), "the states differ: {hashes:02x?}");
    }
}

/// The count in an answer; panics if it is a refusal.
pub(crate) fn count(recorded: &Recorded) -> u32 {
    match recorded.outcome {
        RecordOutcome::Counted(counted) => counted.count,
        RecordOutcome::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

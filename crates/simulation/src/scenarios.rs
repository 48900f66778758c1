//! Inputs that failed once, each played step by step on its own cluster. A scenario that still fails is listed in
//! `seeds.toml` with the number of its case.

use std::{collections::BTreeSet, time::Duration};

use activation::{limits::STATE_HASH_INTERVAL_ENTRIES, settings::ElectionProfile};
use tokio::time::sleep;

use crate::{
    administrator::{Administrator, Status},
    machines::{self, Told},
    order::Order,
    world::{Wish, World},
};

/// The scenarios: name, and number of nodes.
pub(crate) const SCENARIOS: [(&str, u64); 12] = [
    ("clock_ahead_at_start", 1),
    ("clock_accept", 1),
    ("clock_stop", 3),
    ("disk_rollback", 3),
    ("lost_voter", 2),
    ("slow_links", 3),
    ("copied_node", 3),
    ("rollback_leader", 3),
    ("rollback_voter", 3),
    ("rollback_learner", 4),
    ("reused_number", 2),
    ("diverged_node", 3),
];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Virtual time within which a cluster without a fault must answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Number of nodes of a scenario.
pub(crate) fn nodes(name: &str) -> Option<u64> {
    SCENARIOS.iter().find(|(known, _)| *known == name).map(|(_, nodes)| *nodes)
}

/// After how many entries a node makes a snapshot in a scenario. In most scenarios the whole log is kept, because
/// they test what is in it.
pub(crate) fn snapshot_every_entries(name: &str) -> u64 {
    if name == "diverged_node" { 100 } else { 5000 }
}

/// Plays a scenario.
pub(crate) struct Director {
    pub(crate) world: World,
    pub(crate) administrator: Administrator,
    pub(crate) seed: u64,
}

impl Director {
    pub(crate) async fn play(mut self, name: String) -> turmoil::Result {
        if name == "clock_ahead_at_start" {
            self.wish(Wish::Clock(1, 8)).await;
        }
        self.administrator.set_up().await;
        match name.as_str() {
            "clock_ahead_at_start" => self.clock_ahead_at_start().await,
            "clock_accept" => self.clock_accept().await,
            "clock_stop" => self.clock_stop().await,
            "disk_rollback" => self.disk_rollback().await,
            "lost_voter" => self.lost_voter().await,
            "slow_links" => self.slow_links().await,
            "rollback_leader" => self.rollback(|status| status.leader).await,
            "rollback_voter" => self.rollback(|status| status.follower()).await,
            "rollback_learner" => self.rollback(|status| status.learner()).await,
            "copied_node" => self.copied_node().await,
            "reused_number" => self.reused_number().await,
            "diverged_node" => self.diverged_node().await,
            _ => {}
        }
        self.world.end();
        Ok(())
    }

    /// Sends a request to the simulation loop, and waits until it is carried out.
    async fn wish(&self, wish: Wish) {
        self.world.wish(wish);
        sleep(Duration::from_millis(50)).await;
    }

    async fn restart(&self, node: u64) {
        self.wish(Wish::Restart(node, Duration::from_millis(100))).await;
        while !self.world.nodes_up().contains(&node) {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends one request of a machine to a node, and returns the answer.
    async fn ask(&self, machine: u64, node: u64) -> Told {
        machines::ask_once(self.world.clone(), machine, node, self.seed).await
    }

    /// Whether one of `nodes` counts the machine within the deadline.
    async fn is_counted(&self, machine: u64, nodes: &[u64]) -> bool {
        let deadline = self.world.now() + ANSWER_DEADLINE;
        while self.world.now() < deadline {
            for node in nodes {
                if matches!(self.ask(machine, *node).await, Told::Count(_)) {
                    return true;
                }
            }
            sleep(Duration::from_millis(500)).await;
        }
        false
    }

    async fn must_count(&self, machine: u64, nodes: &[u64], when: &str) {
        if !self.is_counted(machine, nodes).await {
            let expected = format!("nodes {nodes:?} count a machine within {} s: {when}", ANSWER_DEADLINE.as_secs());
            self.world.violated("no_progress", expected, "they count no machine");
        }
    }

    /// One node starts with a clock that is 8 hours ahead, one machine asks, and the node restarts with the right
    /// clock.
    async fn clock_ahead_at_start(&self) {
        self.ask(1, 1).await;
        self.wish(Wish::Clock(1, 0)).await;
        self.restart(1).await;
        self.must_count(2, &[1], "its clock is right again").await;
    }

    /// Nodes with synchronised clocks are off for 40 days. The machines that they counted before expire without an
    /// administrator's command.
    async fn clock_stop(&self) {
        self.world.synchronise_clocks(true);
        for machine in 1..=5 {
            self.must_count(machine, &[1, 2, 3], "the cluster is formed").await;
        }
        self.wish(Wish::Skip(DAY * 40)).await;
        for node in 1..=3 {
            self.restart(node).await;
        }
        self.must_count(6, &[1, 2, 3], "the cluster has started").await;
        // The nodes' clocks may be sampled only after the first request.
        sleep(Duration::from_secs(60)).await;
        self.must_be(7, 1, |count| count <= 2, "the five of 40 days ago are forgotten").await;
    }

    /// Asks for a machine; its count must satisfy `is_right`.
    async fn must_be(&self, machine: u64, node: u64, is_right: impl Fn(u32) -> bool, expected: &str) {
        match self.ask(machine, node).await {
            Told::Count(count) if is_right(count) => {}
            told => self.world.violated("count_differs", expected, format_args!("node {node} reports {told:?}")),
        }
    }

    /// A node without clock synchronisation is off for three days, and later for a month. Its machines renew each
    /// time, then an administrator accepts the jump.
    async fn clock_accept(&self) {
        self.world.synchronise_clocks(false);
        for (days, _) in [(0, ()), (3, ()), (31, ())] {
            self.wish(Wish::Skip(DAY * days)).await;
            self.restart(1).await;
            for machine in 1..=5 {
                self.must_count(machine, &[1], "it has started").await;
            }
        }
        let accepted = self.administrator.order(1, Order::AcceptClock).await;
        if let Err(refused) = accepted {
            self.world.violated("clock_accept", "a jump of 34 days waits and is accepted", refused);
        }
        self.must_be(1, 1, |count| count == 5, "all five renewed during the alarm, and still count").await;
    }

    /// A voter's disk is set back to its content of twelve machines before; another voter is lost.
    async fn disk_rollback(&self) {
        self.must_count(1, &[1, 2, 3], "the cluster is formed").await;
        sleep(Duration::from_secs(2)).await;
        self.wish(Wish::KeepDisk(2)).await;
        for machine in 2..=13 {
            self.must_count(machine, &[1, 2, 3], "every node runs").await;
        }
        self.wish(Wish::RollBack(2)).await;
        self.restart(2).await;
        sleep(Duration::from_secs(5)).await;
        self.wish(Wish::Lose(3)).await;
        // Either the node is recognised as one that lost acknowledged entries and is not ready, or it catches up.
        let is_counted = self.is_counted(20, &[1, 2]).await;
        let ready = self.world.node(2, |node| node.ready_since.is_some());
        if !is_counted && ready {
            let expected = "node 2, whose disk went back in time, catches up or is not ready";
            self.world.violated(
                "no_progress",
                expected,
                "it is ready, but with two of three voters no machine is counted",
            );
        }
    }

    /// The disk of a node is set back to its content before it counted a few machines. The other nodes recognise that
    /// it lost acknowledged entries and continue, and a new node replaces it.
    async fn rollback(&self, of_role: impl Fn(&Status) -> Option<u64>) {
        self.must_count(1, &[1, 2, 3], "the cluster is formed").await;
        sleep(Duration::from_secs(2)).await;
        let Some(node) = of_role(&self.administrator.status(1).await) else {
            return self.world.violated("no_progress", "a node of each role", "there is no such node");
        };
        self.wish(Wish::KeepDisk(node)).await;
        for machine in 2..=6 {
            self.must_count(machine, &[1, 2, 3], "every node runs").await;
        }
        sleep(Duration::from_secs(3)).await;
        self.wish(Wish::RollBack(node)).await;
        self.restart(node).await;
        let others: Vec<_> = (1..=3).filter(|other| *other != node).collect();
        self.must_count(7, &others, "the disk of one node went back in time").await;
        sleep(Duration::from_secs(5)).await;
        let is_ready = self.world.node(node, |node| node.ready_since.is_some());
        if is_ready || matches!(self.ask(8, node).await, Told::Count(_)) {
            let expected = format!("node {node}, whose disk went back in time, does not serve");
            self.world.violated("stale_disk_serves", expected, "it does");
        }
        let member = others.first().copied().unwrap_or(1);
        self.wish(Wish::Retire(node)).await;
        while self.administrator.order(member, Order::Remove(node)).await.is_err() {
            sleep(Duration::from_millis(500)).await;
        }
        self.join(member, 5).await;
        self.must_count(9, &others, "a new node has taken its place").await;
    }

    /// The only voter of a cluster with one learner is lost.
    async fn lost_voter(&self) {
        self.must_count(1, &[1, 2], "the cluster is formed").await;
        self.wish(Wish::Lose(1)).await;
        sleep(Duration::from_secs(15)).await;
        if self.world.node(2, |node| node.ready_since.is_some()) {
            self.world.violated("ready_without_answer", "a learner without any voter is not ready", "it is ready");
        }
    }

    /// Every message between nodes takes 75 ms, and the nodes get the matching election profile one after the other.
    async fn slow_links(&self) {
        self.wish(Wish::SlowLinks(75)).await;
        sleep(Duration::from_secs(15)).await;
        for node in 1..=3 {
            self.world.node(node, |state| state.profile = Some(ElectionProfile::Far));
            self.restart(node).await;
        }
        self.must_count(1, &[1, 2, 3], "links take 75 ms each way, and the profile is for far nodes").await;
    }

    /// The state of a follower is altered while it is off. The nodes detect it; the follower does not become leader,
    /// takes over the majority's state, and then becomes leader.
    async fn diverged_node(&self) {
        self.renew(150, &[1, 2, 3], "every node runs").await;
        let Some(node) = self.administrator.status(1).await.follower() else {
            return self.world.violated("no_progress", "a follower", "there is no such node");
        };
        let others: Vec<_> = (1..=3).filter(|other| *other != node).collect();
        let member = others.first().copied().unwrap_or(1);
        self.wish(Wish::AlterState(node)).await;
        self.renew(STATE_HASH_INTERVAL_ENTRIES, &others, "the state of one node was altered").await;
        sleep(Duration::from_secs(5)).await;
        if self.world.node(node, |node| node.ready_since.is_some()) {
            let expected = format!("node {node}, whose state was altered, does not serve");
            self.world.violated("altered_state_serves", expected, "it is ready");
        }
        let leader = self.administrator.status(member).await.leader.unwrap_or(member);
        let _refused = self.administrator.order(leader, Order::Transfer(node)).await;
        self.must_count(6, &others, "a node whose state differs was asked to lead").await;
        if self.administrator.status(member).await.leader == Some(node) {
            let expected = format!("node {node}, whose state differs, does not lead");
            return self.world.violated("altered_state_leads", expected, "it leads");
        }
        self.wish(Wish::Restart(leader, Duration::from_secs(5))).await;
        self.must_count(7, &others, "the leader has started again").await;
        while self.administrator.order(member, Order::Rejoin(node)).await.is_err() {
            sleep(Duration::from_millis(500)).await;
        }
        self.world.oracle(|oracle| oracle.is_altered(node, false));
        self.must_count(8, &[node], "the node has taken over the majority's state").await;
        while self.administrator.status(node).await.leader != Some(node) {
            let leader = self.administrator.status(member).await.leader.unwrap_or(member);
            let _repeated = self.administrator.order(leader, Order::Transfer(node)).await;
            sleep(Duration::from_millis(500)).await;
        }
        self.must_count(9, &others, "it leads").await;
        self.must_be(9, node, |count| count == 9, "the nine machines that sent requests").await;
    }

    /// Five machines ask repeatedly until this many requests are counted.
    async fn renew(&self, requests: u64, nodes: &[u64], when: &str) {
        for request in 0..requests {
            self.must_count(request % 5 + 1, nodes, when).await;
        }
    }

    /// The first node, for long the only voter, is removed, and joins again with an empty disk.
    async fn reused_number(&self) {
        for machine in 1..=150 {
            self.must_count(machine, &[1, 2], "node 1 alone votes").await;
        }
        self.join(1, 3).await;
        sleep(Duration::from_secs(5)).await;
        while self.administrator.order(2, Order::Remove(1)).await.is_err() {
            sleep(Duration::from_millis(500)).await;
        }
        self.wish(Wish::Retire(1)).await;
        self.join(2, 1).await;
        self.must_count(200, &[2], "node 1 has joined again").await;
    }

    /// Starts `node` with an empty disk and has `member` add it.
    async fn join(&self, member: u64, node: u64) {
        self.wish(Wish::StartNew(node)).await;
        while !self.world.nodes_up().contains(&node)
            || self.administrator.order(member, Order::Add(node)).await.is_err()
        {
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// A copy of a node's disk is started on another host, and the leader is lost.
    async fn copied_node(&self) {
        self.must_count(1, &[1, 2, 3], "the cluster is formed").await;
        self.wish(Wish::Copy { from: 3, to: 4 }).await;
        self.restart(4).await;
        sleep(Duration::from_secs(5)).await;
        let status = self.administrator.status(1).await;
        let leader = status.leader.filter(|leader| *leader != 3).unwrap_or(1);
        let left: BTreeSet<_> = (1..=4).filter(|node| *node != leader).collect();
        self.wish(Wish::Lose(leader)).await;
        sleep(Duration::from_secs(15)).await;
        if self.world.node(4, |node| node.ready_since.is_some()) {
            let expected = format!("the copy of node 3 does not serve beside {left:?}");
            self.world.violated("copied_node_serves", expected, "it is ready");
        }
    }
}

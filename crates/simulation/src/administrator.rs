//! The simulated administrator: forms the cluster, and then sends commands at random times to any node that runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use activation::{
    audit::Origin,
    settings::{Scope, Setting, SettingChange},
    state::{Act, Command, Format},
};
use host::simulated::AnsweringHost;
use replication::{Backup, Replica};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use crate::{
    chance::Chance,
    network,
    order::{Asked, Order},
    world::{Wish, World},
};

/// Timeout of one command, longer than any command of the product takes.
const COMMAND_DEADLINE: Duration = Duration::from_secs(150);

/// How long a node waits for the other nodes when the cluster is formed.
const FORMING_DEADLINE: Duration = Duration::from_secs(20);

/// Carries out orders in a node's own runtime, concurrently, as the administration socket does.
pub(crate) async fn obey(
    world: World,
    node: u64,
    replica: Replica,
    host: AnsweringHost,
    mut orders: mpsc::Receiver<Asked>,
) {
    while let Some((order, answer)) = orders.recv().await {
        let (world, replica, host) = (world.clone(), replica.clone(), host.clone());
        tokio::spawn(async move {
            let outcome = carry_out(&world, node, &replica, &host, order).await;
            let _gone = answer.send(outcome);
        });
    }
}

async fn carry_out(
    world: &World,
    node: u64,
    replica: &Replica,
    host: &AnsweringHost,
    order: Order,
) -> Result<String, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let index = |index: u64| format!("entry {index}");
    match order {
        Order::Form(nodes) => {
            let addresses: BTreeMap<_, _> = nodes.iter().map(|node| (*node, network::peer_address(*node))).collect();
            replica.bootstrap(&addresses, FORMING_DEADLINE).await.map_err(|error| text(&error))?;
            Ok("formed".into())
        }
        Order::Propose(command) => replica.propose(&command).await.map(index).map_err(|error| text(&error)),
        Order::NodeKey => {
            let key = host.node_key(world.publisher.key()).map_err(|error| text(&error))?;
            Ok(key.iter().map(|byte| format!("{byte:02x}")).collect())
        }
        Order::Add(new) => replica.add(new, &network::peer_address(new)).await.map(index).map_err(|error| text(&error)),
        Order::Remove(old) => replica.remove(old).await.map(index).map_err(|error| text(&error)),
        Order::Transfer(to) => {
            replica.transfer_leader(to).await.map(|()| format!("node {to} leads")).map_err(|error| text(&error))
        }
        Order::Rejoin(other) => replica.rejoin(other).await.map(index).map_err(|error| text(&error)),
        Order::Drain(wait) => {
            host.drain(wait);
            Ok("draining".into())
        }
        Order::Read => {
            let acknowledged = world.oracle(|oracle| oracle.highest_acknowledged());
            let point = replica.read_point().await.map_err(|error| text(&error))?;
            let now = world.now();
            world.oracle(|oracle| oracle.read(node, acknowledged, point.log_index, now));
            Ok(index(point.log_index))
        }
        Order::Backup => {
            let file = replica.backup().await.map_err(|error| text(&error))?;
            let backup = Backup::read(&file).map_err(|error| text(&error))?;
            Ok(index(backup.log_index()))
        }
        Order::AcceptClock => replica.accept_clock(replica.request_id()).await.map(index).map_err(|error| text(&error)),
        Order::ResetClock => replica.reset_clock(replica.request_id()).await.map(index).map_err(|error| text(&error)),
        Order::Status => {
            let cluster = replica.cluster();
            let members: Vec<_> = cluster.members.keys().map(ToString::to_string).collect();
            let voters: Vec<_> = cluster.voters.iter().map(ToString::to_string).collect();
            let leader = cluster.leader.map_or_else(|| "-".to_owned(), |leader| leader.to_string());
            Ok(format!("{};{};{leader}", members.join(","), voters.join(",")))
        }
    }
}

/// The cluster's membership as one node reports it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    members: BTreeSet<u64>,
    voters: BTreeSet<u64>,
    pub(crate) leader: Option<u64>,
}

impl Status {
    /// A voter that is not the leader.
    pub(crate) fn follower(&self) -> Option<u64> {
        self.voters.iter().copied().find(|voter| Some(*voter) != self.leader)
    }

    /// A member that is not a voter.
    pub(crate) fn learner(&self) -> Option<u64> {
        self.members.iter().copied().find(|member| !self.voters.contains(member))
    }
}

fn numbers(list: &str) -> BTreeSet<u64> {
    list.split(',').filter_map(|number| number.parse().ok()).collect()
}

/// The administrator's state during a run.
pub(crate) struct Administrator {
    pub(crate) world: World,
    pub(crate) chance: Chance,
    /// Random choices of election profiles, and of the times when they are set.
    pub(crate) profiles: Chance,
    /// Nodes that form the cluster; `nodes_max` counts also those that may join it.
    pub(crate) nodes: u64,
    pub(crate) nodes_max: u64,
    /// The longest pause between two commands.
    pub(crate) pause: Duration,
    /// Whether the administrator adds and removes nodes.
    pub(crate) changes_members: bool,
    pub(crate) changes_formats: bool,
    /// Number of commands so far. Each command sets the activation interval to another value.
    pub(crate) commands: u32,
}

/// Activation interval of the first command, in minutes: the smallest that the settings allow. Each further command
/// adds one minute.
const FIRST_INTERVAL_MINUTES: u32 = 15;

impl Administrator {
    /// Sends an order to a node and returns its outcome.
    pub(crate) async fn order(&self, node: u64, order: Order) -> Result<String, String> {
        let (answer, outcome) = oneshot::channel();
        let sender = self.world.node(node, |state| state.commands.clone()).ok_or("the node is down")?;
        self.world.trace(format_args!("administrator to node {node}: {order:?}"));
        sender.try_send((order, answer)).map_err(|_| "the node accepts no more commands")?;
        let outcome = match timeout(COMMAND_DEADLINE, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err("the node ended".into()),
            Err(_) => Err("no result in time".into()),
        };
        match &outcome {
            Ok(done) => self.world.trace(format_args!("administrator: {done}")),
            Err(error) => self.world.trace(format_args!("administrator: refused or unknown: {error}")),
        }
        outcome
    }

    /// Repeats an order at the nodes of `nodes` in turn until one carries it out.
    async fn insist(&mut self, nodes: &[u64], order: Order) -> String {
        loop {
            let node = self.chance.pick(nodes).copied().unwrap_or(1);
            if let Ok(done) = self.order(node, order.clone()).await {
                return done;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Forms the cluster and activates its nodes.
    pub(crate) async fn set_up(&mut self) {
        let first: BTreeSet<_> = (1..=self.nodes - u64::from(self.nodes.is_multiple_of(2))).collect();
        loop {
            match self.order(1, Order::Form(first.clone())).await {
                Err(error) if !error.contains("already belongs") => sleep(Duration::from_millis(500)).await,
                _ => break,
            }
        }
        let members: Vec<_> = first.iter().copied().collect();
        for command in self.world.publisher.installation() {
            self.insist(&members, Order::Propose(Box::new(command))).await;
        }
        for node in 1..=self.nodes {
            if !first.contains(&node) {
                self.insist(&members, Order::Add(node)).await;
            }
            self.activate(&members, node).await;
        }
        self.world.set_up();
    }

    async fn activate(&mut self, members: &[u64], node: u64) {
        let key = self.insist(&[node], Order::NodeKey).await;
        let bytes: Vec<_> =
            (0..key.len() / 2).filter_map(|at| u8::from_str_radix(key.get(at * 2..at * 2 + 2)?, 16).ok()).collect();
        let Ok(key) = <[u8; 32]>::try_from(bytes) else { return };
        let command = self.world.publisher.activation(node, &key);
        self.insist(members, Order::Propose(Box::new(command))).await;
    }

    /// Sends commands until the simulation ends.
    pub(crate) async fn run(mut self) -> turmoil::Result {
        self.set_up().await;
        while !self.world.is_ending() {
            let longest = u64::try_from(self.pause.as_millis()).unwrap_or(u64::MAX);
            sleep(Duration::from_millis(self.chance.within(200..longest))).await;
            let up: Vec<_> = self.world.nodes_up().into_iter().collect();
            let Some(&node) = self.chance.pick(&up) else { continue };
            if self.chance.percent(20) {
                self.world.wish(Wish::Stall(self.chance.pick(&up).copied().unwrap_or(node)));
            }
            self.command(node).await;
        }
        Ok(())
    }

    async fn command(&mut self, node: u64) {
        match self.chance.within(0..100) {
            0..40 => drop(self.order(node, Order::Read).await),
            40..60 => self.change_a_setting(node).await,
            60..70 => {
                let status = self.status(node).await;
                let voters: Vec<_> = status.voters.into_iter().filter(|voter| Some(*voter) != status.leader).collect();
                if let (Some(&to), Some(leader)) = (self.chance.pick(&voters), status.leader) {
                    self.world.fault("transfer", format_args!("from node {leader} to node {to}"));
                    let _refused = self.order(leader, Order::Transfer(to)).await;
                }
            }
            70..76 => drop(self.order(node, Order::Backup).await),
            76..82 => self.drain(node).await,
            82..84 => drop(self.order(node, Order::ResetClock).await),
            84..85 => drop(self.order(node, Order::AcceptClock).await),
            85..89 if self.changes_formats => self.change_format(node).await,
            89..100 if self.changes_members => self.change_members(node).await,
            _ => {}
        }
    }

    pub(crate) async fn status(&self, node: u64) -> Status {
        let status = self.order(node, Order::Status).await.unwrap_or_default();
        let mut parts = status.split(';');
        let mut part = || parts.next().unwrap_or_default();
        Status { members: numbers(part()), voters: numbers(part()), leader: part().parse().ok() }
    }

    async fn change_a_setting(&mut self, node: u64) {
        let minutes = FIRST_INTERVAL_MINUTES + self.commands;
        self.commands += 1;
        self.set(node, Setting::ActivationInterval, &minutes.to_string()).await;
        if self.profiles.percent(25) {
            let profile = self.profiles.pick(&["near", "far"]).copied().unwrap_or("near");
            self.world.fault("profile", format_args!("{profile}"));
            self.set(node, Setting::RaftProfile, profile).await;
        }
    }

    async fn set(&self, node: u64, setting: Setting, text: &str) {
        let Ok(change) = SettingChange::parse(Scope::Cluster, setting, text) else { return };
        let command = Command::ChangeSettings { node: None, changes: vec![change] };
        let origin = Origin::new("administrator", "console", 0);
        let command = Command::Audited { origin, act: Act::Command(Box::new(command)) };
        let _refused = self.order(node, Order::Propose(Box::new(command))).await;
    }

    async fn drain(&mut self, node: u64) {
        // One node at a time, and never the last one, because the daemon refuses that.
        let status = self.status(node).await;
        if status.members.len() < 3 || self.world.nodes_up().len() < status.members.len() {
            return;
        }
        let wait = Duration::from_millis(self.chance.within(500..8000));
        self.world.fault("drain", format_args!("node {node}"));
        let _refused = self.order(node, Order::Drain(wait)).await;
    }

    async fn change_format(&mut self, node: u64) {
        let formats: Vec<_> = (1..=Format::NEWEST.number()).filter_map(|number| Format::new(number).ok()).collect();
        let format = self.chance.pick(&formats).copied().unwrap_or(Format::NEWEST);
        self.world.fault("format", format_args!("to {format}"));
        let _refused = self.order(node, Order::Propose(Box::new(Command::SetFormat { format }))).await;
    }

    /// Adds a node with an empty disk, or removes a node.
    async fn change_members(&mut self, node: u64) {
        // A node that is partitioned or quarantined may have an old list of members only, and a number that is in use
        // must not be given again.
        if self.order(node, Order::Read).await.is_err() {
            return;
        }
        let status = self.status(node).await;
        let activated = self.world.oracle(|oracle| oracle.activated().clone());
        let up = self.world.nodes_up();
        if let Some(&late) = status.members.iter().find(|member| !activated.contains(member) && up.contains(member)) {
            self.activate_soon(node, late).await;
        }
        let spare: Vec<_> = (1..=self.nodes_max).filter(|number| !status.members.contains(number)).collect();
        if status.members.is_empty() {
            return;
        }
        let grows = status.members.len() < 3 || self.chance.percent(50);
        if grows && let Some(&new) = self.chance.pick(&spare) {
            self.world.fault("add", format_args!("node {new}"));
            self.world.wish(Wish::StartNew(new));
            let started = || async {
                while !self.world.nodes_up().contains(&new) {
                    sleep(Duration::from_millis(100)).await;
                }
            };
            let _slow = timeout(Duration::from_secs(20), started()).await;
            if self.order(node, Order::Add(new)).await.is_ok() {
                self.activate_soon(node, new).await;
            }
        } else if !grows && let Some(&old) = self.chance.pick(&status.members.iter().copied().collect::<Vec<_>>()) {
            // An activated member has to remain.
            if !status.members.iter().any(|left| *left != old && activated.contains(left) && up.contains(left)) {
                return;
            }
            self.world.fault("remove", format_args!("node {old}"));
            if self.order(node, Order::Remove(old)).await.is_ok() {
                self.world.wish(Wish::Retire(old));
            }
        }
    }

    /// Activates a node that has joined; gives up after 30 s, as an administrator would.
    async fn activate_soon(&mut self, node: u64, new: u64) {
        let members = [node, new];
        let _given_up = timeout(Duration::from_secs(30), self.activate(&members, new)).await;
    }
}

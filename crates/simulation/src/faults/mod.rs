//! Injects faults, which are drawn from the seed during the run. Each run has its own weights: in some runs a kind of
//! fault happens very often, in others never. So combinations occur that an even mix would not reach.

mod lost_disks;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use replication::Bug;
use turmoil::Sim;
use uuid::Uuid;

use crate::{
    alteration::with_more_machines,
    chance::Chance,
    disk::{DiskBay, Failing, Image},
    network::host,
    plant::Plant,
    world::{Wish, World},
};

/// Kinds of faults that this module or the administrator injects.
pub(crate) const KINDS: [&str; 29] = [
    "partition",
    "one_way_partition",
    "slow_network",
    "lossy_network",
    "hold",
    "duplicate_connection",
    "crash",
    "crash_unsynced",
    "crash_all",
    "torn_write",
    "slow_disk",
    "hanging_disk",
    "disk_error",
    "full_disk",
    "damaged_snapshot",
    "wiped_disk",
    "clock_step",
    "clock_drift",
    "clock_wrong_at_start",
    "fast_time",
    "skipped_weeks",
    "transfer",
    "drain",
    "format",
    "profile",
    "add",
    "remove",
    "rollback",
    "copied_node",
];

/// Kinds that are drawn here, with their default weights.
const DRAWN: [(&str, u64); 18] = [
    ("partition", 10),
    ("one_way_partition", 6),
    ("slow_network", 6),
    ("lossy_network", 3),
    ("hold", 6),
    ("crash", 10),
    ("crash_all", 3),
    ("slow_disk", 5),
    ("hanging_disk", 3),
    ("disk_error", 3),
    ("full_disk", 2),
    ("wiped_disk", 1),
    ("damaged_snapshot", 1),
    ("clock_step", 4),
    ("clock_drift", 3),
    ("clock_wrong_at_start", 3),
    ("fast_time", 8),
    ("repair", 25),
];

/// The nodes, as the simulation loop sees them.
pub(crate) struct Nodes {
    pub(crate) bays: BTreeMap<u64, DiskBay>,
    /// Nodes that belong to the cluster, or are about to join it.
    pub(crate) members: BTreeSet<u64>,
    /// For each node that is down, when it starts again.
    pub(crate) down: BTreeMap<u64, Duration>,
    /// Nodes whose disk was erased. They are no members any more, although the cluster may still list them.
    pub(crate) lost: BTreeSet<u64>,
}

impl Nodes {
    /// Whether the disk of one node may be lost: the other voters are a majority, and no other disk is lost.
    fn can_spare_one(&self, world: &World) -> bool {
        let seen = world.seen();
        let voters = seen.values().max_by_key(|seen| seen.applied).map_or(0, |seen| seen.voters.len());
        voters >= 3 && self.lost.is_empty()
    }
}

/// The faults of one run.
pub(crate) struct Faults {
    world: World,
    chance: Chance,
    weights: Vec<(&'static str, u64)>,
    next: Duration,
    pause_ms: u64,
    /// For each node whose links are held, when they are released.
    held: BTreeMap<u64, Duration>,
    /// Until when true time runs fast.
    fast_until: Duration,
    rate_max: u64,
    /// Before this time no further disk hangs.
    hung_until: Duration,
    /// When a snapshot was damaged last.
    damaged_at: Option<Duration>,
    /// The content of a disk that a scenario stored.
    kept: Option<Image>,
    older: OlderDisks,
    /// Whether faults are injected now; false while the cluster has to recover.
    is_on: bool,
}

/// Earlier contents of disks, stored from time to time.
struct OlderDisks {
    chance: Chance,
    next: Duration,
    /// For each node, the id of its store and the stored content.
    images: BTreeMap<u64, (Uuid, Image)>,
    /// The host on which a copy runs.
    copy: Option<u64>,
}

impl OlderDisks {
    fn new(seed: u64) -> Self {
        let chance = Chance::new(seed, "older disks");
        Self { chance, next: Duration::ZERO, images: BTreeMap::new(), copy: None }
    }

    fn remember(&mut self, nodes: &Nodes, now: Duration) {
        if now < self.next {
            return;
        }
        self.next = now + Duration::from_millis(self.chance.within(5_000..60_000));
        let members: Vec<_> = nodes.members.iter().collect();
        if let Some((node, bay)) = self.chance.pick(&members).and_then(|node| Some((**node, nodes.bays.get(node)?))) {
            self.images.insert(node, (bay.store(), bay.image()));
        }
    }

    /// The stored content of the disk of `node`, where the disk still has the same store.
    fn image_of(&mut self, nodes: &Nodes, node: u64) -> Option<Image> {
        let (store, image) = self.images.remove(&node)?;
        nodes.bays.get(&node).filter(|bay| bay.store() == store && !bay.is_damaged()).map(|_| image)
    }
}

/// Longest hang of a disk, in milliseconds: longer than a replica tolerates.
const HANG_MS_MAX: u64 = 15_000;
/// Shortest interval between two hangs, so that only one disk hangs at a time.
const HANG_EVERY: Duration = Duration::from_secs(30);

const STEP: Duration = Duration::from_millis(1);

impl Faults {
    pub(crate) fn new(world: World, seed: u64, planted: Option<Plant>) -> Self {
        let mut chance = Chance::new(seed, "faults");
        let damages = planted == Some(Plant::Product(Bug::SnapshotWithoutIndex));
        let swarm = |(kind, weight): (&'static str, u64)| match (kind, chance.within(0..4)) {
            ("repair", _) => (kind, weight),
            // Damaged snapshots are rare, and the planted bug shows only with them.
            ("damaged_snapshot", _) if damages => (kind, 20),
            (_, factor) => (kind, weight * factor),
        };
        let weights = DRAWN.into_iter().map(swarm).collect();
        let pause_ms = chance.within(800..8000);
        let rate_max = chance.pick(&[60, 600, 5000, 5000]).copied().unwrap_or(60);
        let (held, fast_until) = (BTreeMap::new(), Duration::ZERO);
        Self {
            world,
            chance,
            weights,
            next: Duration::ZERO,
            pause_ms,
            held,
            fast_until,
            rate_max,
            hung_until: Duration::ZERO,
            damaged_at: None,
            kept: None,
            older: OlderDisks::new(seed),
            is_on: false,
        }
    }

    /// Does what is due without new faults; called at every step of the simulation.
    pub(crate) fn attend(&mut self, sim: &mut Sim<'_>, nodes: &mut Nodes) {
        let now = self.world.now();
        self.start_again(sim, nodes, now);
        self.grant(sim, nodes, now);
        self.release(sim, nodes, now);
        if !self.fast_until.is_zero() && now >= self.fast_until {
            self.fast_until = Duration::ZERO;
            self.world.change_time(|time, now| time.set_rate(now, 1));
            self.world.trace("time runs at normal speed again");
        }
    }

    /// Does the same as [`Self::attend`], and injects a fault where one is due.
    pub(crate) fn step(&mut self, sim: &mut Sim<'_>, nodes: &mut Nodes) {
        self.is_on = true;
        self.attend(sim, nodes);
        let now = self.world.now();
        self.aim(sim, nodes, now);
        self.older.remember(nodes, now);
        if now < self.next {
            return;
        }
        self.next = now + Duration::from_millis(self.chance.within(200..self.pause_ms));
        let sum: u64 = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.chance.within(0..sum);
        let kind = self.weights.iter().find(|(_, weight)| {
            let is_it = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            is_it
        });
        if let Some((kind, _)) = kind.copied() {
            self.bring_about(kind, sim, nodes, now);
        }
    }

    /// Starts nodes that are down and whose pause is over.
    fn start_again(&mut self, sim: &mut Sim<'_>, nodes: &mut Nodes, now: Duration) {
        let due: Vec<_> = nodes.down.iter().filter(|(_, at)| **at <= now).map(|(node, _)| *node).collect();
        for node in due {
            nodes.down.remove(&node);
            if nodes.members.contains(&node) {
                self.world.trace(format_args!("node {node} is started"));
                sim.bounce(host(node));
            }
        }
    }

    /// Carries out the requests of nodes and of the administrator.
    fn grant(&mut self, sim: &mut Sim<'_>, nodes: &mut Nodes, now: Duration) {
        for wish in self.world.wishes() {
            match wish {
                Wish::Ended(node) => {
                    self.crash(sim, nodes, node, now, 100..3000);
                    // The failing disk is repaired or replaced before the node starts again.
                    if let Some(bay) = nodes.bays.get(&node) {
                        bay.fail(None);
                        if bay.is_damaged() {
                            self.renew_disk(nodes, node);
                            nodes.lost.insert(node);
                        }
                    }
                }
                Wish::StartNew(node) => {
                    self.crash(sim, nodes, node, now, 0..1);
                    self.renew_disk(nodes, node);
                    nodes.members.insert(node);
                    nodes.lost.remove(&node);
                    nodes.down.insert(node, now);
                }
                Wish::Retire(node) => {
                    nodes.members.remove(&node);
                    nodes.lost.remove(&node);
                    self.crash(sim, nodes, node, now, 0..1);
                }
                Wish::Stall(node) if self.is_on => self.hold(sim, nodes, node, now),
                Wish::Stall(_) => {}
                staged => self.stage(staged, sim, nodes, now),
            }
        }
    }

    /// Carries out the request of a scenario.
    fn stage(&mut self, wish: Wish, sim: &mut Sim<'_>, nodes: &mut Nodes, now: Duration) {
        self.world.trace(format_args!("{wish:?}"));
        match wish {
            Wish::Restart(node, pause) => {
                self.crash(sim, nodes, node, now, 0..1);
                nodes.members.insert(node);
                nodes.down.insert(node, now + pause);
            }
            Wish::Lose(node) => {
                nodes.members.remove(&node);
                self.crash(sim, nodes, node, now, 0..1);
                nodes.down.remove(&node);
            }
            Wish::KeepDisk(node) => self.kept = nodes.bays.get(&node).map(DiskBay::image),
            Wish::RollBack(node) => {
                self.world.fault("rollback", format_args!("node {node}"));
                self.crash(sim, nodes, node, now, 5000..5001);
                if let Some(image) = self.kept.take() {
                    self.put_back(nodes, node, image);
                }
            }
            Wish::AlterState(node) => {
                self.world.fault("altered_state", format_args!("node {node}"));
                self.crash(sim, nodes, node, now, 1000..1001);
                self.world.oracle(|oracle| oracle.is_altered(node, true));
                if let Some(bay) = nodes.bays.get(&node) {
                    bay.alter_snapshot(|file| with_more_machines(file, &self.world.publisher, node));
                }
            }
            Wish::Copy { from, to } => {
                self.world.fault("copied_node", format_args!("node {from} to host {to}"));
                self.copy(nodes, from, to);
            }
            Wish::Clock(node, hours) => {
                self.world.fault("clock_wrong_at_start", format_args!("node {node}: {hours} h"));
                self.world.node(node, |state| state.clock.offset_ms = hours * 3_600_000);
            }
            Wish::Skip(time) => {
                self.world.fault("skipped_weeks", format_args!("{} s", time.as_secs()));
                let members: Vec<_> = nodes.members.iter().copied().collect();
                members.into_iter().for_each(|node| self.crash(sim, nodes, node, now, 5000..5001));
                self.world.change_time(|true_time, now| true_time.skip(now, time));
            }
            Wish::SlowLinks(ms) => {
                self.world.fault("slow_network", format_args!("{ms} ms each way"));
                let hosts: Vec<_> = nodes.bays.keys().copied().collect();
                for (index, a) in hosts.iter().enumerate() {
                    for b in hosts.iter().skip(index + 1) {
                        sim.set_link_latency(host(*a), host(*b), Duration::from_millis(ms));
                    }
                }
            }
            Wish::Ended(_) | Wish::StartNew(_) | Wish::Retire(_) | Wish::Stall(_) => {}
        }
    }

    fn renew_disk(&self, nodes: &Nodes, node: u64) {
        if let Some(bay) = nodes.bays.get(&node) {
            bay.wipe();
        }
        self.world.oracle(|oracle| oracle.promises.forget(node));
        self.world.node(node, |state| (state.is_older, state.is_stale) = (false, false));
    }

    /// Replaces the disk content of a node that is down by an earlier one.
    fn put_back(&self, nodes: &Nodes, node: u64, image: Image) {
        let Some(bay) = nodes.bays.get(&node) else { return };
        let (vote, last) = image.promised();
        let is_stale = self.world.oracle(|oracle| {
            let is_stale = oracle.promises.would_break(node, vote, last);
            oracle.promises.forget(node);
            is_stale
        });
        self.world.node(node, |state| {
            state.is_older = true;
            state.is_stale |= is_stale;
        });
        self.world.trace(format_args!(
            "node {node} runs on an older disk, with entry {last}; it lacks acknowledged entries: {is_stale}"
        ));
        bay.roll_back(image);
    }

    /// Makes the disk of host `to` a copy of the disk of node `from`.
    fn copy(&self, nodes: &Nodes, from: u64, to: u64) {
        if let (Some(from), Some(copy)) = (nodes.bays.get(&from), nodes.bays.get(&to)) {
            copy.copy_from(from);
            self.world.oracle(|oracle| oracle.promises.forget(to));
            self.world.node(to, |state| (state.is_older, state.is_stale) = (true, true));
        }
    }

    /// While no other fault is active: sets a node's disk back to an earlier content, or starts a copy of a node's
    /// disk on another host. Not together with other faults, because a node that lost what it promised has failed,
    /// and the other nodes must be able to detect that.
    pub(crate) fn confuse(&mut self, sim: &mut Sim<'_>, nodes: &mut Nodes) {
        let now = self.world.now();
        let all_are_up = nodes.members.iter().all(|member| self.world.nodes_up().contains(member));
        if !nodes.can_spare_one(&self.world) || !all_are_up || !nodes.down.is_empty() {
            return;
        }
        let members: Vec<_> = nodes.members.iter().copied().collect();
        let Some(&node) = self.older.chance.pick(&members) else { return };
        let spare = nodes.bays.keys().copied().find(|host| !nodes.members.contains(host));
        match (self.older.chance.within(0..3), spare) {
            (0, Some(to)) => {
                self.world.fault("copied_node", format_args!("node {node} to host {to}"));
                self.crash(sim, nodes, to, now, 0..1);
                self.copy(nodes, node, to);
                self.older.copy = Some(to);
                sim.bounce(host(to));
            }
            (1, _) => {
                let Some(image) = self.older.image_of(nodes, node) else { return };
                self.world.fault("rollback", format_args!("node {node}"));
                self.crash(sim, nodes, node, now, 50..1000);
                self.put_back(nodes, node, image);
                nodes.lost.insert(node);
            }
            _ => {}
        }
    }

    /// Stops the node that runs on a copied disk, and erases that disk.
    pub(crate) fn stop_copy(&mut self, sim: &mut Sim<'_>, nodes: &mut Nodes) {
        if let Some(copy) = self.older.copy.take().filter(|copy| !nodes.members.contains(copy)) {
            self.crash(sim, nodes, copy, self.world.now(), 0..1);
            self.renew_disk(nodes, copy);
        }
    }

    /// Crashes a node with pending writes right after an election. Random crashes would rarely hit the moment in
    /// which a promise is not durable yet.
    fn aim(&mut self, sim: &mut Sim<'_>, nodes: &mut Nodes, now: Duration) {
        if self.world.elections() == 0 || !self.chance.percent(15) {
            return;
        }
        let behind: Vec<_> = nodes.bays.iter().filter(|(_, bay)| bay.is_behind()).map(|(node, _)| *node).collect();
        if let Some(&node) = self.chance.pick(&behind) {
            self.world.fault("crash_unsynced", format_args!("node {node}"));
            self.crash(sim, nodes, node, now, 50..400);
        }
    }

    /// Kills the process of a node, or cuts its power.
    pub(crate) fn crash(
        &mut self,
        sim: &mut Sim<'_>,
        nodes: &mut Nodes,
        node: u64,
        now: Duration,
        pause_ms: std::ops::Range<u64>,
    ) {
        if sim.is_host_running(host(node)) {
            sim.crash(host(node));
            if let Some(bay) = nodes.bays.get(&node) {
                let crashed = bay.crash();
                if crashed.kept < crashed.pending {
                    self.world.fault(
                        "torn_write",
                        format_args!("node {node} keeps {} of {} batches", crashed.kept, crashed.pending),
                    );
                }
            }
        }
        self.world.node(node, crate::world::NodeState::ended);
        if nodes.members.contains(&node) {
            let pause = Duration::from_millis(self.chance.within(pause_ms));
            nodes.down.entry(node).or_insert(now + pause.max(STEP));
        }
    }

    /// Holds messages to and from a node, as if its process stood still.
    fn hold(&mut self, sim: &Sim<'_>, nodes: &Nodes, node: u64, now: Duration) {
        let until = now + Duration::from_millis(self.chance.within(300..6000));
        self.world.fault("hold", format_args!("node {node}"));
        self.held.insert(node, until);
        for other in nodes.bays.keys().filter(|other| **other != node) {
            sim.hold(host(node), host(*other));
        }
    }

    fn release(&mut self, sim: &Sim<'_>, nodes: &Nodes, now: Duration) {
        let due: Vec<_> = self.held.iter().filter(|(_, until)| **until <= now).map(|(node, _)| *node).collect();
        for node in due {
            self.held.remove(&node);
            self.world.trace(format_args!("messages of node {node} are delivered again"));
            for other in nodes.bays.keys().filter(|other| **other != node) {
                sim.release(host(node), host(*other));
            }
        }
    }

    /// Ends all faults, so that everything works again.
    pub(crate) fn repair(&mut self, sim: &mut Sim<'_>, nodes: &Nodes) {
        self.world.trace("repair");
        self.is_on = false;
        self.held.clear();
        let numbers: Vec<_> = nodes.bays.keys().copied().collect();
        for (index, a) in numbers.iter().enumerate() {
            for b in numbers.iter().skip(index + 1) {
                sim.release(host(*a), host(*b));
                sim.repair(host(*a), host(*b));
            }
        }
        sim.set_fail_rate(0.0);
        sim.set_max_message_latency(Duration::from_millis(10));
        nodes.bays.values().for_each(|bay| bay.set_slow(2));
        for node in numbers {
            self.world.node(node, |state| state.clock = crate::time::ClockError::default());
        }
    }

    fn bring_about(&mut self, kind: &'static str, sim: &mut Sim<'_>, nodes: &mut Nodes, now: Duration) {
        let members: Vec<_> = nodes.members.iter().copied().collect();
        let Some(&node) = self.chance.pick(&members) else { return };
        match kind {
            "partition" | "one_way_partition" => self.cut(kind, sim, &members),
            "slow_network" => {
                let longest = self.chance.within(15..300);
                self.world.fault(kind, format_args!("messages take up to {longest} ms"));
                sim.set_max_message_latency(Duration::from_millis(longest));
            }
            "lossy_network" => {
                let percent = self.chance.within(1..10);
                self.world.fault(kind, format_args!("{percent} of 1000 messages are lost"));
                sim.set_fail_rate(f64::from(u8::try_from(percent).unwrap_or(1)) / 1000.0);
            }
            "hold" => self.hold(sim, nodes, node, now),
            "crash" => {
                self.world.fault(kind, format_args!("node {node}"));
                self.crash(sim, nodes, node, now, 50..5000);
            }
            "crash_all" => {
                self.world.fault(kind, "every node");
                members.iter().for_each(|node| self.crash(sim, nodes, *node, now, 50..3000));
            }
            "wiped_disk" => self.wipe(sim, nodes, node, now),
            "damaged_snapshot" => self.damage(sim, nodes, node, now),
            "slow_disk" | "hanging_disk" | "disk_error" | "full_disk" => self.disturb_disk(kind, nodes, node),
            "clock_step" | "clock_drift" | "clock_wrong_at_start" => self.disturb_clock(kind, sim, nodes, node, now),
            "fast_time" => {
                let rate = u32::try_from(self.chance.within(2..self.rate_max)).unwrap_or(2);
                self.fast_until = now + Duration::from_millis(self.chance.within(500..15_000));
                self.world.fault(kind, format_args!("{rate} times as fast"));
                self.world.change_time(|time, now| time.set_rate(now, rate));
            }
            _ => self.repair(sim, nodes),
        }
    }

    fn cut(&mut self, kind: &'static str, sim: &Sim<'_>, members: &[u64]) {
        let order = self.chance.shuffled(members.iter().copied());
        let few = usize::try_from(self.chance.within(1..order.len() as u64 / 2 + 1)).unwrap_or(1);
        let (few, many) = order.split_at(few.min(order.len()));
        self.world.fault(kind, format_args!("{few:?} from {many:?}"));
        for (a, b) in few.iter().flat_map(|a| many.iter().map(move |b| (*a, *b))) {
            if kind == "partition" {
                sim.partition(host(a), host(b));
            } else {
                sim.partition_oneway(host(a), host(b));
            }
        }
    }

    fn disturb_disk(&mut self, kind: &'static str, nodes: &Nodes, node: u64) {
        let Some(bay) = nodes.bays.get(&node) else { return };
        let now = self.world.now();
        if kind == "hanging_disk" {
            if now < self.hung_until {
                return;
            }
            self.hung_until = now + HANG_EVERY;
        }
        self.world.fault(kind, format_args!("node {node}"));
        match kind {
            "slow_disk" => bay.set_slow(self.chance.within(20..100)),
            "hanging_disk" => bay.hang(Duration::from_millis(self.chance.within(300..HANG_MS_MAX))),
            "full_disk" => bay.fail(Some(Failing::Full)),
            _ => bay.fail(Some(Failing::Broken)),
        }
    }

    fn disturb_clock(&mut self, kind: &'static str, sim: &mut Sim<'_>, nodes: &mut Nodes, node: u64, now: Duration) {
        // Only a minority of clocks may be wrong: how a majority of wrong clocks affects the cluster is known, and
        // ordinary runs do not test it.
        let is_right = |node: &u64| self.world.clock_error(*node) == crate::time::ClockError::default();
        let wrong = nodes.members.iter().filter(|other| **other != node && !is_right(other)).count();
        if (wrong + 1) * 2 >= nodes.members.len() {
            return;
        }
        // The error is mostly some hours, sometimes weeks.
        let factor = if self.chance.percent(20) { 24 } else { 1 };
        let hours = factor * (i64::try_from(self.chance.within(0..200)).unwrap_or(0) - 100);
        let ppm = i32::try_from(self.chance.within(0..2000)).unwrap_or(0) - 1000;
        self.world.fault(kind, format_args!("node {node}: {hours} h, {ppm} millionths"));
        self.world.node(node, |state| match kind {
            "clock_drift" => state.clock.drift_ppm = ppm,
            _ => state.clock.offset_ms = hours * 3_600_000,
        });
        if kind == "clock_wrong_at_start" {
            self.crash(sim, nodes, node, now, 50..1000);
        }
    }
}

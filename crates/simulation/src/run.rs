//! One run: a cluster, its machines and its administrator, made from one seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{self, AssertUnwindSafe},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use replication::{Bug, Planted};
use turmoil::Sim;

use crate::{
    administrator::Administrator,
    chance::Chance,
    disk::DiskBay,
    faults::{Faults, Nodes},
    machines::{self, Site},
    network::host,
    node::{self, NodeOptions},
    plant::Plant,
    process_clock,
    publisher::START_MS,
    scenarios::Director,
    world::World,
};

/// The most nodes of a cluster; a publisher's key activates as many hosts.
const NODES_MAX: u64 = 6;

/// Virtual time within which the cluster must be formed and activated.
const SET_UP_DEADLINE: Duration = Duration::from_secs(120);

/// Virtual time within which the cluster must recover after the last fault.
const RECOVERY_DEADLINE: Duration = Duration::from_secs(120);

/// Virtual time that a scenario may take.
const SCENARIO_DEADLINE: Duration = Duration::from_secs(900);

/// Interval between two pauses of the faults. During a pause of length [`CALM`] the cluster must answer.
const CALM_EVERY: Duration = Duration::from_secs(240);
const CALM: Duration = Duration::from_secs(40);

/// The properties of a run, drawn from its seed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: u64,
    /// Virtual time with faults.
    pub(crate) length: Duration,
    tick: Duration,
    sites: Vec<Site>,
    changes_members: bool,
    changes_formats: bool,
    /// Whether the nodes' operating systems synchronise their clocks.
    synchronises_clocks: bool,
    command_pause: Duration,
    /// After this many entries a node makes a snapshot.
    pub(crate) snapshot_every_entries: u64,
}

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed, "plan");
        let nodes = chance.pick(&[3, 3, 3, 3, 3, 3, 5, 4, 2, 1]).copied().unwrap_or(3);
        let site = |chance: &mut Chance, number| Site {
            number,
            imaging: chance.within(1..5),
            renewing: chance.within(5..25),
            pause_ms: chance.within(200..2500),
        };
        let sites = vec![site(&mut chance, 1), site(&mut chance, 2)];
        Self {
            seed,
            nodes,
            length: Duration::from_secs(chance.within(900..1500)),
            tick: Duration::from_millis(5),
            sites,
            changes_members: chance.percent(50),
            changes_formats: chance.percent(40),
            synchronises_clocks: Chance::new(seed, "synchronised").percent(70),
            command_pause: Duration::from_millis(chance.within(1500..12_000)),
            // Far more often than in production, so that each run has many snapshots.
            snapshot_every_entries: chance.pick(&[20, 60, 300]).copied().unwrap_or(300),
        }
    }
}

/// Aligns tokio's task numbers. tokio numbers tasks in the whole process, and drops a runtime's tasks by their number
/// modulo a few shards. Without alignment, a crash would close connections in another order after other runs.
fn align_task_ids() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a current-thread runtime without drivers needs no resources");
    let number = || runtime.spawn(async {}).id().to_string().parse::<u64>().unwrap_or(0);
    while number() % 1024 != 0 {}
}

/// A run that is being executed.
pub(crate) struct Run<'a> {
    pub(crate) world: World,
    pub(crate) plan: Plan,
    pub(crate) sim: Sim<'a>,
    pub(crate) nodes: Nodes,
    pub(crate) faults: Faults,
}

impl Run<'_> {
    /// Prepares a run; the nodes keep their private keys below `folder`.
    pub(crate) fn new(world: World, plan: Plan, planted: Option<Plant>, folder: &Path) -> Self {
        align_task_ids();
        world.synchronise_clocks(plan.synchronises_clocks);
        let mut sim = turmoil::Builder::new()
            .rng_seed(plan.seed)
            .epoch(UNIX_EPOCH + Duration::from_millis(START_MS))
            .tick_duration(plan.tick)
            .simulation_duration(Duration::from_secs(u32::MAX.into()))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(10))
            .tcp_capacity(8192)
            .enable_random_order()
            .build();
        let bug: Option<Bug> = planted.and_then(Plant::bug);
        let options = NodeOptions::new(
            folder.join("keys"),
            folder.join("machine"),
            Planted::new(bug),
            plan.snapshot_every_entries,
        );
        let mut bays = BTreeMap::new();
        for number in 1..=NODES_MAX {
            let bay = DiskBay::new(number, plan.seed);
            if planted == Some(Plant::SkippedFsync) {
                bay.skip_sync();
            }
            let (world, options, disk) = (world.clone(), options.clone(), bay.clone());
            sim.host(host(number), move || node::run(world.clone(), number, disk.clone(), options.clone()));
            if number > plan.nodes {
                sim.crash(host(number));
            }
            bays.insert(number, bay);
        }
        let members: BTreeSet<_> = (1..=plan.nodes).collect();
        let nodes = Nodes { bays, members, down: BTreeMap::new(), lost: BTreeSet::new() };
        let faults = Faults::new(world.clone(), plan.seed, planted);
        Self { world, plan, sim, nodes, faults }
    }

    /// Adds the machines of the plan.
    fn with_machines(&mut self) {
        for site in self.plan.sites.clone() {
            let machines = machines::run(self.world.clone(), site, self.plan.seed);
            self.sim.client(format!("site{}", site.number), machines);
        }
        self.sim.client("prober", machines::probe(self.world.clone(), self.plan.seed));
    }

    fn administrator(&self) -> Administrator {
        Administrator {
            world: self.world.clone(),
            chance: Chance::new(self.plan.seed, "administrator"),
            profiles: Chance::new(self.plan.seed, "profiles"),
            nodes: self.plan.nodes,
            nodes_max: NODES_MAX,
            pause: self.plan.command_pause,
            changes_members: self.plan.changes_members,
            changes_formats: self.plan.changes_formats,
            commands: 0,
        }
    }

    /// Plays a scenario without random faults.
    pub(crate) fn play(&mut self, scenario: &str) {
        let (world, administrator, seed) = (self.world.clone(), self.administrator(), self.plan.seed);
        self.sim.client("director", Director { world, administrator, seed }.play(scenario.to_owned()));
        while !self.world.is_ending() && self.sim.elapsed() < SCENARIO_DEADLINE {
            self.faults.attend(&mut self.sim, &mut self.nodes);
            if !self.step() {
                break;
            }
        }
        if !self.world.is_ending() {
            let seconds = SCENARIO_DEADLINE.as_secs();
            self.world.violated("no_progress", format_args!("the scenario is over within {seconds} s"), "it is not");
        }
        let now = self.world.now();
        self.world.oracle(|oracle| oracle.check_end(now));
    }

    /// Advances virtual time by one step. Returns false where the simulation itself failed, which is a violation.
    pub(crate) fn step(&mut self) -> bool {
        process_clock::advance(self.plan.tick);
        // A panic in any task ends the node's runtime, and the step with it.
        let stepped = panic::catch_unwind(AssertUnwindSafe(|| self.sim.step().map_err(|error| error.to_string())));
        let found = match stepped {
            Ok(Ok(_)) => {
                self.world.is_at(self.sim.elapsed());
                return true;
            }
            Ok(Err(error)) => error,
            Err(_) => crate::panics::first().unwrap_or_else(|| "a panic without a message".into()),
        };
        self.world.violated("panicked", "no task of any node panics, and none ends with an error", found);
        false
    }

    /// Steps, with or without faults, until `until` is reached or a promise is broken outside the known cases.
    fn live(&mut self, until: Duration, with_faults: bool) -> bool {
        while self.sim.elapsed() < until {
            if with_faults {
                self.faults.step(&mut self.sim, &mut self.nodes);
            } else {
                self.faults.attend(&mut self.sim, &mut self.nodes);
            }
            if !self.step() || self.is_decided() {
                return false;
            }
        }
        true
    }

    /// Whether a violation ends the run; a known one does not.
    fn is_decided(&self) -> bool {
        self.world.violations().iter().any(|violation| crate::report::known_case(violation.kind).is_none())
    }

    /// Executes the whole run, from the formation of the cluster to the last check.
    pub(crate) fn complete(&mut self) {
        self.with_machines();
        let administrator = self.administrator();
        self.sim.client("administrator", administrator.run());
        let _decided = self.set_up() && self.live_through_faults() && self.recover();
        let now = self.world.now();
        self.world.oracle(|oracle| oracle.check_end(now));
    }

    pub(crate) fn set_up(&mut self) -> bool {
        while !self.world.is_set_up() {
            self.faults.attend(&mut self.sim, &mut self.nodes);
            if !self.step() {
                return false;
            }
            if self.sim.elapsed() > SET_UP_DEADLINE {
                let within = SET_UP_DEADLINE.as_secs();
                self.world.violated(
                    "no_progress",
                    format_args!("the cluster is set up within {within} s"),
                    "it is not",
                );
                return false;
            }
        }
        true
    }

    fn live_through_faults(&mut self) -> bool {
        let end = self.sim.elapsed() + self.plan.length;
        while self.sim.elapsed() < end {
            if !self.live(end.min(self.sim.elapsed() + CALM_EVERY), true) || !self.rest() {
                return false;
            }
        }
        true
    }

    /// Pauses the faults, and checks that clients are answered.
    fn rest(&mut self) -> bool {
        self.world.trace("calm");
        self.faults.repair(&mut self.sim, &self.nodes);
        let end = self.sim.elapsed() + CALM;
        if !self.live(end - CALM * 3 / 4, false) {
            return false;
        }
        self.faults.confuse(&mut self.sim, &mut self.nodes);
        if !self.live(end - CALM / 4, false) {
            return false;
        }
        self.faults.stop_copy(&mut self.sim, &mut self.nodes);
        let before = self.world.served_so_far();
        if !self.live(end, false) {
            return false;
        }
        let after = self.world.served_so_far();
        if after == before {
            let expected = format!("clients are answered within {} s without a fault", CALM.as_secs());
            self.world.violated("no_progress", expected, "none was answered in the last quarter of them");
            return false;
        }
        true
    }

    /// After the last fault, waits until every member has all entries and answers.
    fn recover(&mut self) -> bool {
        self.faults.repair(&mut self.sim, &self.nodes);
        self.world.end();
        let deadline = self.sim.elapsed() + RECOVERY_DEADLINE;
        let (mut is_probing, mut silent) = (false, None);
        loop {
            self.faults.attend(&mut self.sim, &mut self.nodes);
            if !self.step() || self.is_decided() {
                return false;
            }
            if let Some(outcome) = self.world.probe_outcome().filter(|_| is_probing) {
                (is_probing, silent) = (false, Some(outcome));
            }
            let missing = if is_probing { None } else { self.not_recovered() };
            if missing.is_none() && !is_probing {
                if silent.as_ref().is_some_and(Vec::is_empty) {
                    return true;
                }
                self.probe();
                is_probing = true;
            }
            if self.sim.elapsed() > deadline {
                let expected = format!(
                    "every member has applied all entries and answers {} s after the last fault",
                    RECOVERY_DEADLINE.as_secs()
                );
                let found = missing.unwrap_or_else(|| format!("nodes {silent:?} did not answer a request"));
                self.world.violated("no_progress", expected, found);
                return false;
            }
        }
    }
}

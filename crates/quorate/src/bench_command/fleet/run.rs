//! The event loop of a run: all machines that are due send a request, then the clock advances to the next due machine.

use std::{collections::BTreeMap, sync::Arc};

use activation::{id::ProductId, lifecycle::Evidence, message::Request, status::Status, trust::Trust};
use anyhow::Context;
use futures::{StreamExt, stream};
use host::Answers;
use indicatif::ProgressBar;
use tokio::runtime::Runtime;

use super::{clock::VirtualClock, machine::FleetMachine, report::Tally};
use crate::{
    bench_command::fleet::report::FleetReport,
    demo::{cluster::Cluster, tour::CLIENT_PRODUCT},
};

const SECOND_MS: u64 = 1000;
const HOUR_MS: u64 = 60 * 60 * SECOND_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Machines that are due within this time of the next one send their requests with it, a little early, in one batch.
/// This value holds while a machine waits for its first licence.
const STEP_MS: u64 = 5 * SECOND_MS;
/// The same once all machines have a licence, which they renew every seven days.
const STEP_LICENSED_MS: u64 = 4 * HOUR_MS;

/// Largest number of requests in progress at once.
const REQUESTS_AT_ONCE: usize = 2048;

pub(super) struct Fleet {
    machines: Vec<FleetMachine>,
    /// The machines that are due, by the time of their next request.
    due: BTreeMap<u64, Vec<usize>>,
    nodes: Vec<Answers>,
    trust: Arc<Trust>,
    clock: Arc<VirtualClock>,
    runtime: Runtime,
    tally: Tally,
}

impl Fleet {
    /// A run with `count` machines that are all installed when it begins.
    pub(super) fn new(count: u32, cluster: &Cluster, clock: Arc<VirtualClock>) -> anyhow::Result<Self> {
        let trust = Arc::new(cluster.trust().clone());
        let product = ProductId::derive(trust.publisher, CLIENT_PRODUCT);
        let now = VirtualClock::moment(0);
        let install = |number| FleetMachine::install(number, trust.publisher, product, now);
        let machines = (0..count).map(install).collect::<Result<Vec<_>, _>>()?;
        let mut due = BTreeMap::<u64, Vec<usize>>::new();
        for (index, machine) in machines.iter().enumerate() {
            due.entry(machine.asks_in_ms(now)?).or_default().push(index);
        }
        let runtime = Runtime::new().context("cannot start a runtime")?;
        let tally = Tally::new(count);
        Ok(Self { machines, due, nodes: cluster.answers(), trust, clock, runtime, tally })
    }

    /// Runs for this many days of the virtual clock.
    pub(super) fn run(mut self, days: u32, progress: &ProgressBar) -> anyhow::Result<FleetReport> {
        let end_ms = u64::from(days) * DAY_MS;
        let mut next_look_ms = DAY_MS;
        while let Some((&now_ms, _)) = self.due.first_key_value() {
            while next_look_ms <= now_ms.min(end_ms) {
                self.look(next_look_ms, progress);
                next_look_ms += DAY_MS;
            }
            if now_ms >= end_ms {
                break;
            }
            self.step(now_ms)?;
        }
        Ok(self.tally.report())
    }

    /// Records how many machines are licensed at the end of a day.
    fn look(&mut self, at_ms: u64, progress: &ProgressBar) {
        let at = VirtualClock::moment(at_ms);
        let licensed = self.machines.iter().filter(|machine| machine.is_licensed(at)).count();
        self.tally.look(licensed);
        progress.inc(1);
        progress.set_message(format!("{} requests, {licensed} licensed", self.tally.requests()));
    }

    /// Sends the requests of all machines that are due, concurrently.
    fn step(&mut self, now_ms: u64) -> anyhow::Result<()> {
        self.clock.set(now_ms);
        let now = VirtualClock::moment(now_ms);
        let step_ms = if self.tally.all_are_licensed() { STEP_LICENSED_MS } else { STEP_MS };
        let later = self.due.split_off(&(now_ms + step_ms));
        let asking = std::mem::replace(&mut self.due, later);
        let mut asked = Vec::new();
        for (due_ms, index) in
            asking.into_iter().flat_map(|(due_ms, of_due)| of_due.into_iter().map(move |index| (due_ms, index)))
        {
            self.tally.request(due_ms);
            let machine = self.machines.get_mut(index).context("a machine of the fleet")?;
            // A machine keeps the host that it found first (R16).
            let node = self.nodes.get(index % self.nodes.len()).context("a node of the cluster")?;
            asked.push((index, machine.request(now), node.clone(), Arc::clone(&self.trust)));
        }
        let exchanges = stream::iter(asked).map(|(index, request, node, trust)| async move {
            tokio::spawn(async move { (index, exchange(&node, &request, &trust).await) }).await
        });
        let heard: Vec<_> = self.runtime.block_on(exchanges.buffer_unordered(REQUESTS_AT_ONCE).collect());
        for heard in heard {
            let (index, heard) = heard.context("the task of a fleet machine failed")?;
            let machine = self.machines.get_mut(index).context("a machine of the fleet")?;
            let was_licensed = machine.is_licensed(now);
            machine.hear(now, &heard);
            self.tally.heard(now_ms, heard.is_ok(), (was_licensed, machine.is_licensed(now)));
            self.due.entry(now_ms + machine.asks_in_ms(now)?.max(1)).or_default().push(index);
        }
        Ok(())
    }
}

/// Sends a request to a host as the client does, but in this process: the answer is verified like any other.
async fn exchange(node: &Answers, request: &Request, trust: &Trust) -> Result<Evidence, Status> {
    let bytes = request.encode();
    let (answer, status) = node.to(&bytes).await.map_err(|_fault| Status::HOST_UNAVAILABLE)?;
    if status != Status::OK {
        return Err(status);
    }
    let holder = (request.product, request.cmid, request.machine);
    Evidence::verify(&bytes, &answer, trust, holder).map_err(|_unproven| Status::HOST_UNAVAILABLE)
}

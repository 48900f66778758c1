//! The count as the requirements define it (R9 to R12), computed on a list.

use std::{collections::BTreeSet, fmt, time::Duration};

use activation::{
    clock::SkewReference,
    message::Record,
    settings::Setting,
    state::{Act, Batch, Command, Format, State},
};

use crate::{
    chance::{fnv, fnv_from},
    publisher::{APPLICATION, Publisher, START_MS},
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// How long a machine stays in the count (R10), in milliseconds.
const KEPT_MS: u64 = 30 * DAY_MS;
/// From the table of status codes: a client whose time differs by more than 4 hours is refused.
const SKEW_MS: u64 = 4 * 60 * 60 * 1000;
/// How much too early a machine may expire before it is a violation, because clocks differ and samples age.
const EARLY: Duration = Duration::from_secs(24 * 60 * 60);

/// The outcome of one request in a batch: the count, or `None` where it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) machine: u128,
    pub(crate) count: Option<u32>,
}

/// The parts of a state that the oracle compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    time_ms: Option<u64>,
    expiry_ms: Option<u64>,
    machines: usize,
    limit: u32,
    /// Hash over the CMIDs and the times of their last requests, in order.
    list: u64,
    /// Number of the last entry in the audit record.
    audit: u64,
    interval_minutes: u32,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time_ms, expiry_ms, machines, limit, list, audit, interval_minutes } = self;
        let mut time = time_ms.map_or_else(|| "no time".to_owned(), |time| format!("cluster time {time}"));
        if let Some(expiry_ms) = expiry_ms {
            time = format!("{time} (expiry {expiry_ms})");
        }
        write!(
            f,
            "{machines} machines (sum {list:016x}) of at most {limit}, {time}, audit {audit}, interval {interval_minutes} min"
        )
    }
}

/// The digest of a node's state.
pub(crate) fn digest_of(state: &State, publisher: &Publisher) -> Digest {
    let count = state.count(publisher.id, APPLICATION);
    let (mut machines, mut list) = (0, fnv([]));
    for (cmid, time_ms, _) in count.into_iter().flat_map(|count| count.in_order()) {
        machines += 1;
        list = fnv_from(list, cmid.0.into_iter().chain(time_ms.to_be_bytes()));
    }
    Digest {
        time_ms: state.time_ms(),
        expiry_ms: state.times().expiry_ms,
        machines,
        limit: count.map_or(0, activation::count::Count::limit),
        list,
        audit: state.audit().entries().last().map_or(0, |entry| entry.number),
        interval_minutes: state.settings().activation_interval_minutes,
    }
}

struct Machine {
    cmid: u128,
    time_ms: u64,
    /// Real time of the request.
    recorded: Duration,
    /// The machine may expire early: its request was recorded in a format in which cluster time stands still while a
    /// jump waits, or was stamped after an administrator had set cluster time far behind real time.
    may_expire_early: bool,
}

/// How many commands' outcomes are remembered.
const OUTCOMES_KEPT: usize = 4096;

/// The state as it must be, according to the requirements.
pub(super) struct Model {
    time_ms: Option<u64>,
    /// Time by which machines expire; since format 3.
    expiry_ms: Option<u64>,
    /// An administrator set cluster time back to clocks that were far behind real time. Once the clocks are right
    /// again, requests stamped meanwhile appear as old as the clocks were wrong.
    is_set_back: bool,
    /// Ids of the commands that are carried out once, the oldest first; since format 3.
    carried_out: Vec<[u8; 16]>,
    /// The counted machines, the oldest request first.
    machines: Vec<Machine>,
    limit: u32,
    has_catalog: bool,
    activated: BTreeSet<u64>,
    format: u32,
    audit: u64,
    interval_minutes: u32,
}

impl Default for Model {
    fn default() -> Self {
        let (time_ms, machines, activated) = (None, Vec::new(), BTreeSet::new());
        Self {
            time_ms,
            expiry_ms: None,
            carried_out: Vec::new(),
            is_set_back: false,
            machines,
            limit: 0,
            has_catalog: false,
            activated,
            format: 1,
            audit: 0,
            interval_minutes: 120,
        }
    }
}

/// The effects of an entry.
#[derive(Default)]
pub(super) struct AppliedToModel {
    pub(super) outcomes: Vec<Outcome>,
    /// Describes a machine that expired too early by real time.
    pub(super) early: Option<String>,
    /// Describes a stamp that is earlier than the one before.
    pub(super) stamped_back: Option<String>,
}

/// The number of an administrator's command: the interval that it sets, because each command sets another one.
pub(super) fn administrative_number(command: &Command) -> Option<u32> {
    match command {
        Command::Audited { act: Act::Command(command), .. } | Command::Once { command, .. } => {
            administrative_number(command)
        }
        Command::ChangeSettings { node: None, changes } => {
            let interval = changes.iter().find(|change| change.setting() == Setting::ActivationInterval)?;
            interval.text().parse().ok()
        }
        _ => None,
    }
}

impl Model {
    pub(super) fn activated(&self) -> &BTreeSet<u64> {
        &self.activated
    }

    /// Whether a command was carried out before, so that it must change nothing now.
    pub(super) fn was_carried_out(&self, command: &Command) -> bool {
        matches!(command, Command::Once { id, .. } if self.carried_out.contains(id))
    }

    pub(super) fn format(&self) -> u32 {
        self.format
    }

    pub(super) fn digest(&self) -> Digest {
        let list = self.machines.iter().fold(fnv([]), |list, machine| {
            fnv_from(list, machine.cmid.to_be_bytes().into_iter().chain(machine.time_ms.to_be_bytes()))
        });
        Digest {
            time_ms: self.time_ms,
            expiry_ms: self.expiry_ms,
            machines: self.machines.len(),
            limit: self.limit,
            list,
            audit: self.audit,
            interval_minutes: self.interval_minutes,
        }
    }

    pub(super) fn apply(&mut self, command: Option<&Command>, publisher: &Publisher, now: Duration) -> AppliedToModel {
        let mut applied = AppliedToModel::default();
        match command {
            Some(Command::Batch(batch)) => self.batch(batch, publisher, now, &mut applied),
            Some(Command::Once { id, .. }) if self.carried_out.contains(id) => {}
            Some(Command::Once { id, command }) => {
                self.administrative(command, now);
                if self.format >= 3 {
                    self.carried_out.push(*id);
                    let forgotten = self.carried_out.len().saturating_sub(OUTCOMES_KEPT);
                    self.carried_out.drain(..forgotten);
                }
            }
            Some(command) => self.administrative(command, now),
            None => {}
        }
        applied
    }

    fn administrative(&mut self, command: &Command, now: Duration) {
        match command {
            Command::InstallCatalog { .. } => self.has_catalog = true,
            Command::InstallActivation { signed } => self.activated.extend(activated_by(signed)),
            Command::ResetClock { time_ms } if self.time_ms.is_some_and(|now_ms| *time_ms <= now_ms) => {
                self.time_ms = Some(*time_ms);
                self.expiry_ms = self.expiry_ms.map(|expiry_ms| expiry_ms.min(*time_ms));
                self.is_set_back = is_far_behind(*time_ms, now);
                for machine in self.machines.iter_mut().filter(|machine| machine.time_ms > *time_ms) {
                    machine.time_ms = *time_ms;
                    machine.may_expire_early |= self.is_set_back;
                }
            }
            Command::SetFormat { format } => {
                self.format = format.number();
                if *format == Format::OLDEST {
                    self.audit = 0;
                }
                if self.format >= 3 {
                    self.expiry_ms = self.expiry_ms.or(self.time_ms);
                } else {
                    self.expiry_ms = None;
                    self.carried_out.clear();
                }
            }
            Command::AcceptClock { time_ms } => {
                if let (Some(now_ms), Some(expiry_ms)) = (self.time_ms, self.expiry_ms) {
                    self.expiry_ms = Some((*time_ms).max(expiry_ms).min(now_ms));
                }
            }
            Command::Audited { act, .. } => {
                if let Act::Command(command) = act {
                    self.administrative(command, now);
                }
                if self.format >= 2 {
                    self.audit += 1;
                }
            }
            command => {
                if let Some(number) = administrative_number(command) {
                    self.interval_minutes = number;
                }
            }
        }
    }

    fn batch(&mut self, batch: &Batch, publisher: &Publisher, now: Duration, applied: &mut AppliedToModel) {
        let stamp_ms = batch.stamp.time_ms;
        if let Some(before_ms) = self.time_ms.filter(|before_ms| stamp_ms < *before_ms) {
            applied.stamped_back = Some(format!("stamp {stamp_ms} after cluster time {before_ms}"));
        }
        let time_ms = stamp_ms.max(self.time_ms.unwrap_or(0));
        self.time_ms = Some(time_ms);
        self.is_set_back &= is_far_behind(time_ms, now);
        if self.format >= 3 {
            let before_ms = self.expiry_ms.unwrap_or(0);
            let to_ms = batch.stamp.expiry_ms.unwrap_or(self.expiry_ms.unwrap_or(time_ms));
            if to_ms < before_ms || to_ms > time_ms {
                applied.stamped_back = Some(format!("expiry {to_ms} after {before_ms}, at {time_ms}"));
            }
            self.expiry_ms = Some(to_ms.max(before_ms).min(time_ms));
        }
        let reference_ms = match batch.stamp.skew {
            SkewReference::ClusterTime => Some(time_ms),
            SkewReference::Other(other_ms) => Some(other_ms),
            SkewReference::LeaveOut => None,
        };
        for record in &batch.records {
            let count = self.record(record, (time_ms, reference_ms), publisher, now, applied);
            applied.outcomes.push(Outcome { machine: u128::from_be_bytes(record.cmid.0), count });
        }
    }

    fn record(
        &mut self,
        record: &Record,
        (time_ms, reference_ms): (u64, Option<u64>),
        publisher: &Publisher,
        now: Duration,
        applied: &mut AppliedToModel,
    ) -> Option<u32> {
        if !self.has_catalog || record.publisher != publisher.id || !self.activated.contains(&record.node) {
            return None;
        }
        let threshold = publisher.product(record.product)?.threshold?;
        if reference_ms.is_some_and(|reference_ms| reference_ms.abs_diff(record.client_time_ms) > SKEW_MS) {
            return None;
        }
        let cmid = u128::from_be_bytes(record.cmid.0);
        let expiry_ms = self.expiry_ms.unwrap_or(time_ms);
        self.machines.retain(|machine| {
            let stays = expiry_ms.saturating_sub(machine.time_ms) < KEPT_MS;
            let age = now.saturating_sub(machine.recorded);
            if !stays && !machine.may_expire_early && age + EARLY < Duration::from_millis(KEPT_MS) {
                let hours = age.as_secs() / 3600;
                applied.early = Some(format!("machine {:x} expired {hours} hours after its request", machine.cmid));
            }
            stays
        });
        self.limit = self.limit.max(2 * threshold);
        self.machines.retain(|machine| machine.cmid != cmid);
        let may_expire_early = self.format < 3 || self.is_set_back;
        self.machines.push(Machine { cmid, time_ms, recorded: now, may_expire_early });
        while self.machines.len() > self.limit as usize {
            self.machines.remove(0);
        }
        u32::try_from(self.machines.len()).ok()
    }
}

/// Whether `time_ms` is behind real time by more than [`EARLY`].
fn is_far_behind(time_ms: u64, now: Duration) -> bool {
    let truth = Duration::from_millis(START_MS) + now;
    Duration::from_millis(time_ms) + EARLY < truth
}

/// Numbers of the nodes that a publisher's answer activates.
fn activated_by(signed: &[u8]) -> Vec<u64> {
    let signed = activation::host_activation::SignedAnswers::decode(signed);
    signed.map(|signed| signed.answers().answers.iter().map(|answer| answer.node).collect()).unwrap_or_default()
}

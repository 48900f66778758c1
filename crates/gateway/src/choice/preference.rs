//! The preferred upstream of a group, as the leader decides it from the nodes' reports (G3).
//!
//! The decision is a value to replicate: the address. What decides is on the leader only, and is made anew by a new
//! leader; without a leader the last replicated address holds.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{
    address::HostPort,
    choice::{health::State, target::Target},
    limits::{CHANGE_INTERVAL, REPORT_LIFE, RETURN_AFTER},
};

/// What one node sees of the upstreams of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// When the report arrived, by the leader's clock. It is used for [`REPORT_LIFE`].
    pub at: Duration,
    /// State of each upstream by that node's own probes.
    pub states: BTreeMap<HostPort, State>,
}

/// What the leader knows of one group.
#[derive(Clone, Copy, Debug)]
pub struct GroupView<'a> {
    /// The upstreams of the group. Those that an administrator prefers have a manual rank.
    pub targets: &'a [Target],
    /// The replicated preference.
    pub current: Option<&'a HostPort>,
    /// The number of nodes of the cluster.
    pub nodes: usize,
    /// The last report of each node, by its number; the leader's own among them.
    pub reports: &'a BTreeMap<u64, Report>,
}

/// Why the preference changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The group had no preference.
    First,
    /// The preferred upstream is no upstream of the group any more.
    Removed,
    /// The preferred upstream is drained.
    Drained,
    /// An administrator chose another one.
    Manual,
    /// A majority of nodes reports that the preferred one fails.
    Failed,
    /// A better one was well for [`RETURN_AFTER`].
    Returned,
}

impl Reason {
    /// Name for logs and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Removed => "removed",
            Self::Drained => "drained",
            Self::Manual => "manual",
            Self::Failed => "failed",
            Self::Returned => "returned",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "the group had no preferred upstream",
            Self::Removed => "the preferred upstream was removed",
            Self::Drained => "the preferred upstream is drained",
            Self::Manual => "an administrator chose it",
            Self::Failed => "a majority of nodes reports that the preferred upstream fails",
            Self::Returned => "a better upstream was well for 60 s",
        })
    }
}

/// A new preference, to be replicated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub to: HostPort,
    pub reason: Reason,
}

/// The leader's memory for one group; make a new one when a node becomes leader.
#[derive(Clone, Debug, Default)]
pub struct Chooser {
    /// Since when each upstream is well without interruption.
    well_since: BTreeMap<HostPort, Duration>,
    /// The last change that followed from health.
    changed: Option<Duration>,
    /// The administrator's choice at the last decision; `None` before the first one.
    manual: Option<Option<HostPort>>,
}

/// How many fresh reports say what of one upstream.
#[derive(Clone, Copy, Default)]
struct Tally {
    healthy: usize,
    failing: usize,
}

impl Tally {
    fn of(address: &HostPort, view: &GroupView<'_>, now: Duration) -> Self {
        let mut tally = Self::default();
        for report in view.reports.values().filter(|report| now.saturating_sub(report.at) < REPORT_LIFE) {
            match report.states.get(address) {
                Some(State::Healthy) => tally.healthy += 1,
                Some(State::Failing) => tally.failing += 1,
                _ => {}
            }
        }
        tally
    }

    fn has_failed(self, nodes: usize) -> bool {
        self.failing > nodes / 2
    }

    /// A node reaches it, and more nodes do than do not.
    fn is_well(self) -> bool {
        self.healthy > self.failing
    }
}

impl Chooser {
    /// A new leader's memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// The new preference, where it has to change. Call it with each report and each change of settings, and at least
    /// every second; after a change, with the changed `current`.
    pub fn decide(&mut self, view: &GroupView<'_>, now: Duration) -> Option<Change> {
        self.note_well(view, now);
        let manual = view.targets.iter().find(|target| target.rank.is_manual()).map(|target| target.address.clone());
        let is_new_choice = self.manual.as_ref().is_some_and(|before| *before != manual) && manual.is_some();
        self.manual = Some(manual);

        let change = self.change(view, is_new_choice, now)?;
        if matches!(change.reason, Reason::Failed | Reason::Returned) {
            if self.changed.is_some_and(|at| now.saturating_sub(at) < CHANGE_INTERVAL) {
                return None;
            }
            self.changed = Some(now);
        }
        Some(change)
    }

    fn note_well(&mut self, view: &GroupView<'_>, now: Duration) {
        let well = view.targets.iter().filter(|target| Tally::of(&target.address, view, now).is_well());
        let well: Vec<_> = well.map(|target| &target.address).collect();
        self.well_since.retain(|address, _| well.contains(&address));
        for address in well {
            self.well_since.entry(address.clone()).or_insert(now);
        }
    }

    fn change(&self, view: &GroupView<'_>, is_new_choice: bool, now: Duration) -> Option<Change> {
        let failed = |target: &Target| Tally::of(&target.address, view, now).has_failed(view.nodes);
        let is_well = |target: &Target| self.well_since.contains_key(&target.address);
        let usable = || view.targets.iter().filter(|target| !target.is_drained && !failed(target));
        // The best of those that are well, else of all that can be used.
        let best = || usable().min_by_key(|target| (!is_well(target), target.rank, &target.address));
        let to = |target: &Target, reason| Some(Change { to: target.address.clone(), reason });

        let Some(current) = view.current else { return best().and_then(|target| to(target, Reason::First)) };
        let Some(now_preferred) = view.targets.iter().find(|target| target.address == *current) else {
            return best().and_then(|target| to(target, Reason::Removed));
        };
        if now_preferred.is_drained {
            return best().and_then(|target| to(target, Reason::Drained));
        }
        if is_new_choice && !now_preferred.rank.is_manual() {
            let chosen = usable().find(|target| target.rank.is_manual());
            if let Some(chosen) = chosen {
                return to(chosen, Reason::Manual);
            }
        }
        if failed(now_preferred) {
            return best().and_then(|target| to(target, Reason::Failed));
        }
        let was_well = |target: &Target| {
            self.well_since.get(&target.address).is_some_and(|since| now.saturating_sub(*since) >= RETURN_AFTER)
        };
        let better = usable().filter(|target| target.rank < now_preferred.rank && was_well(target));
        better.min_by_key(|target| (target.rank, &target.address)).and_then(|target| to(target, Reason::Returned))
    }
}

#[cfg(test)]
mod tests;

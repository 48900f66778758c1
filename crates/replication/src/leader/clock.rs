//! Cluster time, as the current leader stamps it.
//!
//! [`ClusterClock`] holds the rules; this module connects them with this node's clocks and its role. A node that
//! does not lead issues no stamps, so a caller that needs one retries at the leader.

use std::sync::{Arc, Mutex, MutexGuard};

use activation::{
    clock::{ClockAlarm, ClusterClock, Stamp, Times},
    state::Format,
};

use crate::{
    environment::Clock,
    planted::{Bug, Planted},
};

struct Leading {
    term: u64,
    /// A node that loses and regains leadership within one term continues from its last stamp: entries that it
    /// stamped may still be applied.
    leads_now: bool,
    cluster: ClusterClock,
    /// The last stamp that was issued. Entries with it may not be applied yet, and cluster time must not run
    /// backwards behind them.
    last: Times,
}

/// The times and the format after the last applied entry, from which the next stamp continues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppliedTimes {
    /// The term of the last applied entry.
    pub(crate) term: Option<u64>,
    pub(crate) times: Times,
    pub(crate) format: Format,
}

pub(crate) struct LeaderClock {
    own: Arc<dyn Clock>,
    planted: Planted,
    leading: Mutex<Option<Leading>>,
    order: tokio::sync::Mutex<()>,
}

impl LeaderClock {
    pub(crate) fn new(own: Arc<dyn Clock>, planted: Planted) -> Self {
        Self { own, planted, leading: Mutex::new(None), order: tokio::sync::Mutex::default() }
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        self.own.wall_ms()
    }

    pub(crate) fn is_synchronised(&self) -> bool {
        self.own.is_synchronised()
    }

    /// Records whether this node leads, and in which term; returns whether it has just become leader.
    pub(crate) fn set_role(&self, leading_term: Option<u64>, voters: &[u64]) -> bool {
        let at = self.own.monotonic();
        let mut leading = self.lock();
        match (leading_term, leading.as_mut()) {
            (None, current) => {
                if let Some(current) = current {
                    current.leads_now = false;
                }
                false
            }
            (Some(term), Some(current)) if current.term == term => {
                current.leads_now = true;
                current.cluster.set_voters(voters.iter().copied());
                false
            }
            (Some(term), _) => {
                let cluster = ClusterClock::new(voters.iter().copied(), at);
                *leading = Some(Leading { term, leads_now: true, cluster, last: Times::default() });
                true
            }
        }
    }

    /// Records one voter's clock, which was read just now.
    pub(crate) fn sample(&self, node: u64, wall_ms: u64, is_synchronised: bool) {
        let at = self.own.monotonic();
        if let Some(leading) = self.lock().as_mut().filter(|leading| leading.leads_now) {
            leading.cluster.sample(node, wall_ms, is_synchronised, at);
        }
    }

    /// A stamp for the next batch, never earlier than the applied time. `None` if this node does not lead, has not
    /// applied an entry of its term, or has no cluster time yet.
    pub(crate) fn stamp(&self, applied: impl FnOnce() -> AppliedTimes) -> Option<Stamp> {
        let at = self.own.monotonic();
        let mut leading = self.lock();
        let leading = leading.as_mut().filter(|leading| leading.leads_now)?;
        // Read under the lock: a time that was applied before a reset must not be used after it.
        let AppliedTimes { term, times, format } = applied();
        if term < Some(leading.term) && !self.planted.has(Bug::EarlyStamp) {
            return None;
        }
        let before = Times {
            time_ms: times.time_ms.max(leading.last.time_ms),
            expiry_ms: times.expiry_ms.max(leading.last.expiry_ms),
        };
        let stamp = match format.has_expiry_clock() {
            true => leading.cluster.stamp_two_clocks(before, at),
            false => leading.cluster.stamp(before.time_ms, at),
        };
        let stamp = stamp.ok()?;
        assert!(
            before.time_ms.is_none_or(|before_ms| stamp.time_ms >= before_ms),
            "cluster time never runs backwards, but {stamp:?} follows {before:?}"
        );
        leading.last = Times { time_ms: Some(stamp.time_ms), expiry_ms: stamp.expiry_ms };
        Some(stamp)
    }

    /// Whether this node leads and has not issued a stamp yet.
    pub(crate) fn waits_for_clocks(&self) -> bool {
        self.lock().as_ref().is_some_and(|leading| leading.leads_now && leading.last.time_ms.is_none())
    }

    /// The clock alarm for the administrator, if there is one and this node leads.
    pub(crate) fn alarm(&self) -> Option<ClockAlarm> {
        self.lock().as_ref().filter(|leading| leading.leads_now).and_then(|leading| leading.cluster.alarm())
    }

    /// Formats 1 and 2: accepts the jump that raised the alarm.
    pub(crate) fn accept(&self) {
        let at = self.own.monotonic();
        if let Some(leading) = self.lock().as_mut().filter(|leading| leading.leads_now) {
            leading.cluster.accept(at);
        }
    }

    /// The median of the voters' clocks, in milliseconds; `None` without samples from a majority.
    pub(crate) fn median(&self) -> Option<u64> {
        let at = self.own.monotonic();
        self.lock().as_ref().filter(|leading| leading.leads_now).and_then(|leading| leading.cluster.median(at))
    }

    /// How far the last stamp is ahead of the median of the voters' clocks, in milliseconds.
    pub(crate) fn ahead_ms(&self) -> Option<u64> {
        let at = self.own.monotonic();
        let leading = self.lock();
        let leading = leading.as_ref().filter(|leading| leading.leads_now)?;
        Some(leading.last.time_ms?.saturating_sub(leading.cluster.median(at)?))
    }

    /// The time to which cluster time must be set back automatically, without an administrator's command.
    pub(crate) fn to_reset(&self) -> Option<u64> {
        let at = self.own.monotonic();
        self.lock().as_ref().filter(|leading| leading.leads_now).and_then(|leading| leading.cluster.to_reset(at))
    }

    /// Continues from the times to which a log entry has just set the clocks. `applied` is read under the lock.
    pub(crate) fn set(&self, applied: impl FnOnce() -> AppliedTimes) {
        let at = self.own.monotonic();
        if let Some(leading) = self.lock().as_mut().filter(|leading| leading.leads_now) {
            leading.last = Times::default();
            leading.cluster.set(applied().times, at);
        }
    }

    /// Held from the moment of a stamp until its entry is in the log: an entry that was stamped before the clocks
    /// or the format were set must not follow the entry that sets them.
    pub(crate) async fn order(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.order.lock().await
    }

    fn lock(&self) -> MutexGuard<'_, Option<Leading>> {
        self.leading.lock().expect("cluster time may be partially changed after a panic: restart the node")
    }
}

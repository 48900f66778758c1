//! Cluster time, as the leader of the moment gives it out.
//!
//! The rules are [`ClusterClock`]'s; here they meet this node's clocks and leadership. A node that does not lead has no
//! clock to stamp with, so what waits for a stamp is asked again elsewhere.

use std::sync::{Arc, Mutex, MutexGuard};

use activation::clock::{ClockAlarm, ClusterClock, Stamp};

use crate::{
    environment::Clock,
    planted::{Bug, Planted},
};

struct Leading {
    term: u64,
    cluster: ClusterClock,
    /// The last stamp given out: entries under way are not applied yet, and time must not fall behind them.
    last_ms: Option<u64>,
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

    /// Takes note of who leads; returns whether this node has begun to.
    pub(crate) fn set_role(&self, leading_term: Option<u64>, voters: &[u64]) -> bool {
        let at = self.own.monotonic();
        let mut leading = self.lock();
        match (leading_term, leading.as_mut()) {
            (None, _) => {
                *leading = None;
                false
            }
            (Some(term), Some(current)) if current.term == term => {
                current.cluster.set_voters(voters.iter().copied());
                false
            }
            (Some(term), _) => {
                *leading =
                    Some(Leading { term, cluster: ClusterClock::new(voters.iter().copied(), at), last_ms: None });
                true
            }
        }
    }

    /// Takes one voter's clock, as read just now.
    pub(crate) fn sample(&self, node: u64, wall_ms: u64) {
        let at = self.own.monotonic();
        if let Some(leading) = self.lock().as_mut() {
            leading.cluster.sample(node, wall_ms, at);
        }
    }

    /// A stamp for the next batch, not before the applied one; none where this node does not lead, has not applied an entry of
    /// its term, or has no time yet. `applied` gives the term of the last entry that is applied, and its cluster time.
    pub(crate) fn stamp(&self, applied: impl FnOnce() -> (Option<u64>, Option<u64>)) -> Option<Stamp> {
        let at = self.own.monotonic();
        let mut leading = self.lock();
        let leading = leading.as_mut()?;
        // Looked at now: what was applied before a reset must not come back after it.
        let (applied_term, applied_ms) = applied();
        if applied_term < Some(leading.term) && !self.planted.has(Bug::EarlyStamp) {
            return None;
        }
        let previous_ms = applied_ms.max(leading.last_ms);
        let stamp = leading.cluster.stamp(previous_ms, at).ok()?;
        assert!(
            previous_ms.is_none_or(|previous_ms| stamp.time_ms >= previous_ms),
            "cluster time never runs backwards, but a stamp of {} ms follows {previous_ms:?} ms",
            stamp.time_ms
        );
        leading.last_ms = Some(stamp.time_ms);
        Some(stamp)
    }

    /// The jump that waits for an administrator.
    pub(crate) fn alarm(&self) -> Option<ClockAlarm> {
        self.lock().as_ref().and_then(|leading| leading.cluster.alarm())
    }

    /// Takes the jump that raised the alarm.
    pub(crate) fn accept(&self) {
        let at = self.own.monotonic();
        if let Some(leading) = self.lock().as_mut() {
            leading.cluster.accept(at);
        }
    }

    /// The median of the voters' clocks, for an administrator who sets cluster time back to it.
    pub(crate) fn median(&self) -> Option<u64> {
        let at = self.own.monotonic();
        self.lock().as_ref().and_then(|leading| leading.cluster.median(at))
    }

    /// Goes on from `time_ms`, to which the log has just set cluster time.
    pub(crate) fn reset(&self, time_ms: u64) {
        let at = self.own.monotonic();
        if let Some(leading) = self.lock().as_mut() {
            leading.last_ms = None;
            leading.cluster.reset(time_ms, at);
        }
    }

    /// Held from a stamp until its entry is in the log: an entry stamped before a reset must not follow it.
    pub(crate) async fn order(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.order.lock().await
    }

    fn lock(&self) -> MutexGuard<'_, Option<Leading>> {
        self.leading.lock().expect("cluster time is not given out after a panic that may have left it half changed")
    }
}

//! Which members answered the leader, and when.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The leader's own observation of the other members, begun anew with every term in which it leads.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    seen: Mutex<Seen>,
    /// Held during a change of the membership, so that there is one at a time.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Seen {
    term: Option<u64>,
    since: Option<Instant>,
    answered: BTreeMap<u64, Instant>,
    leaving: BTreeSet<u64>,
}

impl Presence {
    /// Notes that `node` is about to stop, and will come back.
    pub(crate) fn is_leaving(&self, node: u64) {
        self.seen().leaving.insert(node);
    }

    /// Forgets the answers of earlier terms.
    pub(crate) fn begin(&self, term: u64) {
        let mut seen = self.seen();
        if seen.term != Some(term) {
            (seen.term, seen.since) = (Some(term), Some(Instant::now()));
            seen.answered.clear();
        }
    }

    /// Notes that `node` answered just now, and whether it is about to stop.
    pub(crate) fn answered(&self, node: u64, leaving: bool) {
        let mut seen = self.seen();
        seen.answered.insert(node, Instant::now());
        if leaving {
            seen.leaving.insert(node)
        } else {
            seen.leaving.remove(&node)
        };
    }

    /// How long `node` has not answered: since its last answer, or since this node leads where there was none.
    pub(crate) fn silent_for(&self, node: u64) -> Duration {
        let seen = self.seen();
        let last = seen.answered.get(&node).copied().or(seen.since);
        last.map_or(Duration::ZERO, |last| last.elapsed())
    }

    /// Whether `node` has answered in this term.
    pub(crate) fn has_answered(&self, node: u64) -> bool {
        self.seen().answered.contains_key(&node)
    }

    /// Whether `node` said that it stops and comes back.
    pub(crate) fn has_left(&self, node: u64) -> bool {
        self.seen().leaving.contains(&node)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Observations, made again every second: after a panic the worst is one answer that was not noted.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

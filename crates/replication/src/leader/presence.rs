//! Which members answered the leader, and when.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The leader's observation of the other members, restarted with every term in which it leads.
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
    due: BTreeMap<u64, Due>,
}

/// The entries that a member should have by now.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// The last entry that the member should have.
    index: u64,
    /// When that entry was in the leader's log.
    since: Instant,
}

impl Presence {
    /// Records that `node` announced that it stops and will return.
    pub(crate) fn is_leaving(&self, node: u64) {
        self.seen().leaving.insert(node);
    }

    /// Discards the answers of earlier terms.
    pub(crate) fn begin(&self, term: u64) {
        let mut seen = self.seen();
        if seen.term != Some(term) {
            (seen.term, seen.since) = (Some(term), Some(Instant::now()));
            seen.answered.clear();
            seen.due.clear();
        }
    }

    /// Records that `node` answered just now, and whether it is about to stop.
    pub(crate) fn answered(&self, node: u64, leaving: bool) {
        let mut seen = self.seen();
        seen.answered.insert(node, Instant::now());
        if leaving {
            seen.leaving.insert(node)
        } else {
            seen.leaving.remove(&node)
        };
    }

    /// How long `node` has not answered: since its last answer, or without one since this node became leader.
    pub(crate) fn silent_for(&self, node: u64) -> Duration {
        let seen = self.seen();
        let last = seen.answered.get(&node).copied().or(seen.since);
        last.map_or(Duration::ZERO, |last| last.elapsed())
    }

    /// Whether `node` has answered in this term.
    pub(crate) fn has_answered(&self, node: u64) -> bool {
        self.seen().answered.contains_key(&node)
    }

    /// Whether `node` announced that it stops and will return.
    pub(crate) fn has_left(&self, node: u64) -> bool {
        self.seen().leaving.contains(&node)
    }

    /// Records that the log ends at `last_index`, and that `node` has all entries up to `matched`.
    pub(crate) fn has_got(&self, node: u64, matched: Option<u64>, last_index: u64) {
        let mut seen = self.seen();
        let now = Due { index: last_index, since: Instant::now() };
        let due = seen.due.entry(node).or_insert(now);
        if matched.is_some_and(|matched| matched >= due.index) {
            *due = now;
        }
    }

    /// How long `node`, which has all entries up to `matched`, has lacked an entry; a lower bound.
    pub(crate) fn lacks_for(&self, node: u64, matched: Option<u64>) -> Duration {
        let due = self.seen().due.get(&node).copied();
        let lacking = due.filter(|due| matched.is_none_or(|matched| matched < due.index));
        lacking.map_or(Duration::ZERO, |due| due.since.elapsed())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Observations that are repeated every second: after a panic, at worst one answer is missing.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_member_lags_from_the_time_an_entry_is_due_until_it_has_it() {
        let presence = Presence::default();
        let second = Duration::from_secs(1);
        presence.has_got(2, Some(5), 5);
        advance(second).await;
        assert_eq!(presence.lacks_for(2, Some(5)), Duration::ZERO, "it has all entries, at any time");
        presence.has_got(2, Some(5), 9);
        presence.has_got(2, Some(5), 10);
        advance(second).await;
        assert_eq!(presence.lacks_for(2, Some(5)), second);
        assert_eq!(presence.lacks_for(2, None), second);
        // The member lags steadily by a few entries, as in a busy cluster.
        presence.has_got(2, Some(9), 20);
        assert_eq!(presence.lacks_for(2, Some(9)), Duration::ZERO);
        presence.begin(7);
        assert_eq!(presence.lacks_for(2, None), Duration::ZERO, "nothing is known in a new term");
    }
}

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
    due: BTreeMap<u64, Due>,
}

/// What a member has to have.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// All entries up to this one,
    index: u64,
    /// which were there then.
    since: Instant,
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
            seen.due.clear();
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

    /// Notes that the log ends at `last_index`, and that `node` has all entries up to `matched`.
    pub(crate) fn has_got(&self, node: u64, matched: Option<u64>, last_index: u64) {
        let mut seen = self.seen();
        let now = Due { index: last_index, since: Instant::now() };
        let due = seen.due.entry(node).or_insert(now);
        if matched.is_some_and(|matched| matched >= due.index) {
            *due = now;
        }
    }

    /// How long `node`, which has all entries up to `matched`, has lacked an entry at least.
    pub(crate) fn lacks_for(&self, node: u64, matched: Option<u64>) -> Duration {
        let due = self.seen().due.get(&node).copied();
        let lacking = due.filter(|due| matched.is_none_or(|matched| matched < due.index));
        lacking.map_or(Duration::ZERO, |due| due.since.elapsed())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Observations, made again every second: after a panic the worst is one answer that was not noted.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_member_lacks_an_entry_from_when_it_was_due_until_it_has_it() {
        let presence = Presence::default();
        let second = Duration::from_secs(1);
        presence.has_got(2, Some(5), 5);
        advance(second).await;
        assert_eq!(presence.lacks_for(2, Some(5)), Duration::ZERO, "it has all, for however long");
        presence.has_got(2, Some(5), 9);
        presence.has_got(2, Some(5), 10);
        advance(second).await;
        assert_eq!(presence.lacks_for(2, Some(5)), second);
        assert_eq!(presence.lacks_for(2, None), second);
        // It follows at a distance, as a member of a busy cluster does.
        presence.has_got(2, Some(9), 20);
        assert_eq!(presence.lacks_for(2, Some(9)), Duration::ZERO);
        presence.begin(7);
        assert_eq!(presence.lacks_for(2, None), Duration::ZERO, "nothing is known in a new term");
    }
}

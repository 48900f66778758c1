//! The promises that nodes make in answers to each other, which they must still keep after a restart.

use std::collections::BTreeMap;

/// A vote: term and node, in the order in which a later vote replaces an earlier one.
pub(crate) type Vote = (u64, u64);

/// What one node promised.
#[derive(Clone, Copy, Debug, Default)]
struct Promised {
    /// The highest vote that the node granted.
    vote: Option<Vote>,
    /// Index of the last entry that the node has acknowledged.
    matching: u64,
}

/// The promises of all nodes.
#[derive(Debug, Default)]
pub(crate) struct Promises(BTreeMap<u64, Promised>);

impl Promises {
    /// Records that `node` granted a vote.
    pub(crate) fn granted(&mut self, node: u64, vote: Vote) {
        let promised = self.0.entry(node).or_default();
        promised.vote = promised.vote.max(Some(vote));
    }

    /// Records that `node` has acknowledged every entry up to `index`.
    pub(crate) fn matching(&mut self, node: u64, index: u64) {
        let promised = self.0.entry(node).or_default();
        promised.matching = promised.matching.max(index);
    }

    /// Records that `node` truncated its log before `index`, because a later leader has other entries there.
    pub(crate) fn truncated(&mut self, node: u64, index: u64) {
        let promised = self.0.entry(node).or_default();
        promised.matching = promised.matching.min(index.saturating_sub(1));
    }

    /// Whether a disk with this vote and log lacks something that `node` promised.
    pub(crate) fn would_break(&self, node: u64, vote: Option<Vote>, last: u64) -> bool {
        self.starts(node, vote, last).is_some()
    }

    /// Forgets the promises of `node`, because its disk was replaced.
    pub(crate) fn forget(&mut self, node: u64) {
        self.0.remove(&node);
    }

    /// Call when `node` starts with this vote, and its log or snapshot ends at `last`. Returns the broken promise, if
    /// any: its kind, what was expected, what was found.
    pub(crate) fn starts(&self, node: u64, vote: Option<Vote>, last: u64) -> Option<(&'static str, String, String)> {
        let promised = self.0.get(&node)?;
        if promised.vote > vote {
            let expected =
                format!("node {node} starts with the vote {:?} that it granted, or a later one", promised.vote);
            return Some(("vote_lost", expected, format!("{vote:?}")));
        }
        if promised.matching > last {
            let expected = format!("node {node} starts with entry {}, which it has acknowledged", promised.matching);
            return Some(("entry_lost", expected, format!("its log ends at {last}")));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_that_the_disk_does_not_keep_is_reported_and_a_truncation_releases_it() {
        let mut promises = Promises::default();
        promises.granted(1, (3, 2));
        promises.matching(1, 10);
        let kind = |promises: &Promises, vote, last| promises.starts(1, vote, last).map(|(kind, ..)| kind);
        assert_eq!(kind(&promises, Some((3, 2)), 10), None);
        assert_eq!(kind(&promises, Some((4, 1)), 12), None);
        assert_eq!(kind(&promises, Some((3, 1)), 10), Some("vote_lost"));
        assert_eq!(kind(&promises, None, 10), Some("vote_lost"));
        assert_eq!(kind(&promises, Some((3, 2)), 9), Some("entry_lost"));
        promises.truncated(1, 8);
        assert_eq!(kind(&promises, Some((3, 2)), 7), None);
        promises.forget(1);
        assert_eq!(kind(&promises, None, 0), None);
    }
}

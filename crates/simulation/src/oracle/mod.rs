//! The oracle: judges from outside whether a cluster keeps its promises, by the answers that clients received, the
//! entries that nodes applied, and what nodes promised each other.
//!
//! It is written differently from the product on purpose: it scans a list, without index or cache. It may use the
//! product's encodings, never its decisions.

mod model;
mod promises;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use activation::state::{Command, State};
use replication::AppliedEntry;

use self::model::Model;
pub(crate) use self::model::{Digest, Outcome, digest_of};
use self::promises::Promises;
use crate::{chance::fnv, publisher::Publisher};

/// Name of a kind of violation.
pub(crate) type Kind = &'static str;

/// A promise that the product broke.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) at: Duration,
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// An entry, as the first node applied it.
struct Logged {
    term: u64,
    leader: u64,
    command: u64,
    /// Digest of the state after this entry.
    digest: Digest,
    /// The outcomes that the requests of a batch must receive; empty for other entries.
    outcomes: Vec<Outcome>,
}

/// An answer by which a client knows that its request is recorded.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledgement {
    pub(crate) machine: u128,
    pub(crate) asked: Duration,
    pub(crate) answered: Duration,
    pub(crate) index: u64,
    pub(crate) offset: u32,
    pub(crate) count: u32,
}

/// The oracle of one run.
#[derive(Default)]
pub(crate) struct Oracle {
    model: Model,
    log: BTreeMap<u64, Logged>,
    acknowledged: Vec<Acknowledgement>,
    /// The highest index in any answer to a client.
    highest_acknowledged: u64,
    pub(crate) promises: Promises,
    /// State hashes, by index; only every [`HASH_EVERY`] entries.
    hashes: BTreeMap<u64, [u8; 32]>,
    /// How often the log holds each administrative command, by the command's number.
    administrative: BTreeMap<u32, u32>,
    /// Nodes whose state a fault altered; they are not compared.
    altered: BTreeSet<u64>,
    violations: Vec<Violation>,
}

/// The hash of the whole state is compared once in this many entries.
const HASH_EVERY: u64 = 64;

impl Oracle {
    pub(crate) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub(crate) fn violated(&mut self, kind: Kind, at: Duration, expected: String, found: String) {
        // Only the first violation of each kind is kept.
        if self.violations.iter().all(|violation| violation.kind != kind) {
            self.violations.push(Violation { kind, at, expected, found });
        }
    }

    /// Call when a node applied an entry. `true_time` is the real time at this moment.
    pub(crate) fn applied(
        &mut self,
        node: u64,
        entry: &AppliedEntry<'_>,
        state: &State,
        publisher: &Publisher,
        (at, true_time): (Duration, Duration),
    ) {
        let command = entry.command.map_or(0, |command| fnv(command.iter().copied()));
        if !self.log.contains_key(&entry.index) {
            self.first_applied(node, entry, command, publisher, (at, true_time));
        }
        let Some(logged) = self.log.get(&entry.index) else { return };
        let same = (logged.term, logged.leader, logged.command) == (entry.term, entry.leader, command);
        let (expected, found) = (logged.digest, digest_of(state, publisher));
        if !same {
            let expected = format!(
                "entry {} of term {} and leader {}, identical on every node",
                entry.index, logged.term, logged.leader
            );
            let found = format!("node {node} applied one of term {} and leader {}", entry.term, entry.leader);
            self.violated("log_differs", at, expected, found);
        } else if self.altered.contains(&node) {
            return;
        } else if expected != found {
            let (expected, found) =
                (format!("after entry {}: {expected}", entry.index), format!("node {node}: {found}"));
            self.violated("state_differs", at, expected, found);
        }
        if entry.index.is_multiple_of(HASH_EVERY) {
            let hash = state.hash();
            let first = *self.hashes.entry(entry.index).or_insert(hash);
            if first != hash {
                let expected = format!("one hash of the state after entry {}", entry.index);
                self.violated("hash_differs", at, expected, format!("node {node} has another one"));
            }
        }
    }

    fn first_applied(
        &mut self,
        node: u64,
        entry: &AppliedEntry<'_>,
        command: u64,
        publisher: &Publisher,
        (at, true_time): (Duration, Duration),
    ) {
        let before = self.log.last_key_value().map(|(index, logged)| (*index, logged.term, logged.leader));
        if let Some((index, term, leader)) = before
            && (entry.index != index + 1 || (entry.term, entry.leader) < (term, leader))
        {
            // This holds for a cluster of one node too: the first node that applies an entry has applied all entries
            // before it.
            let expected = format!(
                "after entry {index} of term {term} and leader {leader} the next one, not of an earlier leader"
            );
            let found =
                format!("node {node} applied entry {} of term {} and leader {}", entry.index, entry.term, entry.leader);
            self.violated("log_differs", at, expected, found);
        }
        let decoded = entry.command.and_then(|command| Command::decode(command).ok());
        let carried_out = decoded.as_ref().filter(|command| !self.model.was_carried_out(command));
        if let Some(number) = carried_out.and_then(model::administrative_number) {
            let times = self.administrative.entry(number).or_default();
            *times += 1;
            if *times > 1 {
                let expected = format!("the command that sets the interval to {number} at most once in the log");
                let found = format!("{times} times, again at entry {}", entry.index);
                self.violated("applied_twice", at, expected, found);
            }
        }
        let applied = self.model.apply(decoded.as_ref(), publisher, true_time);
        if let Some(early) = applied.early {
            self.violated(
                "expired_early",
                at,
                "a machine stays in the count for 30 days after its request".into(),
                early,
            );
        }
        if let Some(back) = applied.stamped_back {
            let expected = format!("entry {}: a stamp not before that of the entries before it", entry.index);
            self.violated("stamp_went_back", at, expected, back);
        }
        let (term, leader, digest, outcomes) = (entry.term, entry.leader, self.model.digest(), applied.outcomes);
        self.log.insert(entry.index, Logged { term, leader, command, digest, outcomes });
    }

    /// Checks the state of a node that was not reached by applying entries one by one: after a start, or at the end.
    pub(crate) fn found(&mut self, node: u64, index: u64, found: Digest, at: Duration) {
        if let Some(logged) = self.log.get(&index)
            && logged.digest != found
            && !self.altered.contains(&node)
        {
            let (expected, found) =
                (format!("after entry {index}: {}", logged.digest), format!("node {node}: {found}"));
            self.violated("state_differs", at, expected, found);
        }
    }

    /// Call when a fault alters the state of a node, or when the state has to be correct again.
    pub(crate) fn is_altered(&mut self, node: u64, is_altered: bool) {
        match is_altered {
            true => self.altered.insert(node),
            false => self.altered.remove(&node),
        };
    }

    /// Call when a client received a count.
    pub(crate) fn acknowledged(&mut self, acknowledgement: Acknowledgement) {
        self.highest_acknowledged = self.highest_acknowledged.max(acknowledgement.index);
        self.acknowledged.push(acknowledgement);
    }

    /// The format that the cluster writes.
    pub(crate) fn format(&self) -> u32 {
        self.model.format()
    }

    /// The highest index that any client has received so far.
    pub(crate) fn highest_acknowledged(&self) -> u64 {
        self.highest_acknowledged
    }

    /// Checks a read that began when `acknowledged` was the highest index that any client had received, and that
    /// returned the read point `index`.
    pub(crate) fn read(&mut self, node: u64, acknowledged: u64, index: u64, at: Duration) {
        if index < acknowledged {
            let expected =
                format!("a read point at entry {acknowledged} or later, which was acknowledged to a client before");
            self.violated("stale_read", at, expected, format!("node {node} gave {index}"));
        }
    }

    /// Index of the last entry that any node applied.
    pub(crate) fn last_applied(&self) -> u64 {
        self.log.last_key_value().map_or(0, |(index, _)| *index)
    }

    pub(crate) fn acknowledgements(&self) -> usize {
        self.acknowledged.len()
    }

    /// Checks at the end of a run that the log holds each acknowledged request at the index and with the count of its
    /// answer, in the order of real time.
    pub(crate) fn check_end(&mut self, at: Duration) {
        let acknowledged = std::mem::take(&mut self.acknowledged);
        for told in &acknowledged {
            let place = usize::try_from(told.offset).unwrap_or(usize::MAX);
            let found = self.log.get(&told.index).and_then(|logged| logged.outcomes.get(place));
            let expected = Outcome { machine: told.machine, count: Some(told.count) };
            if found.is_none_or(|found| found.machine != told.machine) {
                let expected = format!(
                    "machine {:x} in entry {} at {}, as the response said",
                    told.machine, told.index, told.offset
                );
                self.violated("acknowledged_lost", at, expected, format!("{found:?}"));
            } else if found != Some(&expected) {
                let found = found.map_or_else(String::new, |found| format!("{:?}", found.count));
                let expected = format!("count {found} for entry {} at {}", told.index, told.offset);
                self.violated(
                    "wrong_count",
                    at,
                    expected,
                    format!("machine {:x} received {}", told.machine, told.count),
                );
            }
        }
        self.check_order(&acknowledged, at);
        self.acknowledged = acknowledged;
    }

    fn check_order(&mut self, acknowledged: &[Acknowledgement], at: Duration) {
        let mut answered: Vec<_> = acknowledged.iter().collect();
        answered.sort_by_key(|told| told.answered);
        let mut asked = answered.clone();
        asked.sort_by_key(|told| told.asked);
        let (mut earlier, mut highest) = (answered.iter().peekable(), (0, 0));
        for told in asked {
            while let Some(before) = earlier.next_if(|before| before.answered < told.asked) {
                highest = highest.max((before.index, before.offset));
            }
            if (told.index, told.offset) <= highest {
                let expected =
                    format!("a log position after {highest:?}, which was answered before this request was sent");
                let found = format!("machine {:x} received {:?}", told.machine, (told.index, told.offset));
                self.violated("order", at, expected, found);
            }
        }
    }

    /// Nodes that a publisher has activated.
    pub(crate) fn activated(&self) -> &BTreeSet<u64> {
        self.model.activated()
    }
}

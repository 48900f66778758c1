//! This node's state hashes, for comparison: at the indices where the leader logs one, and where a command requested
//! one.

use std::collections::BTreeMap;

use crate::limits::{STATE_HASH_INTERVAL_ENTRIES, STATE_HASHES_KEPT};

/// The newest hashes by log index, at most [`STATE_HASHES_KEPT`] of each kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Hashes {
    last_index: Option<u64>,
    taken: BTreeMap<u64, [u8; 32]>,
    /// Hashes that a command requested.
    noted: BTreeMap<u64, [u8; 32]>,
}

impl Hashes {
    /// The index at which the present state must be hashed before the entry at `next_index` is applied; `None` where
    /// there is none. Not every entry of the log is a command: if the entry at the boundary was not one, the state
    /// after it is still the present state.
    pub(super) fn missed_before(&self, next_index: u64) -> Option<u64> {
        let boundary = next_index.saturating_sub(1) / STATE_HASH_INTERVAL_ENTRIES * STATE_HASH_INTERVAL_ENTRIES;
        let reached = self.last_index.is_some_and(|last| last < boundary);
        reached.then_some(boundary)
    }

    pub(super) fn is_due_at(index: u64) -> bool {
        index > 0 && index.is_multiple_of(STATE_HASH_INTERVAL_ENTRIES)
    }

    pub(super) fn applied(&mut self, index: u64) {
        self.last_index = Some(index);
    }

    pub(super) fn keep(&mut self, index: u64, hash: [u8; 32]) {
        insert(&mut self.taken, index, hash);
    }

    pub(super) fn note(&mut self, index: u64, hash: [u8; 32]) {
        insert(&mut self.noted, index, hash);
    }

    pub(super) fn at(&self, index: u64) -> Option<[u8; 32]> {
        self.taken.get(&index).or_else(|| self.noted.get(&index)).copied()
    }

    pub(super) fn newest_noted(&self) -> Option<u64> {
        self.noted.last_key_value().map(|(index, _)| *index)
    }

    pub(super) fn newest(&self) -> Option<(u64, [u8; 32])> {
        self.taken.last_key_value().map(|(index, hash)| (*index, *hash))
    }
}

fn insert(hashes: &mut BTreeMap<u64, [u8; 32]>, index: u64, hash: [u8; 32]) {
    hashes.insert(index, hash);
    while hashes.len() > STATE_HASHES_KEPT {
        hashes.pop_first();
    }
}

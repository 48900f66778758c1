//! Whether a majority has confirmed the leader recently. A node needs this before it reports that it is ready.
//!
//! A node that lost its network still names the leader that it last heard from. Therefore each node requests a read
//! point from the current leader once a second (ReadIndex), and records when it last got one.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::limits::CONFIRMED_WITHIN;

/// When a majority last confirmed the leader, and the committed index at that time.
#[derive(Debug, Default)]
pub(crate) struct Confirmation(Mutex<Option<(Instant, u64)>>);

impl Confirmation {
    /// Records that a majority confirmed the leader just now, with the last committed entry at `log_index`.
    pub(crate) fn confirmed(&self, log_index: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), log_index));
    }

    /// Index of the last entry known to be committed when a majority last confirmed the leader; 0 before the first
    /// time.
    pub(crate) fn log_index(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map_or(0, |(_, log_index)| log_index)
    }

    /// Whether a majority confirmed the leader within [`CONFIRMED_WITHIN`].
    pub(crate) fn is_fresh(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|(last, _)| last.elapsed() < CONFIRMED_WITHIN)
    }
}

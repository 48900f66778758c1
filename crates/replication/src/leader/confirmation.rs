//! Whether a majority confirmed the leader lately: what a node must know before it says that it can answer.
//!
//! A node that was cut off goes on naming the leader that it last heard of. So each node asks for a read point once a
//! second (ReadIndex, from whichever node leads) and remembers when it last got one.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::limits::CONFIRMED_WITHIN;

/// When a majority last confirmed the leader, and where the log stood then.
#[derive(Debug, Default)]
pub(crate) struct Confirmation(Mutex<Option<(Instant, u64)>>);

impl Confirmation {
    /// A majority confirmed the leader just now; the last committed entry was the one at `log_index`.
    pub(crate) fn confirmed(&self, log_index: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), log_index));
    }

    /// The last entry that was known to be committed when a majority last confirmed the leader; 0 before.
    pub(crate) fn log_index(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map_or(0, |(_, log_index)| log_index)
    }

    /// Whether that was within [`CONFIRMED_WITHIN`].
    pub(crate) fn is_fresh(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|(last, _)| last.elapsed() < CONFIRMED_WITHIN)
    }
}

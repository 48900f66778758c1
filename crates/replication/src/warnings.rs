//! Lines of the log that are repeated while their cause lasts, and not more often than people can read.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::limits::WARNING_PAUSE;

/// When a line was written last.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<Option<Instant>>);

impl Warnings {
    /// Whether the line is to be written now; then it is not due again for [`WARNING_PAUSE`].
    pub(crate) fn is_due(&self) -> bool {
        // One value, set whole.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= WARNING_PAUSE);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

//! Limits how often a log line is repeated while its cause lasts.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;

use crate::limits::{WARNING_PAUSE, WARNING_REASONS_MAX};

/// When a log line was last written.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<Option<Instant>>);

impl Warnings {
    /// Whether the line may be written now. If so, it may not be written again for [`WARNING_PAUSE`].
    pub(crate) fn is_due(&self) -> bool {
        // The mutex guards one value, which is replaced as a whole: it is consistent after a panic.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= WARNING_PAUSE);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

/// Limits log lines whose reason comes from other nodes: each reason is written once, and then not again for
/// [`WARNING_PAUSE`].
#[derive(Debug, Default)]
pub(crate) struct WarningsByReason(Mutex<BTreeMap<String, Repeated>>);

#[derive(Debug)]
struct Repeated {
    written: Instant,
    left_out: u64,
}

impl WarningsByReason {
    /// If a line with this reason may be written now: how many lines with this reason were suppressed before it.
    pub(crate) fn due(&self, reason: &str) -> Option<u64> {
        // A map of counters, each changed alone: it is consistent after a panic.
        let mut reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(repeated) = reasons.get_mut(reason) {
            if repeated.written.elapsed() < WARNING_PAUSE {
                repeated.left_out += 1;
                return None;
            }
            let left_out = std::mem::take(&mut repeated.left_out);
            repeated.written = Instant::now();
            return Some(left_out);
        }
        if reasons.len() >= WARNING_REASONS_MAX {
            reasons.retain(|_, repeated| repeated.written.elapsed() < WARNING_PAUSE);
        }
        let has_room = reasons.len() < WARNING_REASONS_MAX;
        has_room.then(|| {
            reasons.insert(reason.to_owned(), Repeated { written: Instant::now(), left_out: 0 });
            0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reason_is_logged_once_then_rarely_with_the_number_of_suppressed_lines_and_hides_no_other() {
        let warnings = WarningsByReason::default();
        let due: Vec<_> = (0..100).filter_map(|_| warnings.due("another store")).collect();
        assert_eq!((due, warnings.due("names nothing")), (vec![0], Some(0)));
        tokio::time::advance(WARNING_PAUSE).await;
        assert_eq!((warnings.due("another store"), warnings.due("another store")), (Some(99), None));
    }

    #[tokio::test(start_paused = true)]
    async fn any_number_of_reasons_is_logged_and_stored_within_a_bound() {
        let warnings = WarningsByReason::default();
        let written = (0..10_000).filter(|number| warnings.due(&number.to_string()).is_some()).count();
        assert_eq!(written, WARNING_REASONS_MAX);
        tokio::time::advance(WARNING_PAUSE).await;
        assert_eq!(warnings.due("one more"), Some(0));
    }
}

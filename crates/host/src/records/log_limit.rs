//! Limits the log lines of each kind per second, so that a program that causes log lines cannot fill the node's
//! disk.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Filter};

use crate::{
    limits::{LOG_LINES_MAX, LOG_LINES_PER_SOURCE_MAX, LOG_WINDOW},
    records::{log_queue::lines_dropped, source_quota::SourceQuota},
};

/// One counter per process: a process has one log, however many nodes it runs.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Number of lines that were left out since the process began.
#[must_use]
pub fn lines_left_out() -> u64 {
    LEFT_OUT.load(Ordering::Relaxed)
}

/// The field that marks a line about a client's request: the address that the request came from.
const CLIENT_ADDRESS: &str = "client_address";

/// A filter that passes at most [`LOG_LINES_MAX`] lines of a kind in [`LOG_WINDOW`]. Two lines are of a kind where
/// the same place in the code logs them. Of a kind about requests, at most [`LOG_LINES_PER_SOURCE_MAX`] lines of one
/// source pass, and lines that are left out for this reason do not use up the other sources' share. The program that
/// sets up the log puts this filter in front of its writer.
#[derive(Debug, Default)]
pub struct LogLimit {
    /// Windows by file and line of the log statement; their number is limited by the statements in the code.
    said: Mutex<BTreeMap<(&'static str, u32), Window>>,
    /// Quotas by file and line of the log statement, for lines about requests.
    of_sources: Mutex<BTreeMap<(&'static str, u32), SourceQuota>>,
}

/// Reads the client address of a line.
#[derive(Default)]
struct ClientAddress(Option<IpAddr>);

impl ClientAddress {
    fn of(event: &Event<'_>) -> Option<IpAddr> {
        event.metadata().fields().field(CLIENT_ADDRESS)?;
        let mut address = Self::default();
        event.record(&mut address);
        address.0
    }
}

impl Visit for ClientAddress {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == CLIENT_ADDRESS {
            self.0 = format!("{value:?}").parse().ok();
        }
    }
}

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: u32,
}

impl LogLimit {
    fn admits_source(&self, place: (&'static str, u32), client: IpAddr, now: Instant) -> bool {
        let mut of_sources = self.of_sources.lock().unwrap_or_else(PoisonError::into_inner);
        let quota = of_sources.entry(place).or_insert_with(|| SourceQuota::every(LOG_WINDOW));
        quota.admits(client, LOG_LINES_PER_SOURCE_MAX, now)
    }

    fn admits(&self, place: (&'static str, u32), now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let window = said.entry(place).or_insert(Window { began: now, lines: 0 });
        if now.duration_since(window.began) >= LOG_WINDOW {
            *window = Window { began: now, lines: 0 };
        }
        window.lines = window.lines.saturating_add(1);
        window.lines <= LOG_LINES_MAX
    }
}

impl<S: Subscriber> Filter<S> for LogLimit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let place = (metadata.file().unwrap_or(metadata.target()), metadata.line().unwrap_or(0));
        let now = Instant::now();
        let has_part = |client| self.admits_source(place, client, now);
        let admits = ClientAddress::of(event).is_none_or(has_part) && self.admits(place, now);
        if !admits {
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        }
        admits
    }
}

/// Periodically logs how many lines were left out, and how many were dropped because the log was not read, if there
/// were any.
pub(crate) async fn report() {
    let mut told = lines_left_out();
    let mut told_of_dropped = lines_dropped();
    loop {
        sleep(REPORT_INTERVAL).await;
        let dropped = lines_dropped();
        if dropped > told_of_dropped {
            let lines = dropped - told_of_dropped;
            tracing::warn!(
                lines,
                "lines are missing in this log: its reader was too slow or had stopped, or its disk was full"
            );
            // Where the queue is still full, this line is dropped, too.
            told_of_dropped = lines_dropped();
        }
        let left_out = lines_left_out();
        if left_out > told {
            tracing::warn!(
                lines = left_out - told,
                "lines were suppressed in this log: too many of a kind in a second"
            );
            told = left_out;
        }
    }
}

/// How often left-out and dropped lines are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicU32};

    use tracing_subscriber::{Layer, Registry, layer::SubscriberExt};

    use super::*;

    #[test]
    fn a_flood_of_one_kind_is_limited_and_other_kinds_are_not() {
        let limit = LogLimit::default();
        let start = Instant::now();
        let passed = |place, at| (0..10 * LOG_LINES_MAX).filter(|_| limit.admits(place, at)).count();
        let most = LOG_LINES_MAX as usize;
        assert_eq!(passed(("a.rs", 1), start), most);
        assert_eq!(passed(("a.rs", 1), start + LOG_WINDOW / 2), 0);
        assert_eq!(passed(("a.rs", 2), start + LOG_WINDOW / 2), most);
        assert_eq!(passed(("a.rs", 1), start + LOG_WINDOW), most);
    }

    #[derive(Clone, Default)]
    struct Counting(Arc<AtomicU32>);

    impl<S: Subscriber> Layer<S> for Counting {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_flood_of_one_source_does_not_suppress_the_lines_of_others() {
        let counting = Counting::default();
        let log = Registry::default().with(counting.clone().with_filter(LogLimit::default()));
        let said = |from: IpAddr, lines: u32| {
            let before = counting.0.load(Ordering::Relaxed);
            for _ in 0..lines {
                tracing::info!(client_address = %from, "a request");
            }
            counting.0.load(Ordering::Relaxed) - before
        };
        tracing::subscriber::with_default(log, || {
            let flood = said([192, 0, 2, 1].into(), 3 * LOG_LINES_MAX);
            assert!((LOG_LINES_PER_SOURCE_MAX..3 * LOG_LINES_MAX).contains(&flood), "{flood}");
            assert_eq!(said([192, 0, 2, 2].into(), LOG_LINES_PER_SOURCE_MAX), LOG_LINES_PER_SOURCE_MAX);
        });
    }

    #[test]
    fn suppressed_log_lines_are_counted() {
        let counting = Counting::default();
        let log = Registry::default().with(counting.clone().with_filter(LogLimit::default()));
        let before = lines_left_out();
        tracing::subscriber::with_default(log, || {
            for number in 0..3 * LOG_LINES_MAX {
                tracing::info!(number, "a flood");
            }
        });
        let passed = counting.0.load(Ordering::Relaxed);
        // A second may have ended in the meantime.
        assert!((LOG_LINES_MAX..3 * LOG_LINES_MAX).contains(&passed), "{passed}");
        assert!(lines_left_out() - before >= u64::from(3 * LOG_LINES_MAX - passed));
    }
}

//! What a daemon says while it runs: lines on standard error, or entries of the journal where that is what reads them.

use std::io::{self, IsTerminal};

use host::LogLimit;
use tracing_subscriber::{EnvFilter, Layer, filter::LevelFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

/// Who reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogReader {
    /// Somebody who reads standard error.
    Person,
    /// What takes lines apart, or keeps their fields.
    Machine,
}

/// Starts logging. `QUORATE_LOG` chooses what is said, as in `debug` or `info,host=debug`.
pub(crate) fn start(format: LogFormat, default: LevelFilter) -> LogReader {
    // openraft narrates its own work at the level of our news, and warns of every heartbeat that a dead peer misses.
    let library = format!("openraft={}", default.min(LevelFilter::ERROR)).parse();
    let filter = EnvFilter::builder().with_default_directive(default.into()).with_env_var("QUORATE_LOG");
    let filter = match (std::env::var_os("QUORATE_LOG"), library) {
        (None, Ok(library)) => filter.from_env_lossy().add_directive(library),
        _ => filter.from_env_lossy(),
    };
    let journal = (format == LogFormat::Text && is_journal()).then(tracing_journald::layer).and_then(Result::ok);
    let lines = || {
        tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            // A line that cannot be written would be complained of on the same standard error, with a panic in whatever
            // thread had something to say: a log on a full disk must not take the store's threads with it.
            .log_internal_errors(false)
    };
    let (log, reader) = match (journal, format) {
        (Some(journal), _) => (journal.boxed(), LogReader::Machine),
        (None, LogFormat::Text) => (lines().boxed(), LogReader::Person),
        (None, LogFormat::Json) => (lines().json().boxed(), LogReader::Machine),
    };
    let log = tracing_subscriber::registry().with(log.with_filter(LogLimit::default())).with(filter);
    // A second start (the demo's nodes share one process) changes nothing.
    let _already_started = log.try_init();
    reader
}

/// Whether standard error is the journal's (systemd.exec(5), `JOURNAL_STREAM`): then lines go there with their fields.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stderr()).is_ok_and(|file| stream == format!("{}:{}", file.st_dev, file.st_ino))
}

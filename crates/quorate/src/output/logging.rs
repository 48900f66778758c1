//! What a daemon says while it runs: lines on standard error, or entries of the journal where that is what reads them.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use host::LogLimit;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

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

/// The file for what administrators do (`audit.file`). Cheap to clone.
#[derive(Clone)]
pub(crate) struct AuditFile {
    path: PathBuf,
    open: Arc<Mutex<File>>,
}

impl AuditFile {
    /// Opens it, for this account alone where it is made.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), open: Arc::new(Mutex::new(appended(path)?)) })
    }

    /// Opens what is at its path now: what kept the lines may have moved the file away.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let file = appended(&self.path)?;
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }
}

fn appended(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

impl<'a> MakeWriter<'a> for AuditFile {
    type Writer = Appending<'a>;

    fn make_writer(&'a self) -> Appending<'a> {
        Appending(self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One line on its way.
pub(crate) struct Appending<'a>(MutexGuard<'a, File>);

impl io::Write for Appending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Starts logging. `QUORATE_LOG` chooses what is said, as in `debug` or `info,host=debug`.
pub(crate) fn start(format: LogFormat, default: LevelFilter) -> LogReader {
    start_with_audit(format, default, None)
}

/// The same; what administrators do goes to the file, too, whatever `QUORATE_LOG` says.
pub(crate) fn start_with_audit(format: LogFormat, default: LevelFilter, audit: Option<AuditFile>) -> LogReader {
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
    let audit = audit.map(|file| {
        let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
        let lines = lines.with_span_list(false).with_writer(file).log_internal_errors(false);
        lines.with_filter(filter_fn(|metadata| metadata.target() == host::AUDIT_TARGET))
    });
    let log = log.with_filter(LogLimit::default()).with_filter(filter);
    let log = tracing_subscriber::registry().with(log).with(audit);
    // A second start (the demo's nodes share one process) changes nothing.
    let _already_started = log.try_init();
    reader
}

/// Whether standard error is the journal's (systemd.exec(5), `JOURNAL_STREAM`): then lines go there with their fields.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stderr()).is_ok_and(|file| stream == format!("{}:{}", file.st_dev, file.st_ino))
}

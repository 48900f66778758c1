//! The log of a daemon: lines on standard error, or journal entries where standard error is connected to the journal.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use host::{LogLevel, LogLimit, LogQueue};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{LevelFilter, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

use super::journal::{Journal, JournalSocket};

/// The format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Text, for people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// What reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogReader {
    /// A person who reads standard error.
    Person,
    /// A program that parses the lines, or the journal, which keeps their fields.
    Machine,
}

/// The file with the record of what administrators do (`audit.file`). Cheap to clone.
#[derive(Clone)]
pub(crate) struct AuditFile {
    path: PathBuf,
    open: Arc<Mutex<File>>,
}

impl AuditFile {
    /// Opens the file for appending; a new file is readable for this account alone.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), open: Arc::new(Mutex::new(appended(path)?)) })
    }

    /// Opens the path again, because log rotation may have moved the file away.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let file = appended(&self.path)?;
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }
}

/// Opens a file for appending. A pipe or socket is refused, because it would block the node once its reader stopped.
fn appended(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo() || found.file_type().is_socket()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe or a socket: give a regular file"));
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

impl<'a> MakeWriter<'a> for AuditFile {
    type Writer = Appending<'a>;

    fn make_writer(&'a self) -> Appending<'a> {
        Appending(self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The locked file, while one line is written.
pub(crate) struct Appending<'a>(MutexGuard<'a, File>);

impl io::Write for Appending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Environment variables with the log level, used where no flag and no configuration sets it: the first one that is
/// set.
const VARIABLES: [&str; 2] = ["QUORATE_LOG", "RUST_LOG"];
/// The filter that SIGUSR1 switches on: debug without the libraries.
const VERBOSE: &str = "debug,openraft=info,h2=info,hyper=info,hyper_util=info,rustls=info,tower=info,tonic=info";

/// Starts logging at `level`, else as the variables say, else at `default`.
pub(crate) fn start(format: LogFormat, level: Option<LogLevel>, default: LevelFilter) -> Log {
    start_with_audit(format, level, default, None)
}

/// Starts logging like [`start`]; the actions of administrators also go to the file, whatever the log level.
pub(crate) fn start_with_audit(
    format: LogFormat,
    level: Option<LogLevel>,
    default: LevelFilter,
    audit: Option<AuditFile>,
) -> Log {
    let said = Said { level, default, is_verbose: false, stops: false };
    let (filter, handle) = reload::Layer::new(said.filter());
    let is_journal = format == LogFormat::Text && is_journal();
    let journal = if is_journal { JournalSocket::open().ok() } else { None };
    let reader = if journal.is_some() || format == LogFormat::Json { LogReader::Machine } else { LogReader::Person };
    let log = match journal {
        Some(socket) => LogQueue::start(socket).map(|queue| Journal::new(queue).boxed()),
        None => LogQueue::start(io::stderr()).map(|queue| lines(queue, format)),
    };
    // Without a thread for it there is no log. A process that cannot start a thread also has other failures, which it
    // reports.
    let log = log.ok().map(|log| log.with_filter(LogLimit::default()).with_filter(filter));
    let audit = audit.map(|file| {
        let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
        let lines = lines.with_span_list(false).with_writer(file).log_internal_errors(false);
        lines.with_filter(filter_fn(|metadata| metadata.target() == host::AUDIT_TARGET))
    });
    let log = tracing_subscriber::registry().with(log).with(audit);
    // A second start changes nothing: the demo's nodes share one process.
    let _already_started = log.try_init();
    Log { reader, said: Mutex::new(said), handle }
}

/// The layer that writes lines of text or JSON.
fn lines(queue: LogQueue, format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(move || queue.clone())
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false);
    if format == LogFormat::Json { lines.json().boxed() } else { lines.boxed() }
}

/// The current log level and where it comes from.
#[derive(Clone, Debug)]
struct Said {
    /// The level from the flag or the configuration.
    level: Option<LogLevel>,
    default: LevelFilter,
    /// Whether SIGUSR1 has switched debug on.
    is_verbose: bool,
    /// Whether the process is stopping as requested.
    stops: bool,
}

impl Said {
    fn text(&self) -> String {
        let variable = |name: &&str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
        let given = self.level.as_ref().map(ToString::to_string).or_else(|| VARIABLES.iter().find_map(variable));
        let given = given.unwrap_or_else(|| self.default.to_string());
        if self.is_verbose {
            return format!(
                "{VERBOSE},{}",
                given.split(',').filter(|part| part.contains('=')).collect::<Vec<_>>().join(",")
            );
        }
        given
    }

    fn filter(&self) -> EnvFilter {
        let mut text = self.text();
        // openraft logs its normal work at level info, warns of every heartbeat that a dead peer misses, and logs an
        // error when it is shut down.
        if !text.contains("openraft") && !text.trim_start().to_ascii_lowercase().starts_with("off") {
            text.push_str(if self.stops { ",openraft=off" } else { ",openraft=error" });
        }
        EnvFilter::builder().with_default_directive(self.default.into()).parse_lossy(text)
    }
}

/// The log of this process.
pub(crate) struct Log {
    /// What reads the log.
    pub(crate) reader: LogReader,
    said: Mutex<Said>,
    handle: reload::Handle<EnvFilter, Registry>,
}

impl Log {
    fn change(&self, change: impl FnOnce(&mut Said)) -> String {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut said);
        // The reload fails where another log was started first; then nothing changes.
        let _another_s = self.handle.reload(said.filter());
        said.text()
    }

    /// Sets the level: `level`, else as the variables say. Debug that SIGUSR1 switched on ends.
    pub(crate) fn set_level(&self, level: Option<LogLevel>) {
        self.change(|said| (said.level, said.is_verbose) = (level, false));
    }

    /// Call when the process stops as requested: openraft's messages about the shutdown are not logged.
    pub(crate) fn stops(&self) {
        self.change(|said| said.stops = true);
    }

    /// Switches debug lines on and off, at each SIGUSR1. Runs without end.
    ///
    /// # Errors
    /// Fails where the signal cannot be waited for.
    pub(crate) async fn follow_signal(&self) -> io::Result<()> {
        let mut toggle = signal(SignalKind::user_defined1())?;
        while toggle.recv().await.is_some() {
            let level = self.change(|said| said.is_verbose = !said.is_verbose);
            tracing::warn!(level, "SIGUSR1: the log level was changed");
        }
        Ok(())
    }
}

/// Whether standard error is connected to the journal (systemd.exec(5), `JOURNAL_STREAM`). Then entries are sent with
/// their fields.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stderr()).is_ok_and(|file| stream == format!("{}:{}", file.st_dev, file.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openraft_is_quiet_unless_it_is_named() {
        let said = |level: &str| Said {
            level: level.parse().ok(),
            default: LevelFilter::INFO,
            is_verbose: false,
            stops: false,
        };
        let filter = |said: &Said| said.filter().to_string();
        assert!(filter(&said("debug")).contains("openraft=error"));
        assert!(filter(&said("debug,openraft=trace")).contains("openraft=trace"));
        assert!(!filter(&said("off")).contains("openraft"));
        assert!(filter(&Said { stops: true, ..said("info") }).contains("openraft=off"));
        let verbose = filter(&Said { is_verbose: true, ..said("info,host::dns=trace") });
        assert!(verbose.contains("debug") && verbose.contains("host::dns=trace"), "{verbose}");
    }
}

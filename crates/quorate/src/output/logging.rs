//! What a daemon says while it runs: lines on standard error, or entries of the journal where that is what reads them.

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

/// A pipe would hold the node once its reader stopped.
fn appended(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo() || found.file_type().is_socket()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe or a socket: give a file"));
    }
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

/// Which variables say what is logged, where no flag and no configuration does: the first that is set.
const VARIABLES: [&str; 2] = ["QUORATE_LOG", "RUST_LOG"];
/// What SIGUSR1 adds, without the libraries below.
const VERBOSE: &str = "debug,openraft=info,h2=info,hyper=info,hyper_util=info,rustls=info,tower=info,tonic=info";

/// Starts logging at `level`, or as the variables say, or at `default`.
pub(crate) fn start(format: LogFormat, level: Option<LogLevel>, default: LevelFilter) -> Log {
    start_with_audit(format, level, default, None)
}

/// The same; what administrators do goes to the file, too, whatever else is logged.
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
    // Without a thread for it there is no log: a process that cannot start one has other troubles, and says so.
    let log = log.ok().map(|log| log.with_filter(LogLimit::default()).with_filter(filter));
    let audit = audit.map(|file| {
        let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
        let lines = lines.with_span_list(false).with_writer(file).log_internal_errors(false);
        lines.with_filter(filter_fn(|metadata| metadata.target() == host::AUDIT_TARGET))
    });
    let log = tracing_subscriber::registry().with(log).with(audit);
    // A second start (the demo's nodes share one process) changes nothing.
    let _already_started = log.try_init();
    Log { reader, said: Mutex::new(said), handle }
}

/// Lines for people, or objects for machines.
fn lines(queue: LogQueue, format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(move || queue.clone())
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false);
    if format == LogFormat::Json { lines.json().boxed() } else { lines.boxed() }
}

/// What is logged, and why.
#[derive(Clone, Debug)]
struct Said {
    /// As the flag or the configuration says.
    level: Option<LogLevel>,
    default: LevelFilter,
    /// SIGUSR1 asked for more.
    is_verbose: bool,
    /// The process stops as it was told to.
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
        // openraft narrates its own work at the level of our news, warns of every heartbeat that a dead peer misses, and
        // calls it an error that it was told to stop.
        if !text.contains("openraft") && !text.trim_start().to_ascii_lowercase().starts_with("off") {
            text.push_str(if self.stops { ",openraft=off" } else { ",openraft=error" });
        }
        EnvFilter::builder().with_default_directive(self.default.into()).parse_lossy(text)
    }
}

/// The log of this process.
pub(crate) struct Log {
    /// What reads it.
    pub(crate) reader: LogReader,
    said: Mutex<Said>,
    handle: reload::Handle<EnvFilter, Registry>,
}

impl Log {
    fn change(&self, change: impl FnOnce(&mut Said)) -> String {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut said);
        // Where another log was there first, this one changes nothing.
        let _another_s = self.handle.reload(said.filter());
        said.text()
    }

    /// From now on at `level`, or as the variables say; what SIGUSR1 added ends.
    pub(crate) fn set_level(&self, level: Option<LogLevel>) {
        self.change(|said| (said.level, said.is_verbose) = (level, false));
    }

    /// The process stops as it was told to: what openraft says of that is not logged.
    pub(crate) fn stops(&self) {
        self.change(|said| said.stops = true);
    }

    /// At each SIGUSR1 lines of the level `debug`, or no longer. For ever.
    ///
    /// # Errors
    /// Where the signal cannot be waited for.
    pub(crate) async fn follow_signal(&self) -> io::Result<()> {
        let mut toggle = signal(SignalKind::user_defined1())?;
        while toggle.recv().await.is_some() {
            let level = self.change(|said| said.is_verbose = !said.is_verbose);
            tracing::warn!(level, "SIGUSR1: the log level was changed");
        }
        Ok(())
    }
}

/// Whether standard error is the journal's (systemd.exec(5), `JOURNAL_STREAM`): then lines go there with their fields.
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

//! The output of a command: JSON for programs, text and tables for people, errors with their causes.

pub(crate) mod catalog_text;
pub(crate) mod confirm;
mod journal;
pub(crate) mod logging;
pub(crate) mod new_file;
pub(crate) mod phone_text;

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
    sync::{OnceLock, mpsc::sync_channel},
    thread::Builder,
    time::Duration,
};

use comfy_table::{ContentArrangement, Table, presets};
use host::limits::LAST_LINE_TIMEOUT;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Map, Value};

/// Options that every command has.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Print one JSON object on standard output instead of text.
    #[arg(long, global = true)]
    json: bool,
}

/// Prints in the format that the command line asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

/// The exit codes that all commands share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The request was refused, or it failed.
    Refused = 1,
    /// A mistake in the command line or in the configuration.
    Usage = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The error with which a command failed, and its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    error: anyhow::Error,
    exit: Exit,
    /// Fields that stand beside `error` in JSON output.
    details: Map<String, Value>,
}

impl Failure {
    /// A mistake in the command line or in the configuration.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { error: error.into(), exit: Exit::Usage, details: Map::new() }
    }

    /// The error with its causes, in one line.
    pub(crate) fn reason(&self) -> String {
        format!("{:#}", self.error)
    }

    /// Adds fields that stand beside the error in JSON output.
    pub(crate) fn with_details(mut self, details: Value) -> Self {
        if let Value::Object(details) = details {
            self.details.extend(details);
        }
        self
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into(), exit: Exit::Refused, details: Map::new() }
    }
}

/// The exit code of a command, or its failure.
pub(crate) type CommandResult = Result<ExitCode, Failure>;

impl Output {
    /// The output that the command line asks for.
    pub(crate) fn new(global: &Global) -> Self {
        Self { json: global.json }
    }

    /// Prints the result of a command: `value` as JSON, or `text`.
    pub(crate) fn result(&self, value: &impl Serialize, text: impl fmt::Display) {
        if self.json {
            self.line(
                serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string())),
            );
        } else {
            self.line(text);
        }
    }

    /// Shows on standard error what the command waits for, where that is a terminal; hidden with JSON output.
    pub(crate) fn spinner(&self, what: &str) -> ProgressBar {
        if self.json {
            return ProgressBar::hidden();
        }
        let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
        spinner.enable_steady_tick(Duration::from_millis(100));
        spinner
    }

    /// Whether the output is JSON, so that no progress is shown.
    pub(crate) fn is_for_machines(&self) -> bool {
        self.json
    }

    /// Prints lines unchanged, as text and with JSON output alike.
    pub(crate) fn plain(&self, text: impl fmt::Display) {
        self.line(text);
    }

    /// Prints a line of text; nothing with JSON output.
    pub(crate) fn say(&self, text: impl fmt::Display) {
        if !self.json {
            self.line(text);
        }
    }

    /// Prints a remark on standard error; nothing with JSON output.
    pub(crate) fn aside(&self, text: impl fmt::Display) {
        if !self.json {
            self.remark(text);
        }
    }

    /// Prints a remark for each node that did not answer, with the reason.
    pub(crate) fn passed_over(&self, nodes: &[String]) {
        for why in nodes {
            self.aside(format_args!("no answer: {why}"));
        }
    }

    /// Prints a remark on standard error, with text and JSON output alike.
    pub(crate) fn remark(&self, text: impl fmt::Display) {
        // A closed standard error is ignored.
        let _gone = writeln!(io::stderr().lock(), "{text}");
    }

    /// Prints the error with its causes, and returns its exit code.
    pub(crate) fn failure(&self, failure: &Failure) -> ExitCode {
        if self.json {
            let mut fields = failure.details.clone();
            fields.insert("error".into(), format!("{:#}", failure.error).into());
            self.line(Value::Object(fields));
        }
        self.last_words(format!("quorate: {:#}", failure.error));
        failure.exit.into()
    }

    /// Prints a last line after all that was logged. The process ends even where standard error is a pipe that is not
    /// read.
    fn last_words(&self, text: String) {
        host::flush_log(LAST_LINE_TIMEOUT);
        let (written, is_written) = sync_channel(1);
        let output = *self;
        let writer = Builder::new().name("last line".into()).spawn(move || {
            output.remark(text);
            let _too_late = written.send(());
        });
        if writer.is_ok() {
            let _too_late = is_written.recv_timeout(LAST_LINE_TIMEOUT);
        }
    }

    fn line(&self, text: impl fmt::Display) {
        let mut stdout = io::stdout().lock();
        unwritten(writeln!(stdout, "{text}").and_then(|()| stdout.flush()));
    }

    /// The exit code of a command that ended with `ended`: [`Exit::Refused`] with an error message where something that was
    /// printed could not be written, as on a full disk.
    pub(crate) fn checked(&self, ended: ExitCode) -> ExitCode {
        unwritten(io::stdout().lock().flush());
        let Some(error) = UNWRITTEN.get() else { return ended };
        self.last_words(format!("quorate: standard output could not be written: {error}"));
        Exit::Refused.into()
    }
}

/// The first error of a write to standard output.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// Keeps the first error. A reader that closed the pipe (`quorate ... | head`) is no error.
fn unwritten(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        // Later errors have the same cause.
        let _an_earlier_one = UNWRITTEN.set(error);
    }
}

/// An empty table with these headings, as wide as the terminal.
pub(crate) fn table<const N: usize>(headings: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings);
    table
}

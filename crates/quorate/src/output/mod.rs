//! What a command prints: JSON for machines, text and tables for people, errors with their causes.

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
    sync::mpsc::sync_channel,
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
    /// One JSON object on standard output instead of text.
    #[arg(long, global = true)]
    json: bool,
}

/// Where and how to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

/// The exit codes that all commands share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Refused, or failed.
    Refused = 1,
    /// A mistake in the command line or in the configuration.
    Usage = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed, and with which exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    error: anyhow::Error,
    exit: Exit,
    /// For machines: what stands beside `error`.
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

    /// With fields for machines beside the error.
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

/// What a command ends with.
pub(crate) type CommandResult = Result<ExitCode, Failure>;

impl Output {
    /// As the command line asks.
    pub(crate) fn new(global: &Global) -> Self {
        Self { json: global.json }
    }

    /// The result of a command: `value` for machines, `text` for people.
    pub(crate) fn result(&self, value: &impl Serialize, text: impl fmt::Display) {
        if self.json {
            self.line(
                serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string())),
            );
        } else {
            self.line(text);
        }
    }

    /// Shows on standard error that something is waited for, where that is a terminal; nothing for machines.
    pub(crate) fn spinner(&self, what: &str) -> ProgressBar {
        if self.json {
            return ProgressBar::hidden();
        }
        let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
        spinner.enable_steady_tick(Duration::from_millis(100));
        spinner
    }

    /// Whether nobody watches: no progress is to be shown.
    pub(crate) fn is_for_machines(&self) -> bool {
        self.json
    }

    /// Lines for both, as they are.
    pub(crate) fn plain(&self, text: impl fmt::Display) {
        self.line(text);
    }

    /// A line for people; nothing for machines.
    pub(crate) fn say(&self, text: impl fmt::Display) {
        if !self.json {
            self.line(text);
        }
    }

    /// A remark on standard error for people; nothing for machines.
    pub(crate) fn aside(&self, text: impl fmt::Display) {
        if !self.json {
            self.remark(text);
        }
    }

    /// Remarks for people on the nodes that did not answer, and why.
    pub(crate) fn passed_over(&self, nodes: &[String]) {
        for why in nodes {
            self.aside(format_args!("not asked: {why}"));
        }
    }

    /// A remark on standard error, for both.
    pub(crate) fn remark(&self, text: impl fmt::Display) {
        // Where standard error is gone there is nobody to tell.
        let _gone = writeln!(io::stderr().lock(), "{text}");
    }

    /// The error with its causes, and its exit code.
    pub(crate) fn failure(&self, failure: &Failure) -> ExitCode {
        if self.json {
            let mut fields = failure.details.clone();
            fields.insert("error".into(), format!("{:#}", failure.error).into());
            self.line(Value::Object(fields));
        }
        self.last_words(format!("quorate: {:#}", failure.error));
        failure.exit.into()
    }

    /// A remark behind all that was logged; the process ends even where standard error is a pipe that is not read.
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
        // A reader that has hung up (`quorate ... | head`) is no error of ours.
        let _gone = writeln!(io::stdout().lock(), "{text}");
    }
}

/// An empty table with these headings, as wide as the terminal.
pub(crate) fn table<const N: usize>(headings: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings);
    table
}

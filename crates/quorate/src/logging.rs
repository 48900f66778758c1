//! What a daemon says while it runs: lines on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

/// Starts logging. `QUORATE_LOG` chooses what is said, as in `debug` or `info,host=debug`.
pub(crate) fn start(format: Format, default: LevelFilter) {
    // openraft narrates its own work at the level of our news, and warns of every heartbeat that a dead peer misses.
    let library = format!("openraft={}", default.min(LevelFilter::ERROR)).parse();
    let filter = EnvFilter::builder().with_default_directive(default.into()).with_env_var("QUORATE_LOG");
    let filter = match (std::env::var_os("QUORATE_LOG"), library) {
        (None, Ok(library)) => filter.from_env_lossy().add_directive(library),
        _ => filter.from_env_lossy(),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // A line that cannot be written would be complained of on the same standard error, with a panic in whatever
        // thread had something to say: a log on a full disk must not take the store's threads with it.
        .log_internal_errors(false);
    // A second start (the demo's nodes share one process) changes nothing.
    let _already_started = match format {
        Format::Text => lines.try_init(),
        Format::Json => lines.json().try_init(),
    };
}

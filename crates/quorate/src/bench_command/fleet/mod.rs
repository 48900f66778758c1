//! `quorate bench fleet`: the lifecycles of many client machines against three real nodes, all in this process and on
//! one virtual clock.
//!
//! The nodes are those of `quorate host run`: their logs are replicated and durable. Every answer takes the same path
//! as behind port 1688, and the machine verifies its signature. Only the network protocol is left out. The clock
//! advances directly to the next time at which a machine is due, so that idle time costs nothing.

mod clock;
mod machine;
mod report;
mod run;

use std::{collections::BTreeSet, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use host::Timing;
use indicatif::{ProgressBar, ProgressStyle};
use replication::Pace;
use tracing_subscriber::filter::LevelFilter;

use self::{clock::VirtualClock, run::Fleet};
use crate::{
    demo::cluster::Cluster,
    output::{
        CommandResult, Output,
        logging::{self, LogFormat},
    },
};

const EXAMPLES: &str = "\
Examples:
  quorate bench fleet --machines 1000 --days 200
  quorate bench fleet --machines 30 --days 1 --json     thirty machines on a new cluster

All machines are installed at the same time, with the setup key of a product with threshold 25. Renewals that are due
within four hours are sent in one batch, a little early, and counted in the hour in which they were due. JSON: share of
licensed machines (lowest at the end of a day, and per day) and requests (in total, in the busiest hour and per day).";

/// Simulate client machines over months, against three nodes, on a virtual clock.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Command {
    /// Number of client machines.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    machines: u32,
    /// Length of the run, in days of the virtual clock.
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        // Failures show in the report. Nodes that stop one after the other would only log warnings about each other.
        let _log = logging::start(LogFormat::Text, None, LevelFilter::OFF);
        host::raise_descriptor_limit();
        let folder =
            tempfile::Builder::new().prefix("quorate-bench-").tempdir().context("cannot create a temporary folder")?;
        let clock = Arc::new(VirtualClock::default());
        // The leader samples the nodes' clocks once, at the beginning of its term. All nodes share one clock, and a
        // sample that is under way while the clock advances by an hour would be an hour late.
        let day = Duration::from_secs(24 * 60 * 60);
        let pace = Pace { clock_sample_interval: day, look_interval: day, ..Pace::default() };
        let timing = Timing { clock: Arc::clone(&clock) as _, pace };
        let cluster = Cluster::start_by(folder.path(), timing)?;
        let progress = progress(self.days, output)?;
        let report = Fleet::new(self.machines, &cluster, clock)?.run(self.days, &progress)?;
        progress.finish_and_clear();
        let states: BTreeSet<_> = cluster.state_hashes()?.into_values().collect();
        if states.len() != 1 {
            return Err(anyhow!("the state hashes of the nodes differ: report this as a defect of Quorate").into());
        }
        output.result(&report, &report);
        cluster.stop();
        Ok(ExitCode::SUCCESS)
    }
}

/// A progress bar on standard error, where that is a terminal; hidden for machine-readable output.
fn progress(days: u32, output: &Output) -> anyhow::Result<ProgressBar> {
    if output.is_for_machines() {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{bar:40} day {pos} of {len}, {msg}").context("the progress bar")?;
    Ok(ProgressBar::new(days.into()).with_style(style))
}

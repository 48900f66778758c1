//! `quorate demo`: three real nodes, a publisher and clients, on loopback, in one process.

pub(crate) mod cluster;
mod report;
pub(crate) mod tour;

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use self::cluster::{Cluster, DOMAIN};
use crate::output::{
    CommandResult, Output,
    logging::{self, LogFormat},
};

const EXAMPLES: &str = "\
Examples:
  quorate demo                 runs the tour; the cluster stays up, and commands to try are printed
  quorate demo --exit          runs the tour, then stops
  quorate demo --exit --json   the same as one JSON object

Exit: 0 every step had the expected result; 1 a step did not, and the error says what was expected.";

/// Run a tour with three nodes, a publisher and client machines, on loopback.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Command {
    /// Stop when the tour is over.
    #[arg(long)]
    exit: bool,
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        let _log = logging::start(LogFormat::Text, None, LevelFilter::ERROR);
        host::raise_descriptor_limit();
        let folder =
            tempfile::Builder::new().prefix("quorate-demo-").tempdir().context("cannot create a temporary folder")?;
        let mut cluster = Cluster::start(folder.path(), output)?;
        let report = tour::run(&mut cluster, output)?;
        output.result(&report, report.conclusion());
        if !self.exit {
            stay(&cluster, folder.path(), output)?;
        }
        cluster.stop();
        Ok(ExitCode::SUCCESS)
    }
}

/// Keeps the cluster running until the user interrupts the demo.
fn stay(cluster: &Cluster, folder: &Path, output: &Output) -> anyhow::Result<()> {
    let program = std::env::current_exe().map_or_else(|_| "quorate".into(), |path| path.display().to_string());
    let trust = cluster.trust_file().display().to_string();
    output.remark(format_args!(
        "\nThe cluster stays up, with its data in {}. Run these commands in another terminal:\n\n\
         # hosts that DNS names, and one more activation\n\
         {program} client discover --domain {DOMAIN} --server {server}\n\
         {program} client activate --domain {DOMAIN} --server {server} --trust {trust} --product {}\n\
         # the count and the cluster\n{program} count --admin {admin}\n{program} cluster status --admin {admin}\n\
         # metrics for Prometheus, and readiness\ncurl -s {metrics}/metrics\ncurl -s {metrics}/readyz\n\
         # the web console, in a browser\nhttp://{metrics}/\n\
         # checks, one machine's requests, DNS records, keys and catalogs\n\
         {program} doctor --admin {admin}\n{program} explain WORKSTATION-025 --admin {admin}\n\
         {program} dns status --admin {admin}\n{program} key list --admin {admin}\n{program} catalog show --admin \
         {admin}\n\n\
         Ctrl-C stops the cluster and removes its data.",
        folder.display(),
        tour::CLIENT_PRODUCT,
        server = cluster.dns_server(1)?,
        admin = cluster.admin(1)?,
        metrics = cluster.metrics(1)?,
    ));
    cluster.wait(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    })?;
    Ok(())
}

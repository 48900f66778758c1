//! `quorate host run`: runs a node until SIGTERM; SIGHUP makes it read its configuration again.

use std::{cell::Cell, future::pending, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, anyhow};
use host::{Config, ConfigError, Node, OldName, Overrides, Start, StartError, Then, raise_descriptor_limit};
use sd_notify::NotifyState;
use storage::{Opening, OpeningStep};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep, timeout},
};
use tracing_subscriber::filter::LevelFilter;

use crate::output::{
    CommandResult, Failure,
    logging::{self, AuditFile, Log, LogFormat, LogReader},
};

/// Exit code of a node that is to be started again at once (`EX_TEMPFAIL` of sysexits.h); the systemd unit names it
/// too.
const RESTART_EXIT_CODE: u8 = 75;

/// Least number of threads of the runtime.
const START_THREADS_MIN: usize = 2;

/// Shortest interval between two requests to the supervisor for more time.
const PATIENCE_INTERVAL: Duration = Duration::from_secs(1);

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate host run --config node1.toml --bootstrap     on one node, when all nodes run; later it has no effect
  quorate host run --config node1.toml                 on all other nodes, and later on all

On SIGHUP (systemctl reload quorate) raft.profile, log.level, the lists of networks (clients.allow, clients.exempt,
peers.allow, admin.allow, metrics.allow) and clients.new_cmids_per_minute are read again from the configuration and take
effect without a restart; the node's certificate and key are read again; audit.file is reopened.
SIGUSR1 switches log lines of level debug on; a second SIGUSR1, or SIGHUP, switches them off.

Exit: 0 stopped by a signal; 1 failed while running, or no cluster was formed; 2 configuration, port or data folder;
75 restart requested (`quorate cluster upgrade --run`). A panic in any task ends the process with SIGABRT: the last
line of the log names the task and the reason.";

/// Arguments of `host run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Form the cluster of `peers.members`, then run. No effect on a node that is already a member of a cluster.
    /// Refused where another node is a member of a cluster without this node.
    #[arg(long)]
    bootstrap: bool,
    /// Form of the log lines on standard error.
    #[arg(long, value_enum, default_value = "text")]
    log: LogFormat,
    #[command(flatten)]
    overrides: Overrides,
}

impl Run {
    pub(super) fn run(self) -> CommandResult {
        let config = Config::load(&self.config, &self.overrides).map_err(Failure::usage)?;
        raise_descriptor_limit();
        let audit = config.audit.file.as_deref().map(AuditFile::open).transpose();
        let audit = audit.context("cannot open audit.file for appending").map_err(Failure::usage)?;
        host::end_process_on_panic();
        let log = logging::start_with_audit(self.log, config.log.level.clone(), LevelFilter::INFO, audit.clone());
        for OldName { old, new } in &config.old_names {
            tracing::warn!(%old, %new, "the configuration uses the former name of a setting: use its new name");
        }
        // One thread more than a start keeps busy with reading the disk, so that signals are handled meanwhile.
        let threads =
            std::thread::available_parallelism().map_or(START_THREADS_MIN, |n| n.get().max(START_THREADS_MIN));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
        let runtime = runtime.context("cannot start the runtime")?;
        let start = Start { bootstrap: self.bootstrap, ..Start::default() };
        let outcome =
            runtime.block_on(run(config, start, (&log, audit), || Config::load(&self.config, &self.overrides)));
        // A thread that still waits for a failed disk must not keep the process.
        runtime.shutdown_background();
        outcome
    }
}

async fn run(
    config: Config,
    start: Start,
    (log, audit): (&Log, Option<AuditFile>),
    read_again: impl Fn() -> Result<Config, ConfigError>,
) -> CommandResult {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut hang_up = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    let node_number = config.node;
    // A separate task, because parts of a start read the disk without a pause and signals must be handled meanwhile.
    let starting = tokio::spawn(async move { Node::start_reporting(&config, start, Patience::default().keep()).await });
    let node = tokio::select! {
        started = starting => started.context("the start was interrupted by a signal")?.map_err(|error| {
            // A person sees the message that the command prints when it ends.
            if log.reader == LogReader::Machine {
                tracing::error!(event = 12291, status = %error.status(), %error, "the node could not be started");
            }
            start_failure(error)
        })?,
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    };
    tracing::info!(
        node = node_number,
        clients = %node.clients_address(),
        admin = %node.admin_socket().display(),
        version = env!("CARGO_PKG_VERSION"),
        "the node runs"
    );
    let serves = format!("serving clients on {}", node.clients_address());
    let _no_supervisor = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&serves)]);
    let mut ends_with = ExitCode::SUCCESS;
    tokio::select! {
        () = keep_supervisor_calm(&node) => {}
        () = follow_configuration((&node, log, audit), &mut hang_up, read_again) => {}
        toggled = log.follow_signal() => return Err(anyhow!("cannot wait for SIGUSR1: {toggled:?}").into()),
        why = node.failed() => return Err(anyhow!("node {node_number} stopped: {why}").into()),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        drained = node.drained() => match drained {
            Ok(Then::Restart) => ends_with = ExitCode::from(RESTART_EXIT_CODE),
            Ok(Then::Stop | Then::Leave) => {}
            Err(error) => tracing::error!(%error, "the node stops, but could not leave its cluster as requested"),
        },
    }
    let _no_supervisor = sd_notify::notify(&[NotifyState::Stopping]);
    tracing::info!(node = node_number, "stopping: finishing open requests, transferring leadership");
    log.stops();
    node.stop().await;
    Ok(ends_with)
}

/// Asks the supervisor for more time to start, while the store is opened (`EXTEND_TIMEOUT_USEC`, sd_notify(3)).
#[derive(Default)]
struct Patience {
    /// Time and step of the last request for more time.
    asked: Cell<Option<(Instant, OpeningStep)>>,
}

impl Patience {
    fn keep(self) -> impl Fn(Opening) + Send + 'static {
        move |opening| {
            let is_early =
                |(at, step): (Instant, OpeningStep)| step == opening.step && at.elapsed() < PATIENCE_INTERVAL;
            if self.asked.get().is_some_and(is_early) {
                return;
            }
            self.asked.set(Some((Instant::now(), opening.step)));
            let micros = u32::try_from(opening.patience().as_micros()).unwrap_or(u32::MAX);
            let status = format!("opening the store: {opening}");
            let _no_supervisor =
                sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(micros), NotifyState::Status(&status)]);
        }
    }
}

/// Reads the configuration again at each SIGHUP. An invalid configuration changes nothing.
async fn follow_configuration(
    (node, log, audit): (&Node, &Log, Option<AuditFile>),
    hang_up: &mut Signal,
    read: impl Fn() -> Result<Config, ConfigError>,
) {
    while hang_up.recv().await.is_some() {
        if let Some(Err(error)) = audit.as_ref().map(AuditFile::reopen) {
            tracing::error!(%error, "audit.file could not be reopened: audit lines are still written to the previously \
                                     opened file");
        }
        match read() {
            Ok(config) => {
                log.set_level(config.log.level.clone());
                let profile = config.raft.profile.map_or_else(|| "as the cluster's".into(), |own| own.to_string());
                tracing::info!(
                    profile,
                    "the configuration was reloaded: raft.profile, log.level, the lists of networks and \
                     clients.new_cmids_per_minute are in effect, other changes take effect at the next start"
                );
                node.reconfigure(&config);
            }
            Err(error) => tracing::error!(%error, "the configuration could not be reloaded: nothing was changed"),
        }
        // After the log level is set, so that the outcome is logged at the new level.
        node.reread_certificate();
    }
    pending().await
}

/// Reports to systemd's watchdog that the node works, four times per interval (sd_watchdog_enabled(3)). A node that
/// hangs sends no report.
async fn keep_supervisor_calm(node: &Node) {
    let Some(within) = sd_notify::watchdog_enabled() else { return pending().await };
    loop {
        if timeout(within / 4, node.lives()).await.is_ok() {
            let _no_supervisor = sd_notify::notify(&[NotifyState::Watchdog]);
        }
        sleep(within / 4).await;
    }
}

fn start_failure(error: StartError) -> Failure {
    match error {
        StartError::Bootstrap(error) => error.into(),
        error => Failure::usage(error),
    }
}

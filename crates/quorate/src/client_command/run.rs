//! `quorate client run`: the service that keeps a machine activated (R13, R14).

use std::process::ExitCode;

use activation::lifecycle::{AnswerProcessed, RequestSent};
use anyhow::Context;
use client::{Client, ClientError, Event, Options};
use host::LogLevel;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use super::{discover::DiscoveryArgs, state::ClientStateArgs};
use crate::output::{
    CommandResult,
    logging::{self, Log, LogFormat},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate client run --state /var/lib/quorate-client
  quorate client run --state DIR --log json

It sends a request every two hours until the machine is licensed, then every seven days. Changes by other commands
in the state folder take effect at once.";

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    machine: ClientStateArgs,
    #[command(flatten)]
    discovery: DiscoveryArgs,
    /// Send the first request at once. Otherwise the first request waits for a random time of up to a minute, so that
    /// machines that start together spread out.
    #[arg(long)]
    now: bool,
    /// Form of the log lines on standard error.
    #[arg(long, value_enum, value_name = "FORM", default_value = "text")]
    log: LogFormat,
    /// Log level: off, error, warn, info, debug or trace, and with commas TARGET=LEVEL. Default: QUORATE_LOG or
    /// RUST_LOG, else info. SIGUSR1 switches debug on and off.
    #[arg(long, env = "QUORATE_LOG_LEVEL", value_name = "LEVEL")]
    log_level: Option<LogLevel>,
}

impl Run {
    pub(super) fn run(&self) -> CommandResult {
        let log = logging::start(self.log, self.log_level.clone(), LevelFilter::INFO);
        let mut client = self.machine.open(Options { lookup: self.discovery.lookup(), ..Options::default() })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ended = runtime.block_on(until_told(&mut client, self.now, &log));
        // A name lookup may still block a thread of the runtime.
        runtime.shutdown_background();
        ended?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn until_told(client: &mut Client, at_once: bool, log: &Log) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    // SIGHUP needs no action, because state and DNS are read each time, but it must not end the service.
    let _ignored = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    let follow_signal = log.follow_signal();
    tokio::pin!(follow_signal);
    if at_once {
        match client.activate().await {
            // The outcome is logged as an event.
            Ok(_) | Err(ClientError::NotForHosts) => {}
            Err(error) => tracing::warn!(%error, "no attempt was made"),
        }
    }
    let mut is_first = true;
    loop {
        tell_supervisor(client, std::mem::take(&mut is_first));
        let event = tokio::select! {
            event = client.next() => event,
            toggled = &mut follow_signal => return toggled.context("cannot wait for SIGUSR1"),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        say(&event);
    }
    tracing::info!("stopping, as requested by a signal");
    let _no_supervisor = sd_notify::notify(&[NotifyState::Stopping]);
    Ok(())
}

/// Reports the machine's status to systemd; does nothing where there is no supervisor.
fn tell_supervisor(client: &mut Client, is_first: bool) {
    let Ok(status) = client.status() else { return };
    let left = status.standing.minutes_left.map_or_else(String::new, |minutes| format!(", {} d left", minutes / 1440));
    let status = NotifyState::Status(&format!("{}{left}", status.standing.state.name())).to_string();
    let _no_supervisor = sd_notify::notify(&[NotifyState::Custom(&status)]);
    if is_first {
        let _no_supervisor = sd_notify::notify(&[NotifyState::Ready]);
    }
}

fn say(event: &Event) {
    match event {
        Event::Sent(sent) => say_sent(sent),
        Event::Answered(answered) => say_answered(answered),
        Event::Failed { status, error } => tracing::warn!(%status, error, "no host gave a valid answer"),
        Event::StateChanged { before, after, reason } => {
            let status = reason.map(|reason| reason.to_string());
            tracing::info!(before = before.name(), after = after.name(), status, "the state changed");
        }
        Event::HardwareChanged { .. } | Event::EvidenceLost(_) | Event::Trouble(_) => {
            tracing::warn!(status = event.status().map(|status| status.to_string()), "{event}");
        }
    }
}

/// Logs a request with its fields in the documented order.
fn say_sent(sent: &RequestSent) {
    tracing::info!(
        event = RequestSent::ID,
        status = %sent.status,
        flags = sent.flags,
        host = sent.host,
        cmid = %sent.cmid,
        client_time_ms = sent.client_time_ms,
        virtual_machine = sent.virtual_machine,
        license_status = sent.license_status,
        minutes_to_expiry = sent.minutes_to_expiry,
        product = %sent.product,
        required_count = sent.required_count,
        "a request was sent"
    );
}

fn say_answered(answered: &AnswerProcessed) {
    tracing::info!(
        event = AnswerProcessed::ID,
        status = %answered.status,
        flags = answered.flags,
        bound = answered.is_bound,
        count = answered.count,
        activation_interval_minutes = answered.activation_interval_minutes,
        renewal_interval_minutes = answered.renewal_interval_minutes,
        client_time_ms = answered.client_time_ms,
        "an answer was processed"
    );
}

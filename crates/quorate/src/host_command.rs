//! `quorate host ...`: a node's configuration, and the node itself.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, anyhow};
use api::admin::v1::DrainRequest;
use host::{Config, Node, Overrides, Start, StartError, identity};
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tracing_subscriber::filter::LevelFilter;
use transport::Folder;

use crate::{
    admin::{AdminArgs, refused},
    logging::{self, Format},
    output::{Failure, Outcome, Output},
};

const INIT_EXAMPLES: &str = "\
Examples:
  quorate host init --config node1.toml --node 1 --data /var/lib/quorate \\
      --peers-listen 10.0.0.1:1689 \\
      --peers-members 1=10.0.0.1:1689,2=10.0.0.2:1689,3=10.0.0.3:1689
  quorate host init --config node2.toml --node 2 ... --authority /media/tls     the first node's tls folder, or a copy
  quorate host init --config node1.toml --renew-identity                        a data folder from before certificates

The first node makes the cluster's authority. The others take it from the first node's tls folder (--authority).
With tls.authority, tls.certificate and tls.key an organisation's own certificates are used, and none is made.";

const RUN_EXAMPLES: &str = "\
Examples:
  quorate host run --config node1.toml --bootstrap     once, on one node, when all nodes are started
  quorate host run --config node1.toml                 from then on, and on all other nodes

Exit: 0 stopped as told; 1 failed while running, or no cluster was formed; 2 configuration, port or data folder.";

const DRAIN_EXAMPLES: &str = "\
Examples:
  quorate host drain                 before an upgrade, or before the machine is switched off
  quorate host drain --wait 0        do not wait for resolvers: clients that still find it go to the next node

The node leaves DNS and answers on until resolvers have forgotten it; then it hands leadership over, finishes open
requests and stops. Started again, it is in service again. Refused where the cluster cannot do without it.

Exit: 0 it has stopped; 1 refused, and it stays in service.";

/// What a node's machine does.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Write a commented configuration for one node.
    #[command(after_help = INIT_EXAMPLES)]
    Init(Init),
    /// Run one node until SIGTERM.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),
    /// Take the node out of service, and stop it, without a client noticing.
    #[command(after_help = DRAIN_EXAMPLES)]
    Drain(Drain),
}

/// Arguments of `host init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// The file to write; one that is there is left alone.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Take the cluster's authority from the tls folder of another node, or a copy of it, instead of making one.
    #[arg(long, value_name = "FOLDER")]
    authority: Option<PathBuf>,
    /// The configuration is there already: only make the certificate that it lacks.
    #[arg(long)]
    renew_identity: bool,
    #[command(flatten)]
    given: Overrides,
}

/// Arguments of `host run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Form the cluster of `peers.members`, then run. Once, by one node; refused where one of them has a cluster.
    #[arg(long)]
    bootstrap: bool,
    /// Form of the log lines on standard error.
    #[arg(long, value_enum, default_value = "text")]
    log: Format,
    #[command(flatten)]
    overrides: Overrides,
}

/// Arguments of `host drain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    /// How long resolvers have to forget the node, instead of the cluster's dns.ttl_s or the node's drain.wait_s.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=86_400))]
    wait: Option<u32>,
    /// Also where the other nodes are no majority, or DNS keeps the record.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, output: &Output) -> Outcome {
        match self {
            Self::Init(init) => init.run(output),
            Self::Run(run) => run.run(),
            Self::Drain(drain) => drain.run(output),
        }
    }
}

impl Init {
    fn run(self, output: &Output) -> Outcome {
        let file = self.config.display().to_string();
        let (config, text) = if self.renew_identity {
            (Config::load(&self.config, &self.given).map_err(Failure::usage)?, None)
        } else {
            let text = host::init::configuration(&self.given);
            (Config::parse(&text, &file, &Overrides::default()).map_err(Failure::usage)?, Some(text))
        };
        if config.peers.members.is_empty() && text.is_some() {
            return Err(Failure::usage(anyhow!(
                "peers.members: missing; give --peers-members NODE=HOST:PORT,... with every node of the first cluster"
            )));
        }
        if let Some(text) = &text {
            if self.config.exists() {
                return Err(anyhow!("cannot write {file}: it is there already").into());
            }
            // A folder that is there from before keeps what it has.
            if !identity::is_made(&config) {
                self.certify(&config)?;
            }
            host::init::write_new(&self.config, text).with_context(|| format!("cannot write {file}"))?;
        } else {
            self.certify(&config)?;
        }
        output.result(
            &serde_json::json!({ "config": file, "node": config.node, "admin": format!("unix:{}", config.admin_socket().display()) }),
            format_args!(
                "{file} {}. Run the node with\n  quorate host run --config {file}\n\
                 and, on one node only and only once, with --bootstrap added.{}",
                if text.is_some() { "written" } else { "has its certificate" },
                self.next_steps(&config)
            ),
        );
        Ok(ExitCode::SUCCESS)
    }

    fn certify(&self, config: &Config) -> Result<(), Failure> {
        if config.tls.authority.is_some() {
            return Ok(());
        }
        let made = match &self.authority {
            Some(folder) => identity::adopt(config, &Folder::at(folder)),
            None => identity::create(config),
        };
        made.context("no certificate was made").map_err(Failure::from)
    }

    fn next_steps(&self, config: &Config) -> String {
        if self.authority.is_some() || config.tls.authority.is_some() || config.peers.members.len() == 1 {
            return String::new();
        }
        format!(
            "\nThe authority of the cluster is in {}: give it to the other nodes, and to nobody else,\n\
             with  quorate host init --authority FOLDER ...",
            config.data.join("tls").display()
        )
    }
}

impl Run {
    fn run(self) -> Outcome {
        let config = Config::load(&self.config, &self.overrides).map_err(Failure::usage)?;
        logging::start(self.log, LevelFilter::INFO);
        let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
        let outcome = runtime.block_on(run(&config, Start { bootstrap: self.bootstrap }));
        // What still waits for a disk that failed must not keep the process.
        runtime.shutdown_background();
        outcome
    }
}

/// How long a node may take to hand over and stop, once it has begun to.
const STOP_PATIENCE: Duration = Duration::from_secs(120);

impl Drain {
    fn run(self, output: &Output) -> Outcome {
        let request = DrainRequest { force: self.force, wait_s: self.wait };
        let reply = self.admin.run(async |mut admin| {
            let reply = admin.drain(request).await.map_err(refused)?.into_inner();
            drop(admin);
            let progress = output.spinner(&format!(
                "node {} has left DNS; it stops in {} s, when resolvers have forgotten it",
                reply.node, reply.wait_s
            ));
            let patience = Duration::from_secs(reply.wait_s.into()) + STOP_PATIENCE;
            let gone = timeout(patience, self.admin.gone()).await;
            progress.finish_and_clear();
            gone.map_err(|_| anyhow!("node {} has left DNS and does not stop: look into its log", reply.node))?;
            Ok(reply)
        })?;
        let withdrawn: Vec<_> = reply.domains.iter().map(|outcome| outcome.domain.as_str()).collect();
        let from = if withdrawn.is_empty() { String::new() } else { format!(" It left {}.", withdrawn.join(", ")) };
        output.result(
            &serde_json::json!({ "node": reply.node, "withdrawn": withdrawn, "waited_s": reply.wait_s, "stopped": true }),
            format_args!("Node {} is out of service, and has stopped.{from}", reply.node),
        );
        Ok(ExitCode::SUCCESS)
    }
}

async fn run(config: &Config, start: Start) -> Outcome {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let node = tokio::select! {
        started = Node::start(config, start) => started.map_err(start_failure)?,
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    };
    tracing::info!(
        node = config.node,
        clients = %node.clients_address(),
        admin = %node.admin_socket().display(),
        version = env!("CARGO_PKG_VERSION"),
        "the node runs"
    );
    let serves = format!("serves clients on {}", node.clients_address());
    let _no_supervisor = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&serves)]);
    tokio::select! {
        why = node.failed() => return Err(anyhow!("node {} stopped: {why}", config.node).into()),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = node.drained() => {}
    }
    let _no_supervisor = sd_notify::notify(&[NotifyState::Stopping]);
    tracing::info!(node = config.node, "stopping: open requests are finished, leadership is handed over");
    node.stop().await;
    Ok(ExitCode::SUCCESS)
}

fn start_failure(error: StartError) -> Failure {
    match error {
        StartError::Bootstrap(error) => error.into(),
        error => Failure::usage(error),
    }
}

//! `quorate host ...`: a node's configuration, and the node itself.

use std::{
    fmt::Write as _,
    future::pending,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use activation::status::Status;
use anyhow::{Context, anyhow};
use api::admin::v1::DrainRequest;
use host::{Config, Node, OldName, Overrides, Start, StartError, identity};
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};
use tracing_subscriber::filter::LevelFilter;
use transport::{Folder, Token};

use crate::{
    admin::{AdminArgs, block_on, refused},
    enrolment,
    logging::{self, Format, Reader},
    output::{Failure, Outcome, Output},
};

const INIT_EXAMPLES: &str = "\
Examples:
  quorate host init --config node1.toml --node 1 --data /var/lib/quorate \\
      --peers-listen 10.0.0.1:1689 \\
      --peers-members 1=10.0.0.1:1689,2=10.0.0.2:1689,3=10.0.0.3:1689
  quorate host init --config node2.toml --node 2 ... --authority /media/tls     the first node's tls folder, or a copy
  quorate host init --config node4.toml --data /var/lib/quorate --peers-listen 10.0.0.4:1689 \\
      --join 10.0.0.1:1690 --token T                     into a cluster that runs; it gives the number
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

const RECOVER_EXAMPLES: &str = "\
Example, on the node that is left with the most, while it does not run:
  quorate host recover --config node1.toml --accept-loss
  quorate host run --config node1.toml
  quorate cluster add 2=10.0.0.2:1689      with nodes whose data folders are empty

Only where a majority of the voters will never come back: otherwise start them, and nothing is lost. What only the lost nodes
acknowledged is lost. Should they run again, they are another cluster: clients would be counted in two.

Exit: 0 the node can be started; 1 refused, and all is as it was; 2 configuration.";

/// What a node's machine does.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Write a commented configuration for one node.
    #[command(after_help = INIT_EXAMPLES)]
    Init(Init),
    /// Run one node until SIGTERM.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),
    /// Go on alone with what this node holds, because a majority of its cluster is lost for good.
    #[command(after_help = RECOVER_EXAMPLES)]
    Recover(Recover),
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
    /// Join a cluster that runs: where one of its nodes is administrated (admin.listen, port 1690).
    #[arg(long, value_name = "HOST:PORT", requires = "token", conflicts_with = "authority")]
    join: Option<String>,
    /// What `quorate cluster token` printed there.
    #[arg(long, env = "QUORATE_TOKEN", hide_env_values = true, value_name = "TOKEN", requires = "join")]
    token: Option<Token>,
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

/// Arguments of `host recover`.
#[derive(Debug, clap::Args)]
pub(crate) struct Recover {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What only the lost nodes acknowledged may be lost.
    #[arg(long)]
    accept_loss: bool,
}

/// Reads a node's configuration, and warns of old names in it.
pub(crate) fn load(file: &Path, output: &Output) -> Result<Config, Failure> {
    let config = Config::load(file, &Overrides::default()).map_err(Failure::usage)?;
    warn_of(&config.old_names, output);
    Ok(config)
}

fn warn_of(old_names: &[OldName], output: &Output) {
    old_names.iter().for_each(|old_name| output.remark(format_args!("quorate: {old_name}")));
}

impl Recover {
    fn run(self, output: &Output) -> Outcome {
        let config = load(&self.config, output)?;
        if !self.accept_loss {
            return Err(anyhow!(
                "node {} would leave its cluster and go on alone: what only the other nodes acknowledged would be lost, and \
                 they must never run again with the data they have. Start them instead, where that is possible; else give \
                 --accept-loss",
                config.node
            )
            .into());
        }
        let begun = block_on(host::rescue::recover(&config))??;
        output.result(
            &serde_json::json!({ "node": config.node, "log_index": begun.log_index, "term": begun.term }),
            format_args!(
                "Node {} is a cluster of its own, with all up to entry {}. Run it with\n  quorate host run --config {}\n\
                 and never start the other nodes again before their data folders are emptied.",
                config.node,
                begun.log_index,
                self.config.display()
            ),
        );
        Ok(ExitCode::SUCCESS)
    }
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, output: &Output) -> Outcome {
        match self {
            Self::Init(init) => init.run(output),
            Self::Run(run) => run.run(),
            Self::Drain(drain) => drain.run(output),
            Self::Recover(recover) => recover.run(output),
        }
    }
}

impl Init {
    fn run(mut self, output: &Output) -> Outcome {
        let file = self.config.display().to_string();
        if !self.renew_identity && self.config.exists() {
            return Err(anyhow!("cannot write {file}: it is there already").into());
        }
        let mut config = self.configuration(&file)?;
        let of_file = if self.renew_identity { config.old_names.as_slice() } else { self.given.old_names() };
        warn_of(of_file, output);
        if config.peers.members.is_empty() && !self.renew_identity && self.join.is_none() {
            return Err(Failure::usage(anyhow!(
                "peers.members: missing; give --peers-members NODE=HOST:PORT,... with every node of the first cluster, \
                 or --join with a cluster that runs"
            )));
        }
        if let (Some(address), Some(token)) = (&self.join, &self.token) {
            let wanted = self.given.given().any(|(setting, _)| setting.key == "node") || self.renew_identity;
            if identity::is_made(&config) {
                return Err(anyhow!("{} has a certificate already, and it is left alone", config.data.display()).into());
            }
            let peers = config.peers.listen.to_string();
            let reply = enrolment::join(address, token, if wanted { config.node } else { 0 }, peers)?;
            self.given.set("node", reply.node.to_string());
            config = self.configuration(&file)?;
            let taken = identity::take_in(&config, &reply.authority, &reply.authority_key);
            taken.context("no certificate was made, and the token is used up")?;
        } else if self.renew_identity || !identity::is_made(&config) {
            // A folder that is there from before keeps what it has.
            self.certify(&config)?;
        }
        if !self.renew_identity {
            let text = host::init::configuration(&self.given);
            host::init::write_new(&self.config, &text).with_context(|| format!("cannot write {file}"))?;
        }
        output.result(
            &serde_json::json!({ "config": file, "node": config.node, "admin": format!("unix:{}", config.admin_socket().display()) }),
            format_args!(
                "{file} {}. Run the node with\n  quorate host run --config {file}\n{}",
                if self.renew_identity { "stands, and node has its certificate" } else { "written" },
                self.next_steps(&config)
            ),
        );
        Ok(ExitCode::SUCCESS)
    }

    /// As it is, or as it will be written; with a number in the place of one that the cluster is still to give.
    fn configuration(&self, file: &str) -> Result<Config, Failure> {
        if self.renew_identity {
            return Config::load(&self.config, &self.given).map_err(Failure::usage);
        }
        let mut given = self.given.clone();
        if self.join.is_some() && !given.given().any(|(setting, _)| setting.key == "node") {
            given.set("node", "1".into());
        }
        let text = host::init::configuration(&given);
        Config::parse(&text, file, &Overrides::default()).map_err(Failure::usage)
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
        if self.join.is_some() {
            return format!(
                "and let it in, on a node of the cluster, with\n  quorate cluster add {}=HOST:PORT",
                config.node
            );
        }
        let mut steps = String::from("and, on one node only and only once, with --bootstrap added.");
        if self.authority.is_none() && config.tls.authority.is_none() && config.peers.members.len() > 1 {
            let _ = write!(
                steps,
                "\nThe authority of the cluster is in {}: give it to the other nodes listed, and to nobody else,\n\
                 with  quorate host init --authority FOLDER ...   Later ones join with  quorate cluster token",
                config.data.join("tls").display()
            );
        }
        steps
    }
}

impl Run {
    fn run(self) -> Outcome {
        let config = Config::load(&self.config, &self.overrides).map_err(Failure::usage)?;
        let reader = logging::start(self.log, LevelFilter::INFO);
        for OldName { old, new } in &config.old_names {
            tracing::warn!(%old, %new, "a setting is given by its old name: use the new one");
        }
        let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
        let outcome = runtime.block_on(run(&config, Start { bootstrap: self.bootstrap }, reader));
        // What still waits for a disk that failed must not keep the process.
        runtime.shutdown_background();
        outcome
    }
}

/// How long a node may take to hand over and stop, once it has begun to.
const STOP_PATIENCE: Duration = Duration::from_secs(120);

impl Drain {
    fn run(self, output: &Output) -> Outcome {
        let request = DrainRequest { force: self.force, wait_s: self.wait, ..DrainRequest::default() };
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

async fn run(config: &Config, start: Start, reader: Reader) -> Outcome {
    #[cfg(feature = "fault-injection")]
    if std::env::var_os("QUORATE_TEST_PREVIOUS_FORMAT").is_some() {
        activation::state::Format::forget_newest();
    }
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let node = tokio::select! {
        started = Node::start(config, start) => started.map_err(|error| {
            // People are told by the command's own last line.
            if reader == Reader::Machine {
                tracing::error!(event = 12291, status = %Status::FAILED, %error, "the node could not be initialised");
            }
            start_failure(error)
        })?,
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
        () = keep_supervisor_calm(&node) => {}
        why = node.failed() => return Err(anyhow!("node {} stopped: {why}", config.node).into()),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        drained = node.drained() => if let Err(error) = drained {
            tracing::error!(%error, "the node stops, and has not left its cluster as it was told to");
        },
    }
    let _no_supervisor = sd_notify::notify(&[NotifyState::Stopping]);
    tracing::info!(node = config.node, "stopping: open requests are finished, leadership is handed over");
    node.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// As often as systemd wants to hear it (sd_watchdog_enabled(3)): that the node lives. One that is stuck says nothing.
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

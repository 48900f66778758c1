//! The command line over all of Quorate.
//!
//! Each subcommand is a module with its arguments and a `run`; what it prints goes through [`output`], for people or as
//! JSON. Exit codes: 0 done, 1 refused or failed, 2 usage or configuration, and what a command adds to them.
//!
//! Invariant: never holds a rule of activation, replication or the wire of its own: it asks and prints.

mod admin;
mod bench_command;
mod catalog_command;
mod catalog_shown;
mod client_command;
mod client_doctor;
mod cluster_command;
mod console_command;
mod contexts;
mod count_command;
mod demo;
mod dns_command;
mod doctor_command;
mod duplicates_command;
mod enrolment;
mod events_command;
mod explain_command;
mod host_command;
mod key_command;
mod key_password;
mod logging;
mod output;
mod publisher_command;
mod settings_command;
mod since;
mod slmgr_command;
mod spoken;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use output::Output;

const EXAMPLES: &str = "\
Examples:
  quorate demo                          three nodes, a publisher and clients on loopback: the tour
  quorate host init --node 1 --data /var/lib/quorate --config /etc/quorate/node.toml ...
  quorate host run --config /etc/quorate/node.toml
  quorate count                         on the host itself: how far each application is
  quorate client activate --host host.example.test:1688 --trust publisher.toml --product NAME";

/// Volume activation as a cluster: one count, on every node.
#[derive(Debug, Parser)]
#[command(name = "quorate", version, about, after_help = EXAMPLES, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: output::Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Three nodes, a publisher and client machines on loopback: the tour.
    Demo(demo::Command),
    /// Measure, on a cluster made for the occasion.
    #[command(subcommand)]
    Bench(bench_command::Command),
    /// Run a node, or write its configuration.
    #[command(subcommand)]
    Host(host_command::Command),
    /// Install and show publishers' catalogs on the cluster.
    #[command(subcommand)]
    Catalog(catalog_command::Command),
    /// Install host keys on the cluster and activate its nodes.
    #[command(subcommand)]
    Key(key_command::Command),
    /// How far each application is: its count, against the thresholds of its products.
    Count(count_command::Command),
    /// The cluster and its nodes.
    #[command(subcommand)]
    Cluster(cluster_command::Command),
    /// The cluster's records in DNS.
    #[command(subcommand)]
    Dns(dns_command::Command),
    /// What machines asked and were answered, by all nodes.
    Events(events_command::Command),
    /// CMIDs that several machines share, and which machines.
    Duplicates(duplicates_command::Command),
    /// What became of one machine's requests, and why.
    Explain(explain_command::Command),
    /// What is wrong with the cluster, and what mends it.
    Doctor(doctor_command::Command),
    /// Where a node's page for administrators is.
    Console(console_command::Command),
    /// Settings that every node of the cluster follows.
    #[command(subcommand)]
    Settings(settings_command::Command),
    /// The verbs that administrators know, for hosts and client machines.
    Slmgr(slmgr_command::Command),
    /// What a client machine does: activate by hand.
    #[command(subcommand)]
    Client(client_command::Command),
    /// Make keys, sign catalogs, issue host keys and activate hosts.
    #[command(subcommand)]
    Publisher(publisher_command::Command),
}

impl Command {
    fn run(self, output: &Output) -> output::Outcome {
        match self {
            Self::Demo(command) => command.run(output),
            Self::Bench(command) => command.run(output),
            Self::Host(command) => command.run(output),
            Self::Catalog(command) => command.run(output),
            Self::Key(command) => command.run(output),
            Self::Count(command) => command.run(output),
            Self::Cluster(command) => command.run(output),
            Self::Dns(command) => command.run(output),
            Self::Doctor(command) => command.run(output),
            Self::Console(command) => command.run(output),
            Self::Events(command) => command.run(output),
            Self::Duplicates(command) => command.run(output),
            Self::Explain(command) => command.run(output),
            Self::Settings(command) => command.run(output),
            Self::Slmgr(command) => command.run(output),
            Self::Client(command) => command.run(output),
            Self::Publisher(command) => command.run(output),
        }
    }
}

/// Parses the command line and runs it.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(&cli.global);
    cli.command.run(&output).unwrap_or_else(|failure| output.failure(&failure))
}

//! The command line over all of Quorate.
//!
//! Each subcommand is a module with its arguments and a `run`; what it prints goes through [`output`], for people or as
//! JSON. Exit codes: 0 done, 1 refused or failed, 2 usage or configuration, and what a command adds to them.
//!
//! ```text
//! quorate demo                                                   demo/
//! quorate bench fleet                                            bench_command/fleet/
//! quorate host init|run|drain|recover                            host_command/, one file each
//! quorate cluster|catalog|key|settings|dns|gateway|count|console cluster_commands/, one file or folder each
//! quorate doctor|events|explain|duplicates                       diagnosis/, one file each
//! quorate doctor --client                                        diagnosis/client_doctor/
//! quorate client ...                                             client_command/
//! quorate publisher ...                                          publisher_command/
//! quorate version                                                version_command.rs
//! quorate completion|manual                                      completion_command.rs
//! quorate slmgr ...                                              slmgr_command/: verb.rs is the table of the verbs
//!
//! connections to a node, saved contexts, enrolment               administration/
//! printing, logging, codes read out on the telephone             output/
//! arguments that several commands take                           arguments.rs, secrets.rs
//! files that this account alone may read                         private_files.rs
//! ```
//!
//! Invariant: contains no rule of activation, replication or the wire protocol: it sends requests and prints results.

mod administration;
mod arguments;
mod bench_command;
mod client_command;
mod cluster_commands;
mod completion_command;
mod demo;
mod diagnosis;
mod host_command;
mod output;
mod private_files;
mod publisher_command;
mod secrets;
mod slmgr_command;
mod version_command;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use host::limits::LAST_LINE_TIMEOUT;
use output::Output;

const EXAMPLES: &str = "\
Examples:
  quorate demo                          three nodes, a publisher and clients on loopback: the tour
  quorate host init --node 1 --data /var/lib/quorate --config /etc/quorate/node.toml ...
  quorate host run --config /etc/quorate/node.toml
  quorate count                         on the host: the count of each application
  quorate client activate --host host.example.test:1688 --trust publisher.toml --product NAME";

/// Volume activation as a cluster: all nodes share one count.
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
    /// Run a tour with three nodes, a publisher and client machines, on loopback.
    Demo(demo::Command),
    /// Run a benchmark on a temporary cluster.
    #[command(subcommand)]
    Bench(bench_command::Command),
    /// Run a node, or write its configuration.
    #[command(subcommand)]
    Host(host_command::Command),
    /// Install and show publishers' catalogs on the cluster.
    #[command(subcommand)]
    Catalog(cluster_commands::catalog::Command),
    /// Install host keys on the cluster and activate its nodes.
    #[command(subcommand)]
    Key(cluster_commands::key::Command),
    /// Show the count of each application, against the thresholds of its products.
    Count(cluster_commands::count::Command),
    /// Show and change the cluster and its nodes.
    #[command(subcommand)]
    Cluster(cluster_commands::cluster::Command),
    /// Show and publish the cluster's records in DNS.
    #[command(subcommand)]
    Dns(cluster_commands::dns::Command),
    /// Forward the associations of another vendor's machines to that vendor's own hosts.
    #[command(subcommand)]
    Gateway(cluster_commands::gateway::Command),
    /// Show the requests of client machines and how all nodes answered.
    Events(diagnosis::events::Command),
    /// List CMIDs that several machines use, and those machines.
    Duplicates(diagnosis::duplicates::Command),
    /// Explain what happened to one machine's requests, and why.
    Explain(diagnosis::explain::Command),
    /// Check the cluster, and show how to correct each problem.
    Doctor(diagnosis::doctor::Command),
    /// Print the address of a node's web console.
    Console(cluster_commands::console::Command),
    /// Show and change the settings of the cluster and of its nodes.
    #[command(subcommand)]
    Settings(cluster_commands::settings::Command),
    /// Run the slmgr verbs that administrators know, for hosts and client machines.
    Slmgr(slmgr_command::Command),
    /// Activate a client machine by hand, or as a service.
    #[command(subcommand)]
    Client(client_command::Command),
    /// Make keys, sign catalogs, issue host keys and activate hosts.
    #[command(subcommand)]
    Publisher(publisher_command::Command),
    /// Show version, commit and formats of this program.
    #[command(after_help = version_command::EXAMPLES)]
    Version(version_command::Command),
    /// Print the completion script of a shell.
    #[command(after_help = completion_command::EXAMPLES)]
    Completion(completion_command::Completion),
    /// Write the manual pages of all commands into a folder.
    #[command(after_help = completion_command::MANUAL_EXAMPLES)]
    Manual(completion_command::Manual),
}

impl Command {
    fn run(self, output: &Output) -> output::CommandResult {
        match self {
            Self::Demo(command) => command.run(output),
            Self::Bench(command) => command.run(output),
            Self::Host(command) => command.run(output),
            Self::Catalog(command) => command.run(output),
            Self::Key(command) => command.run(output),
            Self::Count(command) => command.run(output),
            Self::Cluster(command) => command.run(output),
            Self::Dns(command) => command.run(output),
            Self::Gateway(command) => command.run(output),
            Self::Doctor(command) => command.run(output),
            Self::Console(command) => command.run(output),
            Self::Events(command) => command.run(output),
            Self::Duplicates(command) => command.run(output),
            Self::Explain(command) => command.run(output),
            Self::Settings(command) => command.run(output),
            Self::Slmgr(command) => command.run(output),
            Self::Client(command) => {
                // The files that a client machine creates hold its CMID and its key.
                private_files::of_this_account();
                command.run(output)
            }
            Self::Publisher(command) => command.run(output),
            Self::Version(command) => command.run(output),
            Self::Completion(command) => command.run(Cli::command(), output),
            Self::Manual(command) => command.run(Cli::command(), output),
        }
    }
}

/// Parses the command line and runs it.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(&cli.global);
    let ended = cli.command.run(&output).unwrap_or_else(|failure| output.failure(&failure));
    host::flush_log(LAST_LINE_TIMEOUT);
    output.checked(ended)
}

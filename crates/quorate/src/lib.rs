//! The command line over all of Quorate.
//!
//! Each subcommand is a module with its arguments and a `run`; what it prints goes through [`output`], for people or as
//! JSON. Exit codes: 0 done, 1 refused or failed, 2 usage or configuration, and what a command adds to them.
//!
//! Invariant: never holds a rule of activation, replication or the wire of its own: it asks and prints.

mod output;
mod publisher_command;

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
    /// Make keys, sign catalogs, issue host keys and activate hosts.
    #[command(subcommand)]
    Publisher(publisher_command::Command),
}

/// Parses the command line and runs it.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(&cli.global);
    let result = match cli.command {
        Command::Publisher(command) => command.run(&output),
    };
    result.unwrap_or_else(|failure| output.failure(&failure))
}

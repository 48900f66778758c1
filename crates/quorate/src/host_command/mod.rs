//! `quorate host ...`: a node's configuration, and the node itself. Each subcommand has one file.

mod by_file;
pub(crate) mod configuration;
mod drain;
mod init;
mod recover;
mod run;

use crate::{
    output::{CommandResult, Output},
    private_files,
};

/// Commands of a node.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Write a commented configuration for one node.
    #[command(after_help = init::EXAMPLES)]
    Init(init::Init),
    /// Run one node until SIGTERM.
    #[command(after_help = run::EXAMPLES)]
    Run(run::Run),
    /// Continue with this node alone, after a majority of its cluster was lost permanently.
    #[command(after_help = recover::EXAMPLES)]
    Recover(recover::Recover),
    /// Take the node out of service and stop it, while the other nodes keep answering clients.
    #[command(after_help = drain::EXAMPLES)]
    Drain(drain::Drain),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        // The files that a node creates hold its private keys.
        let rights = private_files::of_this_account();
        match self {
            Self::Init(init) => init.run(rights, output),
            Self::Run(run) => run.run(),
            Self::Drain(drain) => drain.run(output),
            Self::Recover(recover) => recover.run(output),
        }
    }
}

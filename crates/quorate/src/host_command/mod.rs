//! `quorate host ...`: a node's configuration, and the node itself. One file a subcommand.

pub(crate) mod configuration;
mod drain;
mod init;
mod recover;
mod run;

use crate::{
    output::{CommandResult, Output},
    private_files,
};

/// What a node's machine does.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Write a commented configuration for one node.
    #[command(after_help = init::EXAMPLES)]
    Init(init::Init),
    /// Run one node until SIGTERM.
    #[command(after_help = run::EXAMPLES)]
    Run(run::Run),
    /// Go on alone with what this node holds, because a majority of its cluster is lost for good.
    #[command(after_help = recover::EXAMPLES)]
    Recover(recover::Recover),
    /// Take the node out of service, and stop it, without a client noticing.
    #[command(after_help = drain::EXAMPLES)]
    Drain(drain::Drain),
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        // What a node keeps holds its private keys.
        let rights = private_files::of_this_account();
        match self {
            Self::Init(init) => init.run(rights, output),
            Self::Run(run) => run.run(),
            Self::Drain(drain) => drain.run(output),
            Self::Recover(recover) => recover.run(output),
        }
    }
}

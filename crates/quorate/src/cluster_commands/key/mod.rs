//! `quorate key ...`: host keys on the cluster, and the publisher's certificates for them.

pub(crate) mod activate;
mod exchange;
pub(crate) mod install;
pub(crate) mod list;
pub(crate) mod release;

use std::process::ExitCode;

use crate::{
    administration::AdminArgs,
    output::{CommandResult, Output},
};

/// Commands for host keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Install a host key on the cluster. Host keys belong on hosts only.
    #[command(after_help = install::EXAMPLES)]
    Install(install::Install),
    /// Exchange the installed keys for certificates of the publisher, one for each node.
    #[command(after_help = activate::EXAMPLES)]
    Activate(activate::Activate),
    /// Release a node's activation slot, so that another host can use it.
    #[command(after_help = release::EXAMPLES)]
    Release(release::Release),
    /// List the installed keys, the nodes that are activated with each, and the remaining activations.
    List {
        #[command(flatten)]
        admin: AdminArgs,
    },
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        match self {
            Self::Install(install) => install.run(output)?,
            Self::Activate(activate) => return activate.run(output),
            Self::Release(release) => return release.run(output),
            Self::List { admin } => list::run(&admin, output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

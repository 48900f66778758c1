//! `quorate bench`: measurements on a cluster that is made for the occasion and gone afterwards.

mod fleet;

use clap::Subcommand;

use crate::output::{CommandResult, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Client machines over months, against three nodes, in a time of their own.
    Fleet(fleet::Command),
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        match self {
            Self::Fleet(command) => command.run(output),
        }
    }
}

//! `quorate bench`: measurements on a cluster that exists only for the measurement.

mod fleet;

use clap::Subcommand;

use crate::output::{CommandResult, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Simulate client machines over months, against three nodes, on a virtual clock.
    Fleet(fleet::Command),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        match self {
            Self::Fleet(command) => command.run(output),
        }
    }
}

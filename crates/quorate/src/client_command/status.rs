//! `quorate client status`: shows the activation status of a client machine.

use std::process::ExitCode;

use client::Options;

use super::{state::ClientStateArgs, status_report};
use crate::output::{CommandResult, Output};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate client status --state DIR
  quorate client status --state DIR --json

Exit code 0, also where the machine is not licensed.";

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    machine: ClientStateArgs,
}

impl StatusArgs {
    pub(crate) fn of(machine: ClientStateArgs) -> Self {
        Self { machine }
    }

    pub(crate) fn run(&self, output: &Output) -> CommandResult {
        let status = match self.machine.without_publisher()? {
            Some(status) => status,
            None => self.machine.open(Options::default())?.status()?,
        };
        status_report::show(&status, output);
        Ok(ExitCode::SUCCESS)
    }
}

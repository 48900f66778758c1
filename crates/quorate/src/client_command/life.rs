//! `quorate client rearm|generalize`: resets the timers (R21), and prepares a machine as an image for others (R22).

use client::Client;

use super::{state::ClientStateArgs, status_report::change};
use crate::output::{CommandResult, Output};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate client rearm --state DIR
  quorate client generalize --state DIR            before the machine's disk is copied as an image

Exit code 0: done. 1: no rearm is left (generalize still makes its other changes), or permission was denied.";

#[derive(Debug, clap::Args)]
pub(crate) struct Rearm {
    #[command(flatten)]
    machine: ClientStateArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Generalize {
    #[command(flatten)]
    machine: ClientStateArgs,
}

impl Rearm {
    pub(crate) fn of(machine: ClientStateArgs) -> Self {
        Self { machine }
    }

    pub(crate) fn run(&self, output: &Output) -> CommandResult {
        change(&self.machine, Client::rearm, output)
    }
}

impl Generalize {
    pub(super) fn run(&self, output: &Output) -> CommandResult {
        change(&self.machine, Client::generalize, output)
    }
}

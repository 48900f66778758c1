//! `quorate client remove-key|clear-key`: removes a key, or makes it unreadable.

use client::Client;

use super::{state::ClientStateArgs, status_report::change};
use crate::output::{CommandResult, Output};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate client clear-key --state DIR       the machine stays activated; to activate it again, install the key again
  quorate client remove-key --state DIR      the machine is no longer licensed

A setup key is public and does not need to be cleared. A direct key is for one or a few machines: a person who reads it
can use its remaining activations. Removing it does not free its activation: only the publisher can free it.";

#[derive(Debug, clap::Args)]
pub(crate) struct RemoveKey {
    #[command(flatten)]
    machine: ClientStateArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ClearKey {
    #[command(flatten)]
    machine: ClientStateArgs,
}

impl RemoveKey {
    pub(crate) fn of(machine: ClientStateArgs) -> Self {
        Self { machine }
    }

    pub(crate) fn run(&self, output: &Output) -> CommandResult {
        change(&self.machine, Client::remove_key, output)
    }
}

impl ClearKey {
    pub(crate) fn of(machine: ClientStateArgs) -> Self {
        Self { machine }
    }

    pub(crate) fn run(&self, output: &Output) -> CommandResult {
        change(&self.machine, Client::clear_key, output)
    }
}

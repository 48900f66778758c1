//! `quorate client rearm|generalize`: the timers set anew (R21), and a machine made an image for others (R22).

use std::path::PathBuf;
use std::process::ExitCode;

use client::{Client, ClientError, Options};

use super::status::{Shown, Text};
use super::trust::TrustArg;
use crate::output::{Failure, Outcome, Output};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate client rearm --state DIR
  quorate client generalize --state DIR            before the machine's disk becomes an image

Exit code 0: done. 1: no rearm is left (generalize does the rest all the same), or the rights are missing.";

#[derive(Debug, clap::Args)]
pub(crate) struct Rearm {
    #[command(flatten)]
    machine: Machine,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Generalize {
    #[command(flatten)]
    machine: Machine,
}

/// Whose state is meant.
#[derive(Debug, clap::Args)]
pub(super) struct Machine {
    /// Where the machine keeps its state.
    #[arg(long, value_name = "DIR")]
    pub(super) state: PathBuf,
    #[command(flatten)]
    pub(super) trust: TrustArg,
}

impl Machine {
    pub(super) fn open(&self, options: Options) -> Result<Client, Failure> {
        let file = self.trust.file(Some(&self.state)).map_err(Failure::usage)?;
        let trust = file.read().map_err(Failure::usage)?;
        Ok(Client::open(&self.state, trust, options)?)
    }

    fn change(&self, change: impl FnOnce(&mut Client) -> Result<(), ClientError>, output: &Output) -> Outcome {
        let mut client = self.open(Options::default())?;
        change(&mut client)?;
        let status = client.status()?;
        output.result(&Shown::of(&status), Text(&status));
        Ok(ExitCode::SUCCESS)
    }
}

impl Rearm {
    pub(super) fn run(&self, output: &Output) -> Outcome {
        self.machine.change(Client::rearm, output)
    }
}

impl Generalize {
    pub(super) fn run(&self, output: &Output) -> Outcome {
        self.machine.change(Client::generalize, output)
    }
}

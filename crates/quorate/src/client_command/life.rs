//! `quorate client rearm|generalize`: the timers set anew (R21), and a machine made an image for others (R22).

use std::path::PathBuf;
use std::process::ExitCode;

use activation::lifecycle::{LicenseStanding, LicenseState, REARMS};
use client::{Client, ClientError, ClientStatus, FoundBy, Options, StateFolder};

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
pub(crate) struct Machine {
    /// Where the machine keeps its state.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: PathBuf,
    #[command(flatten)]
    pub(crate) trust: TrustArg,
}

impl Machine {
    pub(crate) fn open(&self, options: Options) -> Result<Client, Failure> {
        let file = self.trust.file(Some(&self.state)).map_err(Failure::usage)?;
        let trust = file.read().map_err(Failure::usage)?;
        Ok(Client::open(&self.state, trust, options)?)
    }

    /// How a machine stands on which no key was ever installed: there is no publisher to verify anything with, and
    /// nothing to verify. None for any other.
    pub(crate) fn without_publisher(&self) -> Result<Option<ClientStatus>, Failure> {
        if !self.trust.is_unknown(&self.state) {
            return Ok(None);
        }
        let folder = StateFolder::open(&self.state).map_err(ClientError::from)?;
        if folder.channel().is_some() {
            return Ok(None);
        }
        let standing = LicenseStanding {
            state: LicenseState::Unlicensed,
            minutes_left: None,
            next_attempt: None,
            rearms_left: REARMS,
            last_status: None,
        };
        let host = folder.fixed_host().map(ToString::to_string);
        let found_by = if host.is_some() { FoundBy::Fixed } else { FoundBy::Srv };
        Ok(Some(ClientStatus { product: None, standing, cmid: folder.cmid(), host, found_by, licensed_ms: None }))
    }

    pub(super) fn change(
        &self,
        change: impl FnOnce(&mut Client) -> Result<(), ClientError>,
        output: &Output,
    ) -> Outcome {
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

//! The arguments that name the folder of a client machine's state.

use std::path::{Path, PathBuf};

use activation::lifecycle::{LicenseStanding, LicenseState, REARMS};
use anyhow::anyhow;
use client::{Client, ClientError, ClientStatus, FoundBy, Options, StateFolder};

use super::trust::TrustArg;
use crate::output::Failure;

/// The client machine whose state a command uses.
#[derive(Debug, clap::Args)]
pub(crate) struct ClientStateArgs {
    /// Folder in which the machine keeps its state.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: PathBuf,
    #[command(flatten)]
    pub(crate) trust: TrustArg,
}

impl ClientStateArgs {
    /// The state in this folder, with the publisher that is kept beside the installed key.
    pub(crate) fn at(state: PathBuf) -> Self {
        Self { state, trust: TrustArg::default() }
    }

    pub(crate) fn open(&self, options: Options) -> Result<Client, Failure> {
        check_is_made(&self.state)?;
        let file = self.trust.file(Some(&self.state)).map_err(Failure::usage)?;
        let trust = file.read().map_err(Failure::usage)?;
        Ok(Client::open(&self.state, trust, options)?)
    }

    /// The status of a machine on which no key was ever installed: it has no publisher, and nothing to verify. `None`
    /// for any other machine.
    pub(crate) fn without_publisher(&self) -> Result<Option<ClientStatus>, Failure> {
        check_is_made(&self.state)?;
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
        Ok(Some(ClientStatus {
            product: None,
            standing,
            reason: None,
            cmid: folder.cmid(),
            host,
            found_by,
            licensed_ms: None,
        }))
    }
}

/// Refuses a folder without a state, so that a mistyped name does not make a machine with a new CMID.
pub(super) fn check_is_made(state: &Path) -> Result<(), Failure> {
    if StateFolder::is_made(state).map_err(ClientError::from)? {
        return Ok(());
    }
    let folder = state.display();
    Err(Failure::usage(anyhow!(
        "{folder} contains no client state, and none was created: create it with `quorate client install-key KEY \
         --state {folder} --trust FILE`"
    )))
}

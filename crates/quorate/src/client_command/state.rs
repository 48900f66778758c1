//! The folder in which a client machine keeps its state, as arguments name it.

use std::path::{Path, PathBuf};

use activation::lifecycle::{LicenseStanding, LicenseState, REARMS};
use anyhow::anyhow;
use client::{Client, ClientError, ClientStatus, FoundBy, Options, StateFolder};

use super::trust::TrustArg;
use crate::output::Failure;

/// Whose state is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct ClientStateArgs {
    /// Where the machine keeps its state.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: PathBuf,
    #[command(flatten)]
    pub(crate) trust: TrustArg,
}

impl ClientStateArgs {
    /// The state in this folder, with the publisher whose key is installed there.
    pub(crate) fn at(state: PathBuf) -> Self {
        Self { state, trust: TrustArg::default() }
    }

    pub(crate) fn open(&self, options: Options) -> Result<Client, Failure> {
        check_is_made(&self.state)?;
        let file = self.trust.file(Some(&self.state)).map_err(Failure::usage)?;
        let trust = file.read().map_err(Failure::usage)?;
        Ok(Client::open(&self.state, trust, options)?)
    }

    /// How a machine stands on which no key was ever installed: there is no publisher to verify anything with, and
    /// nothing to verify. None for any other.
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

/// Refuses a folder without a state: a mistyped name makes no machine with an id of its own.
pub(super) fn check_is_made(state: &Path) -> Result<(), Failure> {
    if StateFolder::is_made(state).map_err(ClientError::from)? {
        return Ok(());
    }
    let folder = state.display();
    Err(Failure::usage(anyhow!(
        "{folder} holds no state of a client machine, and none was made: `quorate client install-key KEY --state {folder} \
         --trust FILE` makes one"
    )))
}

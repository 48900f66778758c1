//! The sources of a passphrase: a file, an environment variable, or the terminal.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use publisher::{Passphrase, Publisher, Signing, limits::PASSPHRASE_BYTES_MAX};
use zeroize::Zeroizing;

use super::folder::read_bounded;
use crate::output::Failure;

const VARIABLE: &str = "QUORATE_PUBLISHER_PASSPHRASE";

/// Where the passphrase of the private keys is read from.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct PassphraseArgs {
    /// A file with the passphrase of the private keys in its first line. Default: the variable
    /// QUORATE_PUBLISHER_PASSPHRASE, else it is typed at the terminal.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// Passphrase for new private keys. With `ask`, it is typed twice at the terminal.
    pub(super) fn for_new_keys(&self, ask: bool) -> Result<Option<Passphrase>, Failure> {
        let given = self.given()?;
        if given.is_some() || !ask {
            return Ok(given);
        }
        let first = self.typed("Passphrase for the private keys: ")?;
        if self.typed("Repeat the passphrase: ")? != first {
            return Err(Failure::usage(anyhow!("the two passphrases differ: nothing was created")));
        }
        Passphrase::new(first).map(Some).map_err(Failure::usage)
    }

    /// Passphrase for existing keys; `None` where they need none.
    pub(super) fn for_signing(&self, folder: &Path, signing: Signing) -> Result<Option<Passphrase>, Failure> {
        if !Publisher::needs_passphrase(folder, signing)? {
            return Ok(None);
        }
        if let Some(given) = self.given()? {
            return Ok(Some(given));
        }
        let typed = self.typed("Passphrase of the publisher's private keys: ")?;
        Passphrase::new(typed).map(Some).map_err(Failure::usage)
    }

    fn given(&self) -> Result<Option<Passphrase>, Failure> {
        let text = match &self.passphrase_file {
            Some(path) => {
                let bytes = Zeroizing::new(read_bounded(path, PASSPHRASE_BYTES_MAX + 2)?);
                let text = std::str::from_utf8(&bytes).with_context(|| format!("{} is not UTF-8 text", path.display()));
                let text = text.map_err(Failure::usage)?;
                let line = text.lines().next().unwrap_or_default();
                Some(Zeroizing::new(line.to_owned()))
            }
            None => std::env::var(VARIABLE).ok().map(Zeroizing::new),
        };
        text.map(|text| Passphrase::new(text).map_err(Failure::usage)).transpose()
    }

    fn typed(&self, question: &str) -> Result<Zeroizing<String>, Failure> {
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(anyhow!(
                "the private keys are encrypted and stdin is not a terminal: give --passphrase-file FILE or set \
                 {VARIABLE}"
            )));
        }
        Ok(rpassword::prompt_password(question)
            .map(Zeroizing::new)
            .context("cannot read the passphrase from the terminal")?)
    }
}

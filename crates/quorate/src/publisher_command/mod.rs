//! `quorate publisher ...`: the publisher's commands, on the publisher's folder and without a cluster.

mod activate;
mod backup;
mod catalog;
mod direct_key;
mod folder;
mod key;
mod operations;
mod passphrase;
mod serve;

use std::{path::Path, process::ExitCode};

use publisher::{InitError, Passphrase, Publisher};
use serde_json::json;

use self::{folder::Folder, passphrase::PassphraseArgs};
use crate::output::{CommandResult, Failure, Output};

const EXAMPLES: &str = "\
Examples:
  quorate publisher init --dir P --name \"Northlight Software\"
  quorate publisher catalog sign --dir P catalog.toml --out catalog.signed
  quorate publisher key issue --dir P --group server-b
  quorate publisher serve --dir P --listen 0.0.0.0:1691
  quorate publisher activate --dir P --request request.bin --out answer.bin
  quorate publisher backup --dir P --out records.backup

Private keys may be protected by a passphrase (`init --passphrase`). Commands that sign take it from
--passphrase-file, from the variable QUORATE_PUBLISHER_PASSPHRASE, or from the terminal.";

const INIT_EXAMPLES: &str = "\
Example:
  quorate publisher init --dir /srv/publisher --name \"Northlight Software\"

Give P/trust.toml to those who build or run clients, and tell administrators the fingerprint in person. Keep P/root.key
offline: it is needed only to sign catalogs.";

/// Commands of a publisher.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// Create a publisher: its keys, its trust file and its records.
    #[command(after_help = INIT_EXAMPLES)]
    Init {
        #[command(flatten)]
        folder: Folder,
        /// Sign only catalogs whose `publisher` is this name.
        #[arg(long)]
        name: Option<String>,
        /// Encrypt the private keys with a passphrase that is typed at the terminal. A passphrase from a file or
        /// variable does not need this option.
        #[arg(long)]
        passphrase: bool,
        #[command(flatten)]
        given: PassphraseArgs,
    },
    /// Check, sign and show catalogs.
    #[command(subcommand)]
    Catalog(catalog::Command),
    /// Issue host keys, and show and change their limits.
    #[command(subcommand)]
    Key(key::Command),
    /// Issue and show direct keys, which activate single machines without a host.
    #[command(subcommand)]
    DirectKey(direct_key::Command),
    /// Answer a file of activation requests with a file of node certificates.
    #[command(after_help = activate::EXAMPLES)]
    Activate(activate::Activate),
    /// Activate hosts and machines online, until SIGTERM.
    #[command(after_help = serve::EXAMPLES)]
    Serve(serve::Serve),
    /// Write all records into one file.
    #[command(after_help = backup::EXAMPLES)]
    Backup(backup::Backup),
    /// Restore the records of a backup into a publisher that has none.
    #[command(after_help = backup::RESTORE_EXAMPLES)]
    Restore(backup::Restore),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, output: &Output) -> CommandResult {
        match self {
            Self::Init { folder, name, passphrase, given } => {
                init(&folder.path, name.as_deref(), given.for_new_keys(passphrase)?, output)?;
            }
            Self::Catalog(command) => command.run(output)?,
            Self::Key(command) => command.run(output)?,
            Self::DirectKey(command) => command.run(output)?,
            Self::Activate(activate) => activate.run(output)?,
            Self::Serve(serve) => serve.run(output)?,
            Self::Backup(backup) => backup.run(output)?,
            Self::Restore(restore) => restore.run(output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn init(folder: &Path, name: Option<&str>, passphrase: Option<Passphrase>, output: &Output) -> Result<(), Failure> {
    let publisher = Publisher::init(folder, name, passphrase).map_err(|error| match error {
        InitError::NotEmpty { .. } | InitError::Name => Failure::usage(error),
        _ => error.into(),
    })?;
    let trust = folder.join(Publisher::TRUST_FILE);
    let fingerprint = publisher.trust().fingerprint();
    output.result(
        &json!({
            "publisher": publisher.trust().publisher.to_string(),
            "fingerprint": fingerprint.to_string(),
            "trust": trust.display().to_string(),
        }),
        format_args!(
            "Publisher {fingerprint} was created.\n\
             Give to clients      {}\n\
             Keep offline         {}\n\
             Next: quorate publisher catalog sign --dir {} CATALOG.toml --out CATALOG.signed",
            trust.display(),
            folder.join("root.key").display(),
            folder.display(),
        ),
    );
    Ok(())
}

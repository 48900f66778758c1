//! `quorate publisher ...`: what a publisher does in its own folder, away from any cluster.

mod activate;
mod backup;
mod catalog;
mod desk;
mod direct_key;
mod key;
mod passphrase;
mod serve;

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow};
use publisher::{InitError, OpenError, Passphrase, Publisher};
use serde_json::json;

use self::passphrase::PassphraseArgs;
use crate::output::{Failure, Outcome, Output};

const EXAMPLES: &str = "\
Examples:
  quorate publisher init --dir P --name \"Northlight Software\"
  quorate publisher catalog sign --dir P catalog.toml --out catalog.signed
  quorate publisher key issue --dir P --group server-b
  quorate publisher serve --dir P --listen 0.0.0.0:1691
  quorate publisher activate --dir P --request request.bin --out answer.bin
  quorate publisher backup --dir P --out records.backup

Private keys may be protected by a passphrase (`init --passphrase`). Commands that sign take it from --passphrase-file, from
the variable QUORATE_PUBLISHER_PASSPHRASE, or from the terminal.";

const INIT_EXAMPLES: &str = "\
Example:
  quorate publisher init --dir /srv/publisher --name \"Northlight Software\"

Give P/trust.toml to those who build or run clients, and read the fingerprint out to administrators. Keep P/root.key
offline; it is needed to sign catalogs and for nothing else.";

/// What a publisher does.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// Make a publisher: its keys, its trust file, its records.
    #[command(after_help = INIT_EXAMPLES)]
    Init {
        #[command(flatten)]
        folder: Folder,
        /// Sign only catalogs whose `publisher` is this name.
        #[arg(long)]
        name: Option<String>,
        /// Encrypt the private keys, with a passphrase that is typed twice. Given by file or variable, it needs no flag.
        #[arg(long)]
        passphrase: bool,
        #[command(flatten)]
        given: PassphraseArgs,
    },
    /// Check, sign and show catalogs.
    #[command(subcommand)]
    Catalog(catalog::Command),
    /// Issue host keys, and see and change what they give.
    #[command(subcommand)]
    Key(key::Command),
    /// Issue and see direct keys: each activates single machines, without a host.
    #[command(subcommand)]
    DirectKey(direct_key::Command),
    /// Exchange a host key for certificates: one file of requests for one file of answers.
    #[command(after_help = activate::EXAMPLES)]
    Activate(activate::Activate),
    /// Activate hosts and machines online, until SIGTERM.
    #[command(after_help = serve::EXAMPLES)]
    Serve(serve::Serve),
    /// Write all records into one file.
    #[command(after_help = backup::EXAMPLES)]
    Backup(backup::Backup),
    /// Put the records of a backup where none are.
    #[command(after_help = backup::RESTORE_EXAMPLES)]
    Restore(backup::Restore),
}

/// Where the publisher is.
#[derive(Debug, clap::Args)]
pub(crate) struct Folder {
    /// The publisher's folder.
    #[arg(long = "dir", value_name = "DIR")]
    path: PathBuf,
}

/// The wrong folder, one that is in use, or one that has to be mended first.
fn open_failure(error: OpenError) -> Failure {
    match error {
        OpenError::Io { .. } => error.into(),
        _ => Failure::usage(error),
    }
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, output: &Output) -> Outcome {
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
            "Publisher {fingerprint} is made.\n\
             Clients are given    {}\n\
             Keep offline         {}\n\
             Next: quorate publisher catalog sign --dir {} CATALOG.toml --out CATALOG.signed",
            trust.display(),
            folder.join("root.key").display(),
            folder.display(),
        ),
    );
    Ok(())
}

/// A file that was named on the command line, whole, or an error where it is longer than it can rightly be.
fn read_bounded(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(Failure::usage)?;
    if bytes.len() > bytes_max {
        return Err(Failure::usage(anyhow!("{} is longer than {bytes_max} bytes", path.display())));
    }
    Ok(bytes)
}

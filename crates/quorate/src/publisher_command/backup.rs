//! `quorate publisher backup` and `restore`: write the publisher's records into one file, and restore them.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use data_encoding::BASE64;
use publisher::{Operation, Publisher, RecordsError, Report, RestoreError};
use serde_json::json;

use super::{
    folder::{Folder, open_failure},
    operations::unexpected,
};
use admin::time_text;

use crate::{
    administration::block_on,
    output::{
        Failure, Output,
        new_file::{ForceArgs, NewFile, Readers},
    },
};

pub(super) const EXAMPLES: &str = "\
Example:
  quorate publisher backup --dir P --out records.backup        also while `publisher serve` runs

The file holds every issued key in full: protect it like the keys. It holds no private keys: copy P/*.key and
P/trust.toml once, to another machine.";

pub(super) const RESTORE_EXAMPLES: &str = "\
Example, in a folder with P/trust.toml and P/*.key, whose records are missing or empty:
  quorate publisher restore --dir P records.backup

A backup does not hold keys and activation slots that were issued after it: the publisher would refuse those keys and
grant those slots again. Restore the newest backup.";

/// Arguments of `publisher backup`.
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    #[command(flatten)]
    folder: Folder,
    /// File to which the backup is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    force: ForceArgs,
}

/// Arguments of `publisher restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    folder: Folder,
    /// The backup file.
    file: PathBuf,
}

impl Backup {
    pub(super) fn run(&self, output: &Output) -> Result<(), Failure> {
        let file = NewFile::at(&self.out, self.force)?;
        let backup = match self.folder.perform(Operation::Backup)? {
            Report::Backup(backup) => backup,
            other => return Err(unexpected(&other)),
        };
        let bytes =
            BASE64.decode(backup.file.as_bytes()).map_err(|_| anyhow!("the received backup is damaged: try again"))?;
        file.write(&bytes, Readers::Owner)?;
        output.result(
            &json!({ "backup": self.out.display().to_string(), "records": backup.records, "made_ms": backup.made_ms }),
            format_args!("{} holds {} records.", self.out.display(), backup.records),
        );
        Ok(())
    }
}

impl Restore {
    pub(super) fn run(&self, output: &Output) -> Result<(), Failure> {
        let bytes = std::fs::read(&self.file);
        let bytes = bytes.with_context(|| format!("cannot read {}", self.file.display())).map_err(Failure::usage)?;
        let restored = block_on(Publisher::restore(&self.folder.path, &bytes))?.map_err(|error| match error {
            RestoreError::Open(error) => open_failure(error),
            RestoreError::Records(error @ RecordsError::Open(_)) => open_failure(error.into()),
            error => error.into(),
        })?;
        output.result(
            &json!({ "records": restored.records, "made_ms": restored.made_ms }),
            format_args!(
                "{} records of {} are restored. Keys and activations that were issued after that time are no longer \
                 known.",
                restored.records,
                time_text::date(restored.made_ms),
            ),
        );
        Ok(())
    }
}

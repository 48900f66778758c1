//! The publisher's folder, and the arguments that name the folder and keys in it.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use publisher::OpenError;

use crate::output::Failure;

/// The publisher's folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Folder {
    /// The publisher's folder.
    #[arg(long = "dir", value_name = "DIR")]
    pub(super) path: PathBuf,
}

/// The error for a folder that cannot be opened: it is not a publisher's folder, is in use, or has to be repaired
/// first.
pub(super) fn open_failure(error: OpenError) -> Failure {
    match error {
        OpenError::Io { .. } => error.into(),
        _ => Failure::usage(error),
    }
}

/// The argument that names one key of a folder.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    #[command(flatten)]
    pub(super) folder: Folder,
    /// The key's id: 16 hexadecimal digits.
    #[arg(value_name = "KEY_ID")]
    pub(super) id: String,
}

/// The table cell for a key's block state: `blocked` or empty.
pub(super) fn blocked_cell(is_blocked: bool) -> String {
    if is_blocked { "blocked".to_owned() } else { String::new() }
}

/// Reads a file that was named on the command line; an error where it is longer than `bytes_max`.
pub(super) fn read_bounded(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Failure> {
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

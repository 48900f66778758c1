//! Reads a node's configuration for a command.

use std::path::Path;

use host::{Config, OldName, Overrides};

use crate::output::{Failure, Output};

/// Reads a node's configuration, and warns of settings under their former names.
pub(crate) fn load(file: &Path, output: &Output) -> Result<Config, Failure> {
    let config = Config::load(file, &Overrides::default()).map_err(Failure::usage)?;
    warn_of(&config.old_names, output);
    Ok(config)
}

/// Prints a warning for each setting that is given under its former name.
pub(super) fn warn_of(old_names: &[OldName], output: &Output) {
    old_names.iter().for_each(|old_name| output.remark(format_args!("quorate: {old_name}")));
}

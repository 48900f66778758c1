//! Errors of a configuration that is refused.

use std::path::PathBuf;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; `quorate host init` writes one", path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A key is unknown, missing or has a value of another kind.
    #[error("{origin}: {what}")]
    Key {
        /// Where the key was given: the file, or the flags and variables.
        origin: String,
        /// The key, what is wrong with it, and the fix.
        what: String,
    },
    /// A value has the right type but is not allowed.
    #[error("{origin}: {key}: {what}; {fix}")]
    Value {
        /// The file in which the value was given.
        origin: String,
        /// The key of the setting.
        key: &'static str,
        /// What is wrong with the value.
        what: String,
        /// How to correct it.
        fix: &'static str,
    },
}

//! A configuration that is refused.

use std::path::PathBuf;

/// A configuration that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; `quorate host init` writes one", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A key is unknown, missing or has a value of another kind.
    #[error("{origin}: {what}")]
    Key {
        /// The file or the flags.
        origin: String,
        /// The key, what is wrong with it, and the fix.
        what: String,
    },
    /// A value is of the right kind and still impossible.
    #[error("{origin}: {key}: {what}; {fix}")]
    Value {
        /// The file.
        origin: String,
        /// The key.
        key: &'static str,
        /// What is wrong.
        what: String,
        /// What to do.
        fix: &'static str,
    },
}

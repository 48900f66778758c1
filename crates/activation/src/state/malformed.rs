//! The error for bytes that are not a command.

use thiserror::Error;

/// Bytes that are not a command. Holds the name of the malformed field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed command: {0}")]
pub struct MalformedCommand(pub &'static str);

impl MalformedCommand {
    /// Not malformed, but of a kind that only a newer version knows. A node that cannot apply an entry must not skip
    /// it.
    pub const NEWER: Self = Self("of a kind that only a newer version knows");
}

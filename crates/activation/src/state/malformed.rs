//! Bytes that are no command.

use thiserror::Error;

/// Bytes that are no command: the field that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed command: {0}")]
pub struct MalformedCommand(pub &'static str);

impl MalformedCommand {
    /// Not malformed, but of a kind that only a newer version knows: what cannot be applied must not be passed over.
    pub const NEWER: Self = Self("of a kind that only a newer version knows");
}

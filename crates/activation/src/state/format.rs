//! Formats of what is stored and sent between nodes: a version reads the last two, and writes the one that the cluster is
//! set to. So nodes of two versions are one cluster, and go back to the older version, until somebody says otherwise.
//!
//! ```text
//! 1   everything but the audit
//! 2   the audit
//! ```

use std::fmt;

use thiserror::Error;

/// A format that this version reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Format(u32);

/// A format that this version does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this version reads formats {} to {}, not {found}", Format::OLDEST, Format::NEWEST)]
pub struct UnknownFormat {
    pub found: u32,
}

impl Format {
    pub const OLDEST: Self = Self(1);
    /// The newest that this version reads.
    pub const NEWEST: Self = Self(2);
    /// The first that holds the audit.
    pub(crate) const AUDITED: Self = Self(2);

    pub fn new(number: u32) -> Result<Self, UnknownFormat> {
        let format = Self(number);
        let is_read = (Self::OLDEST..=Self::NEWEST).contains(&format);
        is_read.then_some(format).ok_or(UnknownFormat { found: number })
    }

    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// Whether what administrators do is recorded.
    #[must_use]
    pub fn holds_audit(self) -> bool {
        self >= Self::AUDITED
    }
}

impl Default for Format {
    fn default() -> Self {
        Self::OLDEST
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

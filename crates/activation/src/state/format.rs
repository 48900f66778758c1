//! Formats of what is stored and of what nodes send to each other. A version reads all formats from the first on,
//! and writes the one that the cluster is set to. So nodes of two versions form one cluster and can go back to the
//! older version, until an administrator raises the format.
//!
//! ```text
//! 1   everything but the audit
//! 2   the audit
//! 3   a separate clock for expiry; administrators' commands that are carried out once; codes where format 2 has
//!     texts; a state hash that does not read all records; unknown content counts as newer, not as malformed; node
//!     certificates that expire
//! ```
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
    /// The newest format that this version reads.
    pub const NEWEST: Self = Self(3);
    /// The first format that holds the audit.
    pub const AUDITED: Self = Self(2);
    /// The first format with two clocks, commands that are carried out once, and codes instead of texts.
    pub(crate) const CODED: Self = Self(3);

    pub fn new(number: u32) -> Result<Self, UnknownFormat> {
        let format = Self(number);
        let is_read = (Self::OLDEST..=Self::NEWEST).contains(&format);
        is_read.then_some(format).ok_or(UnknownFormat { found: number })
    }

    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// Whether acts of administrators are recorded.
    #[must_use]
    pub fn holds_audit(self) -> bool {
        self >= Self::AUDITED
    }

    /// Whether requests expire by a separate clock, which advances only with confirmed clocks.
    #[must_use]
    pub fn has_expiry_clock(self) -> bool {
        self >= Self::CODED
    }

    /// Whether a command with an id is carried out once, however often it is proposed.
    #[must_use]
    pub fn remembers_commands(self) -> bool {
        self >= Self::CODED
    }

    /// Whether the state holds the registry of keys, beside the authority's signature.
    #[must_use]
    pub fn registers_keys(self) -> bool {
        self >= Self::CODED
    }

    /// Whether nodes may have certificates that expire. Earlier versions cannot read these.
    #[must_use]
    pub fn holds_ending_certificates(self) -> bool {
        self >= Self::CODED
    }

    /// Whether there is a command that makes every node note the hash of its state.
    #[must_use]
    pub fn notes_hashes(self) -> bool {
        self >= Self::CODED
    }

    /// Whether acts and refusals are recorded as codes with values, not as texts.
    #[must_use]
    pub fn holds_codes(self) -> bool {
        self >= Self::CODED
    }

    /// Whether anything that a version does not know, at any depth, counts as newer and is never ignored.
    pub(crate) fn is_strict(self) -> bool {
        self >= Self::CODED
    }

    /// Whether the state hash covers sums over the records of machines in place of the records.
    pub(crate) fn hashes_sums(self) -> bool {
        self >= Self::CODED
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

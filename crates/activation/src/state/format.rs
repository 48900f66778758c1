//! Formats of what is stored and sent between nodes: a version reads the last two, and writes the one that the cluster is
//! set to. So nodes of two versions are one cluster, and go back to the older version, until somebody says otherwise.
//!
//! ```text
//! 1   everything but the audit
//! 2   the audit
//! ```

use std::fmt;
#[cfg(feature = "fault-injection")]
use std::sync::atomic::{AtomicU32, Ordering};

use thiserror::Error;

#[cfg(feature = "fault-injection")]
static NEWEST: AtomicU32 = AtomicU32::new(2);

/// A format that this version reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Format(u32);

/// A format that this version does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this version reads formats {} to {}, not {found}", Format::OLDEST, Format::newest())]
pub struct UnknownFormat {
    pub found: u32,
}

impl Format {
    pub const OLDEST: Self = Self(1);
    /// The first that holds the audit.
    pub(crate) const AUDITED: Self = Self(2);

    /// The newest that this version reads.
    #[must_use]
    pub fn newest() -> Self {
        #[cfg(feature = "fault-injection")]
        return Self(NEWEST.load(Ordering::Relaxed));
        #[cfg(not(feature = "fault-injection"))]
        Self(2)
    }

    /// From here on this process is one of the version before, which knows one format less.
    #[cfg(feature = "fault-injection")]
    pub fn forget_newest() {
        NEWEST.store(1, Ordering::Relaxed);
    }

    pub fn new(number: u32) -> Result<Self, UnknownFormat> {
        let format = Self(number);
        let is_read = (Self::OLDEST..=Self::newest()).contains(&format);
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

//! What a check found: the location, the problem, and how to correct it.

use std::fmt;

/// One problem in the workspace. Every finding names its location and its correction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Path relative to the repository, with `:LINE` where there is one.
    pub(crate) place: String,
    pub(crate) what: String,
    pub(crate) cure: String,
}

impl Finding {
    pub(crate) fn new(place: impl Into<String>, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into(), cure: cure.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n      fix: {}", self.place, self.what, self.cure)
    }
}

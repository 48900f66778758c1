//! How far the nodes of a cluster are from each other: what decides heartbeats and election times.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How far the nodes of a cluster are from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ElectionProfile {
    /// One site.
    #[default]
    Near,
    /// Two sites, or more.
    Far,
}

impl fmt::Display for ElectionProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Near => "near",
            Self::Far => "far",
        })
    }
}

impl FromStr for ElectionProfile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        [Self::Near, Self::Far].into_iter().find(|profile| profile.to_string() == text).ok_or(UnknownProfile)
    }
}

/// The name of no profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is near or far")]
pub struct UnknownProfile;

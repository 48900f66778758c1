//! The distance between the nodes of a cluster, which determines heartbeat and election timeouts.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The distance between the nodes of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ElectionProfile {
    /// All nodes at one site.
    #[default]
    Near,
    /// Nodes at two or more sites.
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

/// The text is not the name of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected near or far")]
pub struct UnknownProfile;

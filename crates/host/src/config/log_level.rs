//! The level of detail of the log.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

/// The levels, from the least to the most detailed.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The level of the log: one level for all lines, levels for the lines of single modules (`TARGET=LEVEL`), or both,
/// separated by commas. These are the directives of `tracing_subscriber::EnvFilter` without spans and fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(String);

/// The error for a text that is not a log level.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a log level; give off, error, warn, info, debug or trace, or TARGET=LEVEL, separated by commas")]
pub struct NoLogLevel(String);

impl FromStr for LogLevel {
    type Err = NoLogLevel;

    /// A word without `=` must be a level: the library would take a misspelt level for a module name, and log
    /// nothing else.
    fn from_str(text: &str) -> Result<Self, NoLogLevel> {
        let is_level = |level: &str| LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
        let is_target = |target: &str| {
            !target.is_empty() && target.chars().all(|letter| letter.is_ascii_alphanumeric() || "_:".contains(letter))
        };
        let is_directive = |part: &str| match part.trim().split_once('=') {
            Some((target, level)) => is_target(target) && is_level(level),
            None => is_level(part.trim()),
        };
        let is_good = text.split(',').all(is_directive);
        let parts = || text.split(',').map(str::trim).collect::<Vec<_>>().join(",");
        is_good.then(|| Self(parts())).ok_or_else(|| NoLogLevel(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for LogLevel {
    fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
        String::deserialize(text)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_targets_are_accepted_and_misspelt_ones_are_not() {
        for (text, kept) in [("info", "info"), ("INFO, host::node=debug", "INFO,host::node=debug"), ("off", "off")] {
            assert_eq!(text.parse::<LogLevel>().map(|level| level.to_string()).as_deref(), Ok(kept));
        }
        for text in ["", "inof", "info,", "host=", "=debug", "host=verbose", "info;debug", "[span]=info"] {
            assert_eq!(text.parse::<LogLevel>(), Err(NoLogLevel(text.to_owned())));
        }
    }
}

//! What one search asked, and what was answered.

use std::fmt;

use super::error::FindError;
use super::found::FoundHost;

/// A search for hosts: every name that was asked for, in order, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    pub asked: Vec<AskedName>,
    /// The hosts of the first domain that has any which can be tried.
    pub result: Result<Vec<FoundHost>, FindError>,
}

/// A name of the service in one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedName {
    pub name: String,
    pub answer: NameAnswer,
}

/// What came of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameAnswer {
    /// So many of its records name hosts with addresses.
    Hosts(usize),
    /// There is nothing to try: why.
    Nothing(FindError),
}

impl fmt::Display for NameAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosts(1) => formatter.write_str("1 host"),
            Self::Hosts(count) => write!(formatter, "{count} hosts"),
            Self::Nothing(FindError::NoRecord { names }) => {
                let alias = names.iter().find_map(|name| name.split_once(" ("));
                formatter.write_str("no record")?;
                alias.map_or(Ok(()), |(_, of)| write!(formatter, " ({of}"))
            }
            Self::Nothing(error) => write!(formatter, "{error}"),
        }
    }
}

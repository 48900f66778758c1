//! The queries of one search, and their results.

use std::fmt;

use super::error::FindError;
use super::found::FoundHost;

/// A search for hosts: every queried name in order, with its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    pub asked: Vec<AskedName>,
    /// The hosts of the first domain that has usable ones.
    pub result: Result<Vec<FoundHost>, FindError>,
}

/// The name of the service in one domain, with the result of its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedName {
    pub name: String,
    pub answer: NameAnswer,
}

/// The result of the query for one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameAnswer {
    /// The number of records that name hosts with addresses.
    Hosts(usize),
    /// Nothing to try, with the reason.
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

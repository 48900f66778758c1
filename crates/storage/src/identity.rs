//! The identity and format of a store: a small text file beside the database, which is read before sled opens the
//! database.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

const PREAMBLE: &str = "\
# Written once, when this store was created. It belongs to this owner alone:
# a copy under a second node would make two nodes of one.
";

/// What a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A node's log.
    Node,
    /// A publisher's records.
    Publisher,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Publisher => "publisher",
        })
    }
}

/// The identity of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// What the store holds.
    pub kind: Kind,
    /// The number of the node that owns the store; 0 for a publisher.
    pub owner: u64,
    /// Random, made when the store was created: a node whose disk was wiped and that returns under its old number
    /// has another UUID.
    pub store: Uuid,
    /// The format of everything in the store.
    pub format: u32,
}

impl Identity {
    pub(crate) fn to_text(self) -> String {
        let Self { kind, owner, store, format } = self;
        format!("{PREAMBLE}kind = \"{kind}\"\nowner = {owner}\nstore = \"{store}\"\nformat = {format}\n")
    }

    pub(crate) fn from_text(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_back_as_it_was_written() {
        let identity = Identity { kind: Kind::Node, owner: 3, store: Uuid::from_u128(7), format: 1 };
        assert_eq!(Identity::from_text(&identity.to_text()).unwrap(), identity);
    }
}

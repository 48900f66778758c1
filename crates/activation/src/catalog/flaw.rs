//! Flaws of a catalog, and how its publisher corrects them.

use std::fmt;

use crate::id::InvalidId;
use crate::key::{KeyError, KeyKind};
use crate::limits;

/// One reason why a catalog is not sound. `Display` states the flaw, [`Flaw::fix`] the correction. Both are for the
/// publisher, and neither enters the replicated state (see `state/frozen_text.rs`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A title, an edition's name or the publisher's name is empty, too long, or holds control characters.
    Text,
    /// The serial is 0.
    SerialZero,
    /// A section has more entries than a catalog may have.
    TooManyEntries { section: &'static str, max: usize },
    /// A name has characters that names may not have.
    Name(InvalidId),
    /// A code or generation is not a number of 1 to 255.
    NotSmall { field: &'static str },
    /// A name or code is used twice in its section.
    Twice { section: &'static str, field: &'static str },
    /// A field refers to an entry of another section that does not exist.
    Unknown { section: &'static str },
    /// Following `above` from a group leads back to the group.
    LadderCycle,
    /// The threshold is out of range.
    Threshold,
    /// A product has more editions than it may have.
    TooManyEditions,
    /// An edition's setup key is not a valid key.
    SetupKey { edition: String, error: KeyError },
    /// An edition's setup key is a key of another kind.
    NotASetupKey { edition: String, kind: KeyKind },
    /// Two editions have one setup key.
    SetupKeyTwice { edition: String },
    /// No group's keys cover the product.
    NotCovered,
    /// More keys and certificates are blocked than a catalog may hold.
    TooManyBlocked,
    /// A blocked key or certificate is not a valid id.
    BlockedId { field: &'static str, error: InvalidId, fix: &'static str },
    /// The encoded catalog would exceed its size limit with so many blocked keys and certificates.
    NoRoomForBlocked { blocked: usize },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => {
                write!(f, "not a text of 1 to {} bytes without control characters", limits::TITLE_BYTES_MAX)
            }
            Self::SerialZero => f.write_str("the serial is 0"),
            Self::TooManyEntries { section, max } => write!(f, "more than {max} entries of `{section}`"),
            Self::Name(error) | Self::BlockedId { error, .. } => error.fmt(f),
            Self::NotSmall { field } => write!(f, "`{field}` is not a number of 1 to 255"),
            Self::Twice { section, field } => write!(f, "this `{field}` is used twice in `{section}`"),
            Self::Unknown { section } => write!(f, "this {section} is not in the catalog"),
            Self::LadderCycle => f.write_str("the `above` entries form a cycle through this group"),
            Self::Threshold => write!(f, "the threshold is not a number of 1 to {}", limits::THRESHOLD_MAX),
            Self::TooManyEditions => write!(f, "more than {} editions", limits::EDITIONS_MAX),
            Self::SetupKey { edition, error } => write!(f, "the setup key of edition {edition:?}: {error}"),
            Self::NotASetupKey { edition, kind } => {
                write!(f, "the key of edition {edition:?} is a {kind}, not a setup key")
            }
            Self::SetupKeyTwice { edition } => write!(f, "the setup key of edition {edition:?} is used twice"),
            Self::NotCovered => f.write_str("no group's keys cover a product of this generation"),
            Self::TooManyBlocked => write!(f, "more than {} blocked keys and certificates", limits::BLOCKED_MAX),
            Self::NoRoomForBlocked { blocked } => {
                write!(f, "it has no room for {blocked} blocked keys and certificates")
            }
        }
    }
}

impl Flaw {
    /// How the publisher corrects the flaw.
    #[must_use]
    pub fn fix(&self) -> String {
        let fix = match self {
            Self::Text => "correct the text",
            Self::SerialZero => "begin with serial 1",
            Self::TooManyEntries { .. } | Self::TooManyBlocked => "remove some",
            Self::Name(_) => "correct the name",
            Self::NotSmall { .. } => "choose another number",
            Self::Twice { .. } => "choose another",
            Self::Unknown { section } => return format!("add a [[{section}]] of this name, or correct it"),
            Self::LadderCycle => "remove one of the `above` entries in it",
            Self::Threshold => "choose another number; 25 and 5 are usual",
            Self::TooManyEditions => "split it into several products",
            Self::SetupKey { .. } | Self::NotASetupKey { .. } | Self::SetupKeyTwice { .. } => {
                "create one with `quorate publisher catalog setup-key`"
            }
            Self::NotCovered => "raise the generation of its group, or lower the product's",
            Self::BlockedId { fix, .. } => fix,
            Self::NoRoomForBlocked { .. } => {
                "block the host keys with the most blocked certificates (`quorate publisher key block`), and issue new \
                 keys instead: certificates of a blocked key do not count"
            }
        };
        fix.to_owned()
    }
}

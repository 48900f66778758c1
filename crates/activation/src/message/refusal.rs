//! The detail that a host adds to a refusal: which group is needed and which groups it holds, or which limit was
//! reached. It is advice for the user and not signed.

use prost::Message;

use crate::catalog::Name;
use crate::proto;

/// Detail of a refusal with 0xC004F042 (the host's key does not cover the product), or with 0xC004F039 where a limit
/// was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusalDetail {
    /// The lowest group whose keys cover the product; `None` where the host's catalog does not list it.
    pub needed: Option<Name>,
    /// Groups of the host's keys, at most [`RefusalDetail::HELD_MAX`].
    pub held: Vec<Name>,
    /// The limit of new CMIDs from one source in a minute that was reached; 0 where this was not the reason.
    pub new_cmids_per_minute: u32,
}

impl RefusalDetail {
    /// The most groups that a detail names.
    pub const HELD_MAX: usize = 3;
    const BYTES_MAX: usize = 256;

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        proto::RefusalDetail {
            needed: self.needed.as_ref().map(ToString::to_string).unwrap_or_default(),
            held: self.held.iter().take(Self::HELD_MAX).map(ToString::to_string).collect(),
            new_cmids_per_minute: self.new_cmids_per_minute,
        }
        .encode_to_vec()
    }

    /// Decodes a detail. `None` where the bytes are not a detail; the refusal holds without it.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > Self::BYTES_MAX {
            return None;
        }
        let raw = proto::RefusalDetail::decode(bytes).ok()?;
        let needed = if raw.needed.is_empty() { None } else { Some(raw.needed.parse().ok()?) };
        let held: Vec<Name> =
            raw.held.iter().take(Self::HELD_MAX).map(|name| name.parse().ok()).collect::<Option<_>>()?;
        Some(Self { needed, held, new_cmids_per_minute: raw.new_cmids_per_minute })
    }
}

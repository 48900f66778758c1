//! Short digests with a purpose. Identifying values of a machine are stored and sent only in this form.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// The first 8 bytes of SHA-256 over a purpose and texts, each ended by a zero byte.
pub(crate) fn short<'a>(purpose: &str, texts: impl IntoIterator<Item = &'a str>) -> [u8; 8] {
    let mut hasher = Sha256::new_with_prefix(purpose);
    hasher.update([0]);
    let mut texts = texts.into_iter().peekable();
    while let Some(text) = texts.next() {
        hasher.update(text);
        if texts.peek().is_some() {
            hasher.update([0]);
        }
    }
    let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = hasher.finalize().into();
    [a, b, c, d, e, f, g, h]
}

/// The digest of one factor of a machine's identity: it shows that the factor changed, and does not reveal its
/// value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactorDigest(pub [u8; 8]);

impl fmt::Display for FactorDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for FactorDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FactorDigest({self})")
    }
}

impl Serialize for FactorDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FactorDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| de::Error::custom("a digest has 16 hexadecimal digits"))
    }
}

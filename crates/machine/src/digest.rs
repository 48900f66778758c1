//! Short digests with a purpose: what identifies a machine is kept and sent as these and as nothing else.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// The first 8 bytes of SHA-256 over a purpose and texts; a zero ends each of them.
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

/// One factor of a machine's identity: enough to see that it changed, and too little to say what it was.
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

//! Identifiers: small values, validated when they are parsed.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;
use thiserror::Error;

use crate::limits::{MACHINE_NAME_BYTES_MAX, NODE_ID_MAX};
use crate::signature::short_hash;

/// The error for a text or a byte string that is not the expected identifier. Never repeats the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not {expected}")]
pub struct InvalidId {
    /// The expected identifier, as a noun phrase.
    pub expected: &'static str,
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let expected = InvalidId { expected: $expected };
                if text.len() != 2 * $bytes {
                    return Err(expected);
                }
                let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| expected)?;
                Self::try_from(bytes.as_slice())
            }
        }

        bytes_id!($name, $bytes, $expected);
    };
}

macro_rules! bytes_id {
    ($name:ident, $bytes:literal, $expected:literal) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = InvalidId;

            fn try_from(bytes: &[u8]) -> Result<Self, InvalidId> {
                bytes.try_into().map(Self).map_err(|_| InvalidId { expected: $expected })
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
    };
}

hex_id! {
    /// A publisher id, from its root key: the first 16 bytes of SHA-256("quorate/publisher/1", root public key).
    PublisherId, 16, "a publisher id of 32 hexadecimal digits"
}
hex_id! {
    /// A product id: the first 16 bytes of SHA-256("quorate/product/1", publisher id, product name). A client can
    /// name a product in a request without holding the catalog.
    ProductId, 16, "a product id of 32 hexadecimal digits"
}
hex_id! {
    /// The id of a typed key: the first 8 bytes of SHA-256("quorate/key/1", its 25 symbols).
    KeyId, 8, "a key id of 16 hexadecimal digits"
}
hex_id! {
    /// The id of a node certificate: the first 16 bytes of SHA-256("quorate/certificate/1", the bytes that its
    /// publisher signed).
    CertificateId, 16, "a certificate id of 32 hexadecimal digits"
}
hex_id! {
    /// Digest of a machine's identity, computed by the client; distinguishes cloned machines.
    MachineDigest, 8, "a machine digest of 16 hexadecimal digits"
}

/// Client machine id (R10), generated at installation; written as a hyphenated UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cmid(pub [u8; 16]);

impl fmt::Display for Cmid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl FromStr for Cmid {
    type Err = InvalidId;

    /// Accepts every usual form of a UUID: hyphenated, plain, in braces.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let uuid = uuid::Uuid::try_parse(text).map_err(|_| InvalidId { expected: "a CMID in the form of a UUID" })?;
        Ok(Self(uuid.into_bytes()))
    }
}

bytes_id!(Cmid, 16, "a CMID of 16 bytes");

impl PublisherId {
    /// Derives the publisher's id from its root public key.
    #[must_use]
    pub fn derive(root: &ed25519_dalek::VerifyingKey) -> Self {
        Self(short_hash("quorate/publisher/1", &[root.as_bytes()]))
    }
}

impl ProductId {
    /// Derives the id of the product that `publisher` calls `name`.
    #[must_use]
    pub fn derive(publisher: PublisherId, name: &str) -> Self {
        Self(short_hash("quorate/product/1", &[&publisher.0, name.as_bytes()]))
    }
}

/// A publisher id for reading aloud: eight groups of four digits. Parsed with or without separators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(pub PublisherId);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pair) in self.0.0.chunks(2).enumerate() {
            if index > 0 {
                f.write_str("-")?;
            }
            pair.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits: String = text.chars().filter(|c| !matches!(c, '-' | ':') && !c.is_whitespace()).collect();
        let invalid = |_| InvalidId { expected: "a publisher's fingerprint of 32 hexadecimal digits" };
        digits.parse().map(Self).map_err(invalid)
    }
}

/// The number of a node in its cluster: 1 to [`NODE_ID_MAX`], validated where it is parsed.
pub type NodeId = u64;

/// Validates a number as a node id.
pub fn node_id(number: u64) -> Result<NodeId, InvalidId> {
    if (1..=NODE_ID_MAX).contains(&number) {
        Ok(number)
    } else {
        Err(InvalidId { expected: "a node id of 1 to 65535" })
    }
}

/// A machine's own name: 1 to 63 bytes of letters and digits of any script, and `-`, `_`, `.`. Safe to print, to log
/// and to put into a table. Stored inline, because one is decoded with every record of the log.
#[derive(Clone)]
pub struct MachineName {
    length: u8,
    bytes: [u8; MACHINE_NAME_BYTES_MAX],
}

const NOT_A_MACHINE_NAME: InvalidId =
    InvalidId { expected: "a machine name of 1 to 63 bytes of letters, digits, and - _ ." };

impl MachineName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only `try_from` builds the value, from valid text, so this never fails.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl TryFrom<&[u8]> for MachineName {
    type Error = InvalidId;

    fn try_from(text: &[u8]) -> Result<Self, InvalidId> {
        let length = u8::try_from(text.len()).map_err(|_| NOT_A_MACHINE_NAME)?;
        let mut bytes = [0; MACHINE_NAME_BYTES_MAX];
        let name = bytes.get_mut(..text.len()).filter(|name| !name.is_empty()).ok_or(NOT_A_MACHINE_NAME)?;
        name.copy_from_slice(text);
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !text.iter().all(plain) {
            let text = std::str::from_utf8(text).map_err(|_| NOT_A_MACHINE_NAME)?;
            if !text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.')) {
                return Err(NOT_A_MACHINE_NAME);
            }
        }
        Ok(Self { length, bytes })
    }
}

impl FromStr for MachineName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::try_from(text.as_bytes())
    }
}

impl fmt::Display for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MachineName({})", self.as_str())
    }
}

impl PartialEq for MachineName {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for MachineName {}

impl PartialOrd for MachineName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MachineName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

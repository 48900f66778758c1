//! The typed key: 25 symbols that a person types from a document into a prompt.
//!
//! A key is an identifier and gives no rights. Rights come only from the certificate that a publisher signs in
//! exchange for it. Symbols, in order: kind, group hint, 21 random (102 bits), and two check symbols, which also
//! locate a typing error.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::id::KeyId;
use crate::signature::short_hash;
pub use crate::symbols::{DoubtfulGroups, SymbolError};
use crate::symbols::{FREE_SYMBOLS, SYMBOLS, digits, parse, seal, show, symbol, value};

const RANDOM_SYMBOLS: usize = FREE_SYMBOLS - 2;

/// The highest group hint that one symbol can hold.
pub const GROUP_HINT_MAX: u8 = 28;

/// The use of a key (R24, R30, R35).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// Installed on hosts, and exchanged for node certificates.
    Host,
    /// Public, one for each product edition: selects volume activation on a client.
    Setup,
    /// Activates one machine with the publisher directly.
    Direct,
}

impl KeyKind {
    const ALL: [Self; 3] = [Self::Host, Self::Setup, Self::Direct];

    fn symbol(self) -> u8 {
        match self {
            Self::Host => b'H',
            Self::Setup => b'P',
            Self::Direct => b'D',
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host key",
            Self::Setup => "setup key",
            Self::Direct => "direct key",
        })
    }
}

/// A valid key. `Display` writes the whole key, `Debug` only its last group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypedKey {
    kind: KeyKind,
    symbols: [u8; SYMBOLS],
}

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    #[error("the key is not valid: {0}")]
    Symbols(#[from] SymbolError),
    #[error("the first character of group 1 is not that of a host key, setup key or direct key")]
    Kind,
}

impl TypedKey {
    /// Generates a key. `group_hint` is at most [`GROUP_HINT_MAX`]; a higher value is reduced to it. `entropy`
    /// determines the random symbols.
    #[must_use]
    pub fn generate(kind: KeyKind, group_hint: u8, entropy: [u8; 16]) -> Self {
        let hint = symbol(u32::from(group_hint.min(GROUP_HINT_MAX)));
        let random = digits(u128::from_be_bytes(entropy)).take(RANDOM_SYMBOLS);
        Self { kind, symbols: seal([kind.symbol(), hint].into_iter().chain(random)) }
    }

    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The group number that the publisher wrote into the key: a hint for readers that gives no rights.
    #[must_use]
    pub fn group_hint(&self) -> u8 {
        self.symbols.get(1).and_then(|symbol| value(*symbol)).and_then(|value| u8::try_from(value).ok()).unwrap_or(0)
    }

    #[must_use]
    pub fn key_id(&self) -> KeyId {
        KeyId(short_hash("quorate/key/1", &[&self.symbols]))
    }

    /// The key with all but its last group hidden.
    #[must_use]
    pub fn masked(&self) -> String {
        let shown = self.to_string();
        let last = shown.rsplit('-').next().unwrap_or_default();
        format!("*****-*****-*****-*****-{last}")
    }
}

impl FromStr for TypedKey {
    type Err = KeyError;

    /// Accepts lower case, and spaces and hyphens anywhere.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let symbols = parse(text)?;
        let kind =
            KeyKind::ALL.into_iter().find(|kind| symbols.first() == Some(&kind.symbol())).ok_or(KeyError::Kind)?;
        Ok(Self { kind, symbols })
    }
}

impl fmt::Display for TypedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.symbols, f)
    }
}

impl fmt::Debug for TypedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypedKey({})", self.masked())
    }
}

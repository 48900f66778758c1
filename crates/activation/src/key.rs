//! The typed key: 25 symbols that a person copies from a letter into a prompt.
//!
//! A key identifies; it gives no rights. Those come only from the certificate that a publisher signs in exchange for it.
//! Symbols, in order: kind, group hint, 22 random (106 bits), check. The alphabet has 29 symbols, a prime, so a weighted
//! sum modulo 29 with distinct weights that are not zero catches every single wrong symbol and every swap of two.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::id::KeyId;
use crate::signature::short_hash;

/// Digits and capital letters without `0`, `O`, `1`, `I`, `L`, `5`'s twin `S`, and `U`.
const ALPHABET: &[u8; 29] = b"23456789ABCDEFGHJKMNPQRTVWXYZ";
const SYMBOLS: usize = 25;
const GROUP_SYMBOLS: usize = 5;
const RANDOM_SYMBOLS: usize = 22;
/// The weight of the check symbol, which stands last.
const CHECK_WEIGHT: u32 = 25;
/// 25 * 7 = 175 = 6 * 29 + 1.
const CHECK_WEIGHT_INVERSE: u32 = 7;
const MODULUS: u32 = 29;

const _: () = assert!(CHECK_WEIGHT * CHECK_WEIGHT_INVERSE % MODULUS == 1);
const _: () = assert!(2 + RANDOM_SYMBOLS + 1 == SYMBOLS);

/// The highest group hint that one symbol holds.
pub const GROUP_HINT_MAX: u8 = 28;

/// What a key is for (R24, R30, R35).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// Installed on hosts; exchanged for node certificates.
    Host,
    /// Public, one per product edition: selects volume activation on a client.
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

/// A valid key. `Display` shows all of it; `Debug` only its last group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypedKey {
    kind: KeyKind,
    symbols: [u8; SYMBOLS],
}

/// Why a text is not a key. Groups and places are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    #[error("a key has 25 characters in five groups; this has {symbols}")]
    Length { symbols: usize },
    #[error("character {place} of group {group} does not occur in keys")]
    Symbol { group: usize, place: usize },
    #[error("the first character of group 1 names no kind of key")]
    Kind,
    #[error("the key is mistyped: its check character does not fit")]
    Check,
}

impl TypedKey {
    /// Makes a key. `group_hint` is at most [`GROUP_HINT_MAX`] (higher ones are cut to it); the entropy decides the rest.
    #[must_use]
    pub fn generate(kind: KeyKind, group_hint: u8, entropy: [u8; 16]) -> Self {
        let mut symbols = [0; SYMBOLS];
        let mut random = u128::from_be_bytes(entropy);
        let random = std::iter::repeat_with(|| {
            let value = u32::try_from(random % u128::from(MODULUS)).unwrap_or(0);
            random /= u128::from(MODULUS);
            symbol(value)
        });
        let hint = symbol(u32::from(group_hint.min(GROUP_HINT_MAX)));
        let chosen = [kind.symbol(), hint].into_iter().chain(random.take(RANDOM_SYMBOLS));
        symbols.iter_mut().zip(chosen).for_each(|(to, from)| *to = from);
        let check = (MODULUS - weighted_sum(&symbols)) * CHECK_WEIGHT_INVERSE % MODULUS;
        if let Some(last) = symbols.last_mut() {
            *last = symbol(check);
        }
        Self { kind, symbols }
    }

    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// What the publisher wrote into the key about its group; a hint for people, never a right.
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
        let last: String =
            self.symbols.iter().skip(SYMBOLS - GROUP_SYMBOLS).map(|symbol| char::from(*symbol)).collect();
        format!("*****-*****-*****-*****-{last}")
    }
}

fn symbol(value: u32) -> u8 {
    ALPHABET.get(value as usize).copied().unwrap_or(b'?')
}

fn value(symbol: u8) -> Option<u32> {
    (0..).zip(ALPHABET).find(|(_, candidate)| **candidate == symbol).map(|(value, _)| value)
}

/// Sum of weight times value, modulo 29; symbols that are not in the alphabet count as zero.
fn weighted_sum(symbols: &[u8; SYMBOLS]) -> u32 {
    (1..).zip(symbols).map(|(weight, symbol)| weight * value(*symbol).unwrap_or(0)).sum::<u32>() % MODULUS
}

impl FromStr for TypedKey {
    type Err = KeyError;

    /// Tolerates lower case, and spaces and hyphens anywhere.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let typed = || text.chars().filter(|c| !c.is_whitespace() && *c != '-');
        let count = typed().take(10 * SYMBOLS).count();
        if count != SYMBOLS {
            return Err(KeyError::Length { symbols: count });
        }
        let mut symbols = [0; SYMBOLS];
        for (index, (to, c)) in symbols.iter_mut().zip(typed()).enumerate() {
            let doubtful = KeyError::Symbol { group: index / GROUP_SYMBOLS + 1, place: index % GROUP_SYMBOLS + 1 };
            let upper = u8::try_from(c).map_err(|_| doubtful)?.to_ascii_uppercase();
            *to = value(upper).map(|_| upper).ok_or(doubtful)?;
        }
        if weighted_sum(&symbols) != 0 {
            return Err(KeyError::Check);
        }
        let kind =
            KeyKind::ALL.into_iter().find(|kind| symbols.first() == Some(&kind.symbol())).ok_or(KeyError::Kind)?;
        Ok(Self { kind, symbols })
    }
}

impl fmt::Display for TypedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.symbols.chunks(GROUP_SYMBOLS).enumerate() {
            if index > 0 {
                f.write_str("-")?;
            }
            group.iter().try_for_each(|symbol| write!(f, "{}", char::from(*symbol)))?;
        }
        Ok(())
    }
}

impl fmt::Debug for TypedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypedKey({})", self.masked())
    }
}

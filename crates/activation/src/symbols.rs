//! Twenty-five symbols that a person types: the form of typed keys and of lines that are read out.
//!
//! The alphabet has 29 symbols, a prime, so symbols are numbers of a field. The last two of the 25 make two sums
//! zero: the plain sum and the sum weighted by position. One wrong symbol changes both sums, and their quotient is
//! its position. A swap of two different symbols leaves the first sum and changes the second. So each such error is
//! detected, and its group can be named.

use std::fmt;

use thiserror::Error;

/// Digits and capital letters without `0`, `O`, `1`, `I`, `L`, `S` (which resembles `5`), and `U`.
const ALPHABET: &[u8; 29] = b"23456789ABCDEFGHJKMNPQRTVWXYZ";
pub(crate) const SYMBOLS: usize = 25;
/// The number of symbols beside the two check symbols.
pub(crate) const FREE_SYMBOLS: usize = SYMBOLS - 2;
const GROUP_SYMBOLS: usize = 5;
const GROUPS: usize = SYMBOLS / GROUP_SYMBOLS;
pub(crate) const MODULUS: u32 = 29;
/// Weights of the two check symbols, which are the last ones; the weight of a symbol is its position, counted from
/// 1.
const CHECK_WEIGHTS: [u32; 2] = [24, 25];

const _: () = assert!(CHECK_WEIGHTS[1] < MODULUS && CHECK_WEIGHTS[1] - CHECK_WEIGHTS[0] == 1);

/// Why a text is not 25 valid symbols. Groups and positions are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SymbolError {
    #[error("expected 25 characters in five groups, but found {symbols}{}", doubtful.hint())]
    Length { symbols: usize, doubtful: DoubtfulGroups },
    #[error("character {place} of group {group} is not valid: only digits 2 to 9 and letters without I, L, O, S and U")]
    Symbol { group: usize, place: usize },
    #[error("mistyped: the check characters do not match{}", doubtful.hint())]
    Check { doubtful: DoubtfulGroups },
}

/// The groups in which a typing error may be, if one symbol is wrong or two neighbours are swapped; empty where more
/// symbols are wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoubtfulGroups([bool; GROUPS]);

impl DoubtfulGroups {
    /// The numbers of the groups, counted from 1.
    pub fn groups(self) -> impl Iterator<Item = usize> {
        (1..).zip(self.0).filter(|(_, doubtful)| *doubtful).map(|(group, _)| group)
    }

    fn add_symbol(&mut self, index: usize) {
        if let Some(group) = self.0.get_mut(index / GROUP_SYMBOLS) {
            *group = true;
        }
    }

    fn hint(self) -> Hint {
        Hint(self)
    }
}

struct Hint(DoubtfulGroups);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<_> = self.0.groups().map(|group| group.to_string()).collect();
        match groups.as_slice() {
            [] => f.write_str("; check all groups"),
            [group] => write!(f, "; check group {group}"),
            [first @ .., last] => write!(f, "; check groups {} and {last}", first.join(", ")),
        }
    }
}

/// The symbol of a number below [`MODULUS`].
pub(crate) fn symbol(value: u32) -> u8 {
    ALPHABET.get(value as usize).copied().unwrap_or(b'?')
}

/// The number of a symbol of the alphabet.
pub(crate) fn value(symbol: u8) -> Option<u32> {
    (0..).zip(ALPHABET).find(|(_, candidate)| **candidate == symbol).map(|(value, _)| value)
}

/// Symbols for the lowest digits of `number` in base 29, the lowest first.
pub(crate) fn digits(mut number: u128) -> impl Iterator<Item = u8> {
    std::iter::repeat_with(move || {
        let digit = u32::try_from(number % u128::from(MODULUS)).unwrap_or(0);
        number /= u128::from(MODULUS);
        symbol(digit)
    })
}

/// Reads the number that [`digits`] wrote; `None` where it exceeds 128 bits.
pub(crate) fn number(digits: &[u8]) -> Option<u128> {
    digits
        .iter()
        .rev()
        .try_fold(0_u128, |number, digit| number.checked_mul(MODULUS.into())?.checked_add(u128::from(value(*digit)?)))
}

/// Appends the two check symbols.
pub(crate) fn seal(free: impl IntoIterator<Item = u8>) -> [u8; SYMBOLS] {
    let mut symbols = [symbol(0); SYMBOLS];
    symbols.iter_mut().take(FREE_SYMBOLS).zip(free).for_each(|(to, from)| *to = from);
    let (plain, weighted) = sums(&symbols);
    // The last two symbols are worth 0 so far. x + y = -plain, 24x + 25y = -weighted.
    let last = (CHECK_WEIGHTS[0] * plain + (MODULUS - weighted)) % MODULUS;
    let first = (2 * MODULUS - plain - last) % MODULUS;
    symbols.iter_mut().skip(FREE_SYMBOLS).zip([first, last]).for_each(|(to, from)| *to = symbol(from));
    symbols
}

/// The plain and the weighted sum, modulo 29.
fn sums(symbols: &[u8; SYMBOLS]) -> (u32, u32) {
    let values = || symbols.iter().map(|symbol| value(*symbol).unwrap_or(0));
    let weighted = (1..).zip(values()).map(|(weight, value)| weight * value).sum::<u32>();
    (values().sum::<u32>() % MODULUS, weighted % MODULUS)
}

/// Reads typed text: accepts lower case, and spaces and hyphens anywhere.
pub(crate) fn parse(text: &str) -> Result<[u8; SYMBOLS], SymbolError> {
    let is_gap = |c: char| c.is_whitespace() || c == '-';
    let typed = || text.chars().filter(|c| !is_gap(*c));
    let count = typed().take(10 * SYMBOLS).count();
    if count != SYMBOLS {
        return Err(SymbolError::Length { symbols: count, doubtful: wrong_lengths(text, is_gap) });
    }
    let mut symbols = [0; SYMBOLS];
    for (index, (to, c)) in symbols.iter_mut().zip(typed()).enumerate() {
        let doubtful = SymbolError::Symbol { group: index / GROUP_SYMBOLS + 1, place: index % GROUP_SYMBOLS + 1 };
        let upper = u8::try_from(c).map_err(|_| doubtful)?.to_ascii_uppercase();
        *to = value(upper).map(|_| upper).ok_or(doubtful)?;
    }
    match sums(&symbols) {
        (0, 0) => Ok(symbols),
        (plain, weighted) => Err(SymbolError::Check { doubtful: locate(&symbols, plain, weighted) }),
    }
}

/// Where the text has five groups: the groups that do not have five characters.
fn wrong_lengths(text: &str, is_gap: impl Fn(char) -> bool) -> DoubtfulGroups {
    let groups: Vec<_> = text.split(is_gap).filter(|group| !group.is_empty()).take(GROUPS + 1).collect();
    let mut doubtful = DoubtfulGroups::default();
    if groups.len() == GROUPS {
        doubtful.0.iter_mut().zip(groups).for_each(|(to, group)| *to = group.chars().count() != GROUP_SYMBOLS);
    }
    doubtful
}

/// The groups in which one wrong symbol, or one swap of neighbours, accounts for the two sums.
fn locate(symbols: &[u8; SYMBOLS], plain: u32, weighted: u32) -> DoubtfulGroups {
    let mut doubtful = DoubtfulGroups::default();
    if plain != 0 {
        // An error e at weight w gives the sums e and w * e.
        let place = (1..=SYMBOLS).zip(1_u32..).find(|(_, weight)| weight * plain % MODULUS == weighted);
        if let Some((place, _)) = place {
            doubtful.add_symbol(place - 1);
        }
        return doubtful;
    }
    let values: Vec<_> = symbols.iter().map(|symbol| value(*symbol).unwrap_or(0)).collect();
    for (index, pair) in values.windows(2).enumerate() {
        // Neighbours a, b that should be b, a: the weighted sum is too large by b - a.
        if let [a, b] = pair
            && (b + MODULUS - a) % MODULUS == weighted
        {
            doubtful.add_symbol(index);
            doubtful.add_symbol(index + 1);
        }
    }
    doubtful
}

/// Writes five groups of five symbols, separated by hyphens.
pub(crate) fn show(symbols: &[u8; SYMBOLS], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, group) in symbols.chunks(GROUP_SYMBOLS).enumerate() {
        if index > 0 {
            f.write_str("-")?;
        }
        group.iter().try_for_each(|symbol| write!(f, "{}", char::from(*symbol)))?;
    }
    Ok(())
}

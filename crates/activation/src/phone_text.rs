//! Files of the offline activation as text that can be read out on the telephone and typed (R30).
//!
//! Each line has a number and, like a typed key, five groups of five symbols with check symbols, so a typing error
//! is located in its line and group. A line carries its kind, its number and 12 bytes. All lines together carry the
//! length of the file, the file and the beginning of its SHA-256. Lines may be entered in any order.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use thiserror::Error;

use crate::signature::short_hash;
use crate::symbols::{MODULUS, SYMBOLS, SymbolError, digits, number, parse, seal, show, symbol, value};

const PURPOSE: &str = "quorate/spoken/1";
/// The number of symbols that hold a line's number.
const NUMBER_SYMBOLS: usize = 2;
/// The number of symbols that hold a line's bytes.
const BYTES_SYMBOLS: usize = 20;
const LINE_BYTES: usize = 12;
const LENGTH_BYTES: usize = 2;
const DIGEST_BYTES: usize = 4;
/// The most lines, as many as can be numbered.
const LINES_MAX: usize = (MODULUS * MODULUS) as usize;

/// The longest file that can be read out, in bytes.
pub const PHONE_TEXT_BYTES_MAX: usize = LINES_MAX * LINE_BYTES - LENGTH_BYTES - DIGEST_BYTES;
/// The longest text that is parsed, in bytes.
const TEXT_BYTES_MAX: usize = LINES_MAX * 64;

const _: () = assert!(1 + NUMBER_SYMBOLS + BYTES_SYMBOLS + 2 == SYMBOLS);
const _: () = assert!(PHONE_TEXT_BYTES_MAX <= u16::MAX as usize);

/// The kind of file that the lines encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhoneTextKind {
    /// Encoded [`crate::host_activation::ActivationRequests`].
    Requests,
    /// Encoded [`crate::host_activation::SignedAnswers`].
    Answers,
}

impl PhoneTextKind {
    const ALL: [Self; 2] = [Self::Requests, Self::Answers];

    /// The first symbol of a line; no kind of key begins with it.
    fn symbol(self) -> u8 {
        match self {
            Self::Requests => b'Q',
            Self::Answers => b'A',
        }
    }
}

impl fmt::Display for PhoneTextKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requests => "a request",
            Self::Answers => "an answer",
        })
    }
}

/// Why lines cannot be decoded to a file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PhoneTextError {
    #[error("the file is too long for phone text: transfer it as a file")]
    TooLong,
    #[error("the input contains no line of phone text")]
    Empty,
    #[error("line {line}: {error}")]
    Line { line: usize, error: SymbolError },
    #[error("line {line} is not phone text of a request or an answer")]
    Kind { line: usize },
    #[error("line {line} belongs to another file than the lines before it")]
    Mixed { line: usize },
    #[error("line {line} is missing")]
    Missing { line: usize },
    #[error("the lines do not form one file")]
    Digest,
}

/// Encodes a file as lines, each `NUMBER: XXXXX-XXXXX-XXXXX-XXXXX-XXXXX`, numbered from 1.
pub fn lines(of: PhoneTextKind, file: &[u8]) -> Result<Vec<String>, PhoneTextError> {
    let length = u16::try_from(file.len()).ok().filter(|_| file.len() <= PHONE_TEXT_BYTES_MAX);
    let length = length.ok_or(PhoneTextError::TooLong)?.to_be_bytes();
    let digest: [u8; DIGEST_BYTES] = short_hash(PURPOSE, &[file]);
    let whole: Vec<u8> = length.iter().chain(file).chain(&digest).copied().collect();
    let lines = (0_u32..).zip(whole.chunks(LINE_BYTES)).map(|(index, bytes)| {
        let bytes = bytes.iter().chain(&[0; LINE_BYTES]).take(LINE_BYTES);
        let payload = bytes.fold(0_u128, |payload, byte| payload << 8 | u128::from(*byte));
        let place = [symbol(index / MODULUS), symbol(index % MODULUS)];
        let line = seal([of.symbol()].into_iter().chain(place).chain(digits(payload).take(BYTES_SYMBOLS)));
        format!("{}: {}", index + 1, Line(line))
    });
    Ok(lines.collect())
}

/// Encodes a file as [`lines`] does, as one text.
pub fn write(of: PhoneTextKind, file: &[u8]) -> Result<String, PhoneTextError> {
    let mut text = String::new();
    for line in lines(of, file)? {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    }
    Ok(text)
}

struct Line([u8; SYMBOLS]);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.0, f)
    }
}

/// Decodes lines, in any order, also repeated, with or without their numbers. An error names a line by its position
/// among the lines that are not empty.
pub fn read(text: &str) -> Result<(PhoneTextKind, Vec<u8>), PhoneTextError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(PhoneTextError::TooLong);
    }
    let mut of = None;
    let mut parts: BTreeMap<u32, u128> = BTreeMap::new();
    let typed = text.lines().filter(|line| !line.trim().is_empty());
    for (line, typed) in (1..).zip(typed) {
        let symbols = typed.rsplit(':').next().unwrap_or_default();
        let symbols = parse(symbols).map_err(|error| PhoneTextError::Line { line, error })?;
        let (kind, place, payload) = split(&symbols).ok_or(PhoneTextError::Kind { line })?;
        if *of.get_or_insert(kind) != kind || *parts.entry(place).or_insert(payload) != payload {
            return Err(PhoneTextError::Mixed { line });
        }
    }
    let whole = whole(&parts)?;
    let (length, rest) = whole.split_first_chunk::<LENGTH_BYTES>().ok_or(PhoneTextError::Empty)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (file, rest) = rest.split_at_checked(length).ok_or(PhoneTextError::Missing { line: parts.len() + 1 })?;
    let digest = rest.get(..DIGEST_BYTES).ok_or(PhoneTextError::Missing { line: parts.len() + 1 })?;
    let expected: [u8; DIGEST_BYTES] = short_hash(PURPOSE, &[file]);
    if digest != expected || rest.len() - DIGEST_BYTES >= LINE_BYTES {
        return Err(PhoneTextError::Digest);
    }
    Ok((of.ok_or(PhoneTextError::Empty)?, file.to_vec()))
}

/// The kind, the number counted from 0, and the bytes as a number.
fn split(symbols: &[u8; SYMBOLS]) -> Option<(PhoneTextKind, u32, u128)> {
    let (&[kind, high, low], rest) = symbols.split_first_chunk::<3>()?;
    let kind = PhoneTextKind::ALL.into_iter().find(|of| of.symbol() == kind)?;
    let payload = number(rest.get(..BYTES_SYMBOLS)?)?;
    let place = value(high)? * MODULUS + value(low)?;
    (payload >> (8 * LINE_BYTES) == 0).then_some((kind, place, payload))
}

fn whole(parts: &BTreeMap<u32, u128>) -> Result<Vec<u8>, PhoneTextError> {
    let mut whole = Vec::with_capacity(parts.len() * LINE_BYTES);
    for (line, (expected, (place, payload))) in (1..).zip((0..).zip(parts)) {
        if *place != expected {
            return Err(PhoneTextError::Missing { line });
        }
        whole.extend(payload.to_be_bytes().into_iter().skip(size_of::<u128>() - LINE_BYTES));
    }
    Ok(whole)
}

//! Values of settings: which values each form accepts, and how fields hold them.

use std::fmt;

use super::dns::PublishDomain;
use super::profile::ElectionProfile;
use crate::limits::DOMAINS_MAX;

/// The form of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `true` or `false`.
    Flag,
    /// A whole number of this range.
    Number { min: u32, max: u32 },
    /// A whole number of this range, or 0, which turns the setting off.
    NumberOrZero { min: u32, max: u32 },
    /// A publish list of at most [`DOMAINS_MAX`] different domains; the empty text is the empty list.
    Domains,
    /// `near` or `far`.
    Profile,
}

/// A value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypedValue {
    Flag(bool),
    Number(u32),
    Domains(Vec<PublishDomain>),
    Profile(ElectionProfile),
}

impl Form {
    /// The value that this text represents; `None` where the form does not accept it. Surrounding white space is
    /// ignored.
    #[must_use]
    pub fn parse(self, text: &str) -> Option<TypedValue> {
        let text = text.trim();
        match self {
            Self::Flag => text.parse().ok().map(TypedValue::Flag),
            Self::Number { min, max } => number(text, |number| (min..=max).contains(&number)),
            Self::NumberOrZero { min, max } => number(text, |number| number == 0 || (min..=max).contains(&number)),
            Self::Domains => domains(text).map(TypedValue::Domains),
            Self::Profile => text.parse().ok().map(TypedValue::Profile),
        }
    }
}

/// Writes what is expected, as a noun phrase.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("true or false"),
            Self::Number { min, max } => write!(f, "a number of {min} to {max}"),
            Self::NumberOrZero { min, max } => write!(f, "0, or a number of {min} to {max}"),
            Self::Domains => {
                write!(f, "up to {DOMAINS_MAX} different entries DOMAIN or DOMAIN:PRIORITY:WEIGHT, separated by commas")
            }
            Self::Profile => f.write_str("near or far"),
        }
    }
}

fn number(text: &str, is_valid: impl Fn(u32) -> bool) -> Option<TypedValue> {
    text.parse().ok().filter(|number| is_valid(*number)).map(TypedValue::Number)
}

fn domains(text: &str) -> Option<Vec<PublishDomain>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let domains: Vec<PublishDomain> =
        text.split(',').take(DOMAINS_MAX + 1).map(|entry| entry.parse().ok()).collect::<Option<_>>()?;
    let mut names: Vec<_> = domains.iter().map(|entry| &entry.domain).collect();
    names.sort();
    names.dedup();
    (names.len() == domains.len() && domains.len() <= DOMAINS_MAX).then_some(domains)
}

/// Writes the text that [`Form::parse`] reads as this value.
impl fmt::Display for TypedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Profile(profile) => write!(f, "{profile}"),
            Self::Domains(domains) => domains.iter().enumerate().try_for_each(|(index, domain)| {
                let separator = if index == 0 { "" } else { "," };
                write!(f, "{separator}{domain}")
            }),
        }
    }
}

/// The type of a field that holds a setting.
pub(super) trait Field: Sized {
    fn to_value(&self) -> TypedValue;

    /// `None` where the value is of another type.
    fn from_value(value: &TypedValue) -> Option<Self>;
}

impl Field for bool {
    fn to_value(&self) -> TypedValue {
        TypedValue::Flag(*self)
    }

    fn from_value(value: &TypedValue) -> Option<Self> {
        if let TypedValue::Flag(flag) = value { Some(*flag) } else { None }
    }
}

impl Field for u32 {
    fn to_value(&self) -> TypedValue {
        TypedValue::Number(*self)
    }

    fn from_value(value: &TypedValue) -> Option<Self> {
        if let TypedValue::Number(number) = value { Some(*number) } else { None }
    }
}

/// 0 represents `None`.
impl Field for Option<u32> {
    fn to_value(&self) -> TypedValue {
        TypedValue::Number(self.unwrap_or(0))
    }

    fn from_value(value: &TypedValue) -> Option<Self> {
        u32::from_value(value).map(|number| (number > 0).then_some(number))
    }
}

/// 0 represents `None`.
impl Field for Option<u16> {
    fn to_value(&self) -> TypedValue {
        TypedValue::Number(self.unwrap_or(0).into())
    }

    fn from_value(value: &TypedValue) -> Option<Self> {
        let number = u16::try_from(u32::from_value(value)?).ok()?;
        Some((number > 0).then_some(number))
    }
}

impl Field for Vec<PublishDomain> {
    fn to_value(&self) -> TypedValue {
        TypedValue::Domains(self.clone())
    }

    fn from_value(value: &TypedValue) -> Option<Self> {
        if let TypedValue::Domains(domains) = value { Some(domains.clone()) } else { None }
    }
}

impl Field for ElectionProfile {
    fn to_value(&self) -> TypedValue {
        TypedValue::Profile(*self)
    }

    fn from_value(value: &TypedValue) -> Option<Self> {
        if let TypedValue::Profile(profile) = value { Some(*profile) } else { None }
    }
}

//! Values of settings: which values each form accepts, and how fields hold them.

use std::fmt;
use std::str::FromStr;

use super::dns::PublishDomain;
use super::gateway::{Forward, GroupName, GroupRule, Preferred, Upstream};
use super::profile::ElectionProfile;
use crate::limits::{DOMAINS_MAX, UPSTREAM_GROUPS_MAX, UPSTREAMS_MAX};

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
    /// At most [`UPSTREAMS_MAX`] upstreams with different addresses; the empty text is the empty list.
    Upstreams,
    /// At most [`UPSTREAM_GROUPS_MAX`] rules of different groups; the empty text is the empty list.
    Groups,
    /// At most [`UPSTREAM_GROUPS_MAX`] different names of groups; the empty text is the empty list.
    GroupNames,
    /// At most [`UPSTREAM_GROUPS_MAX`] entries for different groups; the empty text is the empty list.
    Preferred,
    /// `foreign` or `all`.
    Forward,
}

/// A value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypedValue {
    Flag(bool),
    Number(u32),
    Domains(Vec<PublishDomain>),
    Profile(ElectionProfile),
    Upstreams(Vec<Upstream>),
    Groups(Vec<GroupRule>),
    GroupNames(Vec<GroupName>),
    Preferred(Vec<Preferred>),
    Forward(Forward),
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
            Self::Upstreams => {
                list(text, UPSTREAMS_MAX, |entry: &Upstream| entry.address.clone()).map(TypedValue::Upstreams)
            }
            Self::Groups => {
                list(text, UPSTREAM_GROUPS_MAX, |entry: &GroupRule| entry.name.clone()).map(TypedValue::Groups)
            }
            Self::GroupNames => list(text, UPSTREAM_GROUPS_MAX, GroupName::clone).map(TypedValue::GroupNames),
            Self::Preferred => {
                list(text, UPSTREAM_GROUPS_MAX, |entry: &Preferred| entry.group.clone()).map(TypedValue::Preferred)
            }
            Self::Forward => text.parse().ok().map(TypedValue::Forward),
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
            Self::Upstreams => write!(
                f,
                "up to {UPSTREAMS_MAX} different upstreams HOST:PORT or srv:NAME, with options as in \
                 HOST:PORT?priority=1&weight=2&group=NAME&drained, separated by commas"
            ),
            Self::Groups => write!(
                f,
                "up to {UPSTREAM_GROUPS_MAX} groups NAME?interface=UUID&network=ADDRESS/BITS, separated by commas"
            ),
            Self::GroupNames => write!(f, "up to {UPSTREAM_GROUPS_MAX} names of groups, separated by commas"),
            Self::Preferred => {
                write!(
                    f,
                    "up to {UPSTREAM_GROUPS_MAX} entries GROUP=HOST:PORT, one for each group, separated by commas"
                )
            }
            Self::Forward => f.write_str("foreign or all"),
        }
    }
}

fn number(text: &str, is_valid: impl Fn(u32) -> bool) -> Option<TypedValue> {
    text.parse().ok().filter(|number| is_valid(*number)).map(TypedValue::Number)
}

fn domains(text: &str) -> Option<Vec<PublishDomain>> {
    list(text, DOMAINS_MAX, |entry: &PublishDomain| entry.domain.clone())
}

/// The entries of a list separated by commas: at most `max`, no two of which have the same key.
fn list<T: FromStr, Key: Ord>(text: &str, max: usize, key: impl Fn(&T) -> Key) -> Option<Vec<T>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let entries: Vec<T> =
        text.split(',').take(max + 1).map(|entry| entry.trim().parse().ok()).collect::<Option<_>>()?;
    let mut keys: Vec<_> = entries.iter().map(key).collect();
    keys.sort();
    keys.dedup();
    (keys.len() == entries.len() && entries.len() <= max).then_some(entries)
}

/// Writes the text that [`Form::parse`] reads as this value.
impl fmt::Display for TypedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Profile(profile) => write!(f, "{profile}"),
            Self::Domains(domains) => write_list(f, domains),
            Self::Upstreams(upstreams) => write_list(f, upstreams),
            Self::Groups(groups) => write_list(f, groups),
            Self::GroupNames(names) => write_list(f, names),
            Self::Preferred(preferred) => write_list(f, preferred),
            Self::Forward(forward) => write!(f, "{forward}"),
        }
    }
}

fn write_list(f: &mut fmt::Formatter<'_>, entries: &[impl fmt::Display]) -> fmt::Result {
    entries.iter().enumerate().try_for_each(|(index, entry)| {
        let separator = if index == 0 { "" } else { "," };
        write!(f, "{separator}{entry}")
    })
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

/// Implements [`Field`] for types that have a variant of their own in [`TypedValue`].
macro_rules! fields {
    ($($Type:ty => $Variant:ident;)*) => {$(
        impl Field for $Type {
            fn to_value(&self) -> TypedValue {
                TypedValue::$Variant(self.clone())
            }

            fn from_value(value: &TypedValue) -> Option<Self> {
                if let TypedValue::$Variant(value) = value { Some(value.clone()) } else { None }
            }
        }
    )*};
}

fields! {
    Vec<PublishDomain> => Domains;
    ElectionProfile => Profile;
    Vec<Upstream> => Upstreams;
    Vec<GroupRule> => Groups;
    Vec<GroupName> => GroupNames;
    Vec<Preferred> => Preferred;
    Forward => Forward;
}

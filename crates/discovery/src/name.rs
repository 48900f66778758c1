//! Domain names, compared without regard to case.
//!
//! Invariant: always absolute; at most 255 bytes on the wire, with labels of at most 63 bytes.

use std::fmt;
use std::str::FromStr;

use activation::settings::DomainName;
use domain::base::{Name, ToName};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An absolute domain name. Text with and without the trailing dot is the same name; it is written with the dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(Name<Vec<u8>>);

/// The text is not a domain name.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a domain name: {cause}; write it like `node1.example.com`")]
pub struct NameError {
    /// The first 255 characters of the text.
    pub text: String,
    cause: &'static str,
}

impl DnsName {
    /// The name with a label, or several labels separated by dots, in front of this name.
    ///
    /// # Errors
    /// [`NameError`] where the result is not a domain name.
    pub fn below(&self, labels: &str) -> Result<Self, NameError> {
        if self.0.is_root() { labels.parse() } else { format!("{labels}.{self}").parse() }
    }

    /// The name without its first label; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        self.0.parent().map(|parent| Self(parent.to_name()))
    }

    /// Whether this is `ancestor` itself, or a name below it.
    pub fn is_in(&self, ancestor: &Self) -> bool {
        self.0.ends_with(&ancestor.0)
    }

    /// Whether this is the root. An SRV record with the root as its target means "service not offered" (RFC 2782).
    pub fn is_root(&self) -> bool {
        self.0.is_root()
    }

    /// The number of labels, without the root.
    pub fn labels(&self) -> usize {
        self.0.label_count().saturating_sub(1)
    }

    pub(crate) fn wire(&self) -> &Name<Vec<u8>> {
        &self.0
    }

    pub(crate) fn from_wire(name: &impl ToName) -> Self {
        Self(name.to_name())
    }
}

impl FromStr for DnsName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fail = |cause| NameError { text: text.chars().take(255).collect(), cause };
        if text.is_empty() {
            return Err(fail("it is empty"));
        }
        if text.len() > 255 {
            return Err(fail("it is longer than 255 characters"));
        }
        let usual = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        if !text.chars().all(usual) {
            return Err(fail("it may contain only letters, digits, `-`, `_` and dots"));
        }
        Name::vec_from_str(text).map(Self).map_err(|_| fail("a label is empty or longer than 63 characters"))
    }
}

/// Converts a name from the cluster's settings and announcements. Every [`DomainName`] is a valid name.
impl From<&DomainName> for DnsName {
    fn from(domain: &DomainName) -> Self {
        let name = Name::vec_from_str(domain.as_str());
        Self(name.expect("labels of 1 to 63 letters, digits, `-` and `_`, 253 bytes in all, are a name of at most 255"))
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_root() { formatter.write_str(".") } else { write!(formatter, "{}", self.0.fmt_with_dot()) }
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DnsName({self})")
    }
}

impl Serialize for DnsName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DnsName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_domain_name_of_the_settings_is_a_dns_name(text in r"([A-Za-z0-9_-]{1,63}\.){0,6}[A-Za-z0-9_-]{1,63}\.?") {
            if let Ok(domain) = text.parse::<DomainName>() {
                let name = DnsName::from(&domain);
                prop_assert_eq!(&name, &text.parse::<DnsName>().unwrap());
                prop_assert_eq!(name.to_string(), format!("{domain}."));
            }
        }
    }

    #[test]
    fn the_longest_domain_name_of_the_settings_is_a_dns_name() {
        let longest =
            [&"a".repeat(63), &"b".repeat(63), &"c".repeat(63), &"d".repeat(61)].map(String::as_str).join(".");
        assert_eq!(longest.len(), 253);
        assert_eq!(DnsName::from(&longest.parse().unwrap()).labels(), 4);
        assert!(format!("{longest}e").parse::<DomainName>().is_err());
    }

    fn name(text: &str) -> DnsName {
        text.parse().unwrap()
    }

    #[test]
    fn the_last_dot_and_case_make_no_difference() {
        assert_eq!(name("Node1.Example.test"), name("node1.example.TEST."));
        assert_eq!(name("node1.example.test").to_string(), "node1.example.test.");
        assert_eq!(name(".").to_string(), ".");
        assert!(name(".").is_root());
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_cause() {
        let long_label = format!("{}.test", "a".repeat(64));
        let long_name = ["abcdefgh"; 32].join(".");
        for (text, cause) in [
            ("", "empty"),
            ("a..b", "label"),
            ("a b", "letters"),
            ("a\";evil", "letters"),
            ("a\\032b", "letters"),
            (long_label.as_str(), "label"),
            (long_name.as_str(), "255"),
        ] {
            let error = text.parse::<DnsName>().unwrap_err().to_string();
            assert!(error.contains(cause), "{text}: {error}");
        }
    }

    #[test]
    fn names_stand_below_each_other() {
        let domain = name("example.test");
        assert_eq!(domain.below("_vlmcs._tcp").unwrap(), name("_vlmcs._tcp.example.test"));
        assert!(name("node1.Example.test").is_in(&domain) && domain.is_in(&domain));
        assert!(!name("node1.badexample.test").is_in(&domain));
        assert_eq!(domain.parent().and_then(|parent| parent.parent()), Some(name(".")));
        assert_eq!(name(".").parent(), None);
        assert_eq!(domain.labels(), 2);
        assert_eq!(name(".").below("test").unwrap(), name("test"));
    }
}

//! Names, ranks and addresses under which nodes are published in DNS.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::id::InvalidId;

/// An entry of the publish list (R26), written `DOMAIN` or `DOMAIN:PRIORITY:WEIGHT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishDomain {
    pub domain: DomainName,
    /// Priority and weight in this domain; `None`: each node's own.
    pub rank: Option<Rank>,
}

/// Priority and weight of an SRV record (RFC 2782).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rank {
    /// Clients try lower priorities first.
    pub priority: u16,
    /// The share of clients among the records of one priority.
    pub weight: u16,
}

/// A domain name in lower case, without the trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DomainName(Box<str>);

impl DomainName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DomainName {
    type Err = InvalidId;

    /// Accepts labels of 1 to 63 letters, digits, `-` and `_`, 253 bytes in all (RFC 1035 section 2.3.4); removes a
    /// trailing dot.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(allowed);
        if text.len() <= 253 && text.split('.').all(is_label) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId { expected: "a domain name, as in example.test" })
        }
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for PublishDomain {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let expected = InvalidId { expected: "DOMAIN or DOMAIN:PRIORITY:WEIGHT, with numbers of 0 to 65535" };
        let mut parts = text.trim().split(':');
        let domain = parts.next().unwrap_or_default().parse()?;
        let mut number = || parts.next().map(|part| part.parse::<u16>().map_err(|_| expected)).transpose();
        let rank = match (number()?, number()?, parts.next()) {
            (None, None, None) => None,
            (Some(priority), Some(weight), None) => Some(Rank { priority, weight }),
            _ => return Err(expected),
        };
        Ok(Self { domain, rank })
    }
}

impl fmt::Display for PublishDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.domain)?;
        self.rank.map_or(Ok(()), |rank| write!(f, ":{}:{}", rank.priority, rank.weight))
    }
}

/// A node's name, port, rank and addresses in DNS, as the node announced them (R25). Every node knows them, also
/// when the announcing node is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The target name of the node's SRV records.
    pub target: DomainName,
    /// R1: the port on which the node answers clients.
    pub port: u16,
    /// The node's own rank, for domains of the publish list that give none.
    pub rank: Rank,
    /// The node's addresses, at most [`crate::limits::ADDRESSES_MAX`].
    pub addresses: Vec<IpAddr>,
}

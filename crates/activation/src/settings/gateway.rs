//! Settings of the gateway (G1, G3, G5, G9, G11): the upstream hosts, their groups, and which upstream each group prefers.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use ipnet::IpNet;
use uuid::Uuid;

use super::dns::DomainName;
use crate::id::InvalidId;
use crate::limits::{GROUP_INTERFACES_MAX, GROUP_NETWORKS_MAX};

/// The group of associations that no other group matches.
pub const DEFAULT_GROUP: &str = "default";
/// The port of an upstream whose address gives none.
pub const UPSTREAM_PORT: u16 = 1688;

/// The name of a group of upstreams: 1 to 32 lower-case letters, digits and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupName(Box<str>);

impl GroupName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for GroupName {
    fn default() -> Self {
        Self(DEFAULT_GROUP.into())
    }
}

impl FromStr for GroupName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId { expected: "a group's name: 1 to 32 lower-case letters, digits and -" })
        }
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Where an upstream is (G11), written `HOST`, `HOST:PORT`, `[IPV6]:PORT` or `srv:NAME`. HOST is a name or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UpstreamAddress {
    /// A host and its port.
    Host {
        /// A name, an IPv4 address, or an IPv6 address without brackets.
        host: Box<str>,
        port: u16,
    },
    /// All targets of the SRV records at this name.
    Srv(DomainName),
}

impl UpstreamAddress {
    const EXPECTED: InvalidId = InvalidId { expected: "HOST, HOST:PORT, [IPV6]:PORT or srv:NAME" };
}

impl FromStr for UpstreamAddress {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let expected = Self::EXPECTED;
        if let Some(name) = text.strip_prefix("srv:") {
            return name.parse().map(Self::Srv).map_err(|_| expected);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or(expected)?;
                let _ipv6: Ipv6Addr = host.parse().map_err(|_| expected)?;
                let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or(expected)?) };
                (host.to_ascii_lowercase(), port)
            }
            None if text.parse::<Ipv6Addr>().is_ok() => (text.to_ascii_lowercase(), None),
            None => {
                let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
                (host.parse::<DomainName>().map_err(|_| expected)?.as_str().to_owned(), port)
            }
        };
        let port = port.map_or(Ok(UPSTREAM_PORT), |port| port.parse().map_err(|_| expected))?;
        if port == 0 {
            return Err(expected);
        }
        Ok(Self::Host { host: host.into(), port })
    }
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Srv(name) => write!(f, "srv:{name}"),
        }
    }
}

/// An upstream host of the gateway, written `ADDRESS` with options, as in `a.example.test:1688?priority=1&group=sites`:
/// `priority` and `weight` (0 to 65535, default 0), `group` (default `default`), and `drained` without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub address: UpstreamAddress,
    pub group: GroupName,
    /// Upstreams of a lower priority are preferred.
    pub priority: u16,
    /// Among upstreams of one priority, the one with the highest weight is preferred.
    pub weight: u16,
    /// No new associations; open ones finish (G9).
    pub is_drained: bool,
}

impl FromStr for Upstream {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let expected = InvalidId { expected: "ADDRESS or ADDRESS?priority=N&weight=N&group=NAME&drained" };
        let (address, options) = text.trim().split_once('?').unwrap_or((text.trim(), ""));
        let address = address.parse()?;
        let mut upstream = Self { address, group: GroupName::default(), priority: 0, weight: 0, is_drained: false };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("priority", number)) => upstream.priority = number.parse().map_err(|_| expected)?,
                Some(("weight", number)) => upstream.weight = number.parse().map_err(|_| expected)?,
                Some(("group", name)) => upstream.group = name.parse()?,
                None if option == "drained" => upstream.is_drained = true,
                _ => return Err(expected),
            }
        }
        Ok(upstream)
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        let number = |name: &str, number: u16| (number > 0).then(|| format!("{name}={number}"));
        let group = (self.group.as_str() != DEFAULT_GROUP).then(|| format!("group={}", self.group));
        let drained = self.is_drained.then(|| "drained".to_owned());
        let options = [number("priority", self.priority), number("weight", self.weight), group, drained];
        let options: Vec<_> = options.into_iter().flatten().collect();
        if options.is_empty() { Ok(()) } else { write!(f, "?{}", options.join("&")) }
    }
}

/// Which associations a group of upstreams serves, written `NAME?interface=UUID&network=10.0.0.0/8`, each option as
/// often as needed. An association is of the first group that lists its interface, else of the first that lists the
/// client's network, else of the group `default`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRule {
    pub name: GroupName,
    /// At most [`GROUP_INTERFACES_MAX`].
    pub interfaces: Vec<Uuid>,
    /// At most [`GROUP_NETWORKS_MAX`].
    pub networks: Vec<IpNet>,
}

impl FromStr for GroupRule {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let expected =
            InvalidId { expected: "NAME?interface=UUID&network=ADDRESS/BITS, up to 8 interfaces and 32 networks" };
        let (name, options) = text.trim().split_once('?').unwrap_or((text.trim(), ""));
        let mut rule = Self { name: name.parse()?, interfaces: Vec::new(), networks: Vec::new() };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("interface", uuid)) => rule.interfaces.push(uuid.parse().map_err(|_| expected)?),
                Some(("network", network)) => {
                    rule.networks.push(network.parse::<IpNet>().map_err(|_| expected)?.trunc());
                }
                _ => return Err(expected),
            }
        }
        let fits = rule.interfaces.len() <= GROUP_INTERFACES_MAX && rule.networks.len() <= GROUP_NETWORKS_MAX;
        if fits { Ok(rule) } else { Err(expected) }
    }
}

impl fmt::Display for GroupRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        let interfaces = self.interfaces.iter().map(|uuid| format!("interface={uuid}"));
        let options: Vec<_> = interfaces.chain(self.networks.iter().map(|net| format!("network={net}"))).collect();
        if options.is_empty() { Ok(()) } else { write!(f, "?{}", options.join("&")) }
    }
}

/// The upstream that a group prefers, written `GROUP=ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preferred {
    pub group: GroupName,
    pub address: UpstreamAddress,
}

impl FromStr for Preferred {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (group, address) = text.trim().split_once('=').ok_or(InvalidId { expected: "GROUP=ADDRESS" })?;
        Ok(Self { group: group.parse()?, address: address.parse()? })
    }
}

impl fmt::Display for Preferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.group, self.address)
    }
}

/// Which associations on the clients' port the gateway forwards (G1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forward {
    /// Those whose interface is not ours.
    #[default]
    Foreign,
    /// All.
    All,
}

impl FromStr for Forward {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "foreign" => Ok(Self::Foreign),
            "all" => Ok(Self::All),
            _ => Err(InvalidId { expected: "foreign or all" }),
        }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "foreign",
            Self::All => "all",
        })
    }
}

//! Settings that the cluster shares: set once, every node follows (R14, R26, R28, R36).
//!
//! A setting has a name and a value that is text for people; the one table below says what each means, and what it may
//! be. What is of one node alone stands in that node's configuration, not here.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

use crate::id::InvalidId;
use crate::limits::{
    ACTIVATION_INTERVAL_MINUTES_DEFAULT, DOMAINS_MAX, INTERVAL_MINUTES_MAX, INTERVAL_MINUTES_MIN,
    RENEWAL_INTERVAL_MINUTES_DEFAULT,
};

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// R14: after how many minutes a client that is not activated asks again.
    pub activation_interval_minutes: u32,
    /// R14: after how many minutes an activated client renews.
    pub renewal_interval_minutes: u32,
    /// R28: whether nodes publish themselves in DNS.
    pub dns_publish: bool,
    /// R26: where they do. Empty: each in the domain of its own name.
    pub dns_domains: Vec<PublishDomain>,
    /// Seconds that resolvers may keep a record: one for the cluster, because a record with another changes the whole
    /// RRset's.
    pub dns_ttl_s: u32,
    /// Seconds until the record of a member that is dead is withdrawn on its behalf; 0: never.
    pub dns_withdraw_dead_s: u32,
    /// R4: connections at once from one address; absent: as each node's configuration says.
    pub connections_per_source_max: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            activation_interval_minutes: ACTIVATION_INTERVAL_MINUTES_DEFAULT,
            renewal_interval_minutes: RENEWAL_INTERVAL_MINUTES_DEFAULT,
            dns_publish: true,
            dns_domains: Vec::new(),
            dns_ttl_s: 300,
            dns_withdraw_dead_s: 600,
            connections_per_source_max: None,
        }
    }
}

/// Settings of one node that are changed while it runs, and outlive its restart (R36).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSettings {
    /// R1: where clients reach the node; absent: as its configuration says.
    pub clients_port: Option<u16>,
    /// R7: the processor is left to others.
    pub low_priority: bool,
}

/// An entry of the publish list (R26). Text: `DOMAIN` or `DOMAIN:PRIORITY:WEIGHT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishDomain {
    pub domain: DomainName,
    /// Priority and weight in this domain; absent: each node's own.
    pub rank: Option<Rank>,
}

/// RFC 2782.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rank {
    /// Lower ones are asked first.
    pub priority: u16,
    /// The share among those of one priority.
    pub weight: u16,
}

/// A domain in lower case, without the root's dot.
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

    /// Labels of 1 to 63 letters, digits, `-` and `_`, 253 bytes in all (RFC 1035 section 2.3.4); a dot at the end is
    /// taken off.
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

/// Where a node is found in DNS, as it announced it (R25): known to every node, also when it is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The name that SRV records point at.
    pub target: DomainName,
    /// R1: where clients reach it.
    pub port: u16,
    /// Its own rank, where a domain of the publish list gives none.
    pub rank: Rank,
    /// At most [`crate::limits::ADDRESSES_MAX`].
    pub addresses: Vec<IpAddr>,
}

/// The name of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    ActivationInterval,
    RenewalInterval,
    DnsPublish,
    DnsDomains,
    DnsTtl,
    DnsWithdrawDead,
    ConnectionsPerSource,
    /// Of one node.
    ClientsPort,
    /// Of one node.
    LowPriority,
}

/// There is no such setting, or it cannot have this value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingError {
    #[error("there is no such setting; there are {}", names())]
    Unknown,
    #[error("`{}` takes {expected}", setting.name())]
    Value { setting: Setting, expected: &'static str },
    #[error("`{}` is of one node: say which", .0.name())]
    OfNode(Setting),
    #[error("`{}` is of the whole cluster, not of one node", .0.name())]
    OfCluster(Setting),
}

fn names() -> String {
    Setting::ALL.map(Setting::name).join(", ")
}

impl Setting {
    pub const ALL: [Self; 9] = [
        Self::ActivationInterval,
        Self::RenewalInterval,
        Self::DnsPublish,
        Self::DnsDomains,
        Self::DnsTtl,
        Self::DnsWithdrawDead,
        Self::ConnectionsPerSource,
        Self::ClientsPort,
        Self::LowPriority,
    ];

    /// Whether each node has its own.
    #[must_use]
    pub fn is_of_node(self) -> bool {
        matches!(self, Self::ClientsPort | Self::LowPriority)
    }

    /// As it is called in log entries and snapshots, and by every version that reads formats 1 and 2: never renamed. What
    /// administrators see and type is [`Self::name`].
    #[must_use]
    pub fn log_name(self) -> &'static str {
        match self {
            Self::ActivationInterval => "activation.interval_minutes",
            Self::RenewalInterval => "renewal.interval_minutes",
            Self::DnsPublish => "dns.publish",
            Self::DnsDomains => "dns.domains",
            Self::DnsTtl => "dns.ttl_s",
            Self::DnsWithdrawDead => "dns.withdraw_dead_s",
            Self::ConnectionsPerSource => "clients.connections_per_source_max",
            Self::ClientsPort => "clients.port",
            Self::LowPriority => "process.low_priority",
        }
    }

    /// The setting that log entries and snapshots call so.
    #[must_use]
    pub fn from_log_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.log_name() == name)
    }

    /// As administrators see and type it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ActivationInterval => "activation.interval_minutes",
            Self::RenewalInterval => "renewal.interval_minutes",
            Self::DnsPublish => "dns.publish",
            Self::DnsDomains => "dns.domains",
            Self::DnsTtl => "dns.ttl_s",
            Self::DnsWithdrawDead => "dns.withdraw_dead_s",
            Self::ConnectionsPerSource => "clients.connections_per_source_max",
            Self::ClientsPort => "clients.port",
            Self::LowPriority => "process.low_priority",
        }
    }

    /// What it does, for people.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::ActivationInterval => "minutes until a client that is not activated asks again",
            Self::RenewalInterval => "minutes until an activated client renews",
            Self::DnsPublish => "whether nodes publish themselves in DNS",
            Self::DnsDomains => "where nodes publish themselves; empty: each in the domain of its own name",
            Self::DnsTtl => "seconds that resolvers may keep a record",
            Self::DnsWithdrawDead => "seconds until a dead member's record is withdrawn for it; 0: never",
            Self::ConnectionsPerSource => "connections at once from one address; 0: as each node's configuration says",
            Self::ClientsPort => "port of one node for client machines; 0: as its configuration says",
            Self::LowPriority => "whether one node leaves the processor to others",
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::ActivationInterval | Self::RenewalInterval => "a number of 15 to 43200",
            Self::DnsPublish => "true or false",
            Self::DnsDomains => "up to 16 different entries DOMAIN or DOMAIN:PRIORITY:WEIGHT, separated by commas",
            Self::DnsTtl => "a number of 1 to 86400",
            Self::DnsWithdrawDead => "0, or a number of 60 to 86400",
            Self::ConnectionsPerSource => "a number of 0 to 65535",
            Self::ClientsPort => "a number of 0 to 65535",
            Self::LowPriority => "true or false",
        }
    }
}

impl FromStr for Setting {
    type Err = SettingError;

    fn from_str(name: &str) -> Result<Self, SettingError> {
        Self::ALL.into_iter().find(|setting| setting.name() == name).ok_or(SettingError::Unknown)
    }
}

impl Settings {
    /// The value as text, which [`Self::set`] takes; none of a setting that each node has.
    #[must_use]
    pub fn get(&self, setting: Setting) -> Option<String> {
        Some(match setting {
            Setting::ActivationInterval => self.activation_interval_minutes.to_string(),
            Setting::RenewalInterval => self.renewal_interval_minutes.to_string(),
            Setting::DnsPublish => self.dns_publish.to_string(),
            Setting::DnsDomains => self.dns_domains.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Setting::DnsTtl => self.dns_ttl_s.to_string(),
            Setting::DnsWithdrawDead => self.dns_withdraw_dead_s.to_string(),
            Setting::ConnectionsPerSource => self.connections_per_source_max.unwrap_or(0).to_string(),
            Setting::ClientsPort | Setting::LowPriority => return None,
        })
    }

    /// Changes one, if the text is a value that it may have.
    pub fn set(&mut self, setting: Setting, text: &str) -> Result<(), SettingError> {
        let text = text.trim();
        let number = |valid: &dyn Fn(u32) -> bool| text.parse().ok().filter(|number| valid(*number));
        let interval = || number(&|minutes| (INTERVAL_MINUTES_MIN..=INTERVAL_MINUTES_MAX).contains(&minutes));
        let put = |to: &mut u32, from: Option<u32>| from.map(|from| *to = from);
        let set = match setting {
            Setting::ActivationInterval => put(&mut self.activation_interval_minutes, interval()),
            Setting::RenewalInterval => put(&mut self.renewal_interval_minutes, interval()),
            Setting::DnsPublish => text.parse().ok().map(|publish| self.dns_publish = publish),
            Setting::DnsDomains => domains(text).map(|domains| self.dns_domains = domains),
            Setting::DnsTtl => put(&mut self.dns_ttl_s, number(&|ttl| (1..=86_400).contains(&ttl))),
            Setting::DnsWithdrawDead => {
                put(&mut self.dns_withdraw_dead_s, number(&|after| after == 0 || (60..=86_400).contains(&after)))
            }
            Setting::ConnectionsPerSource => {
                let number = number(&|number| number <= u32::from(u16::MAX));
                number.map(|number| self.connections_per_source_max = (number > 0).then_some(number))
            }
            Setting::ClientsPort | Setting::LowPriority => return Err(SettingError::OfNode(setting)),
        };
        set.ok_or(SettingError::Value { setting, expected: setting.expected() })
    }
}

impl NodeSettings {
    /// The value as text, which [`Self::set`] takes; none of a setting of the cluster.
    #[must_use]
    pub fn get(&self, setting: Setting) -> Option<String> {
        match setting {
            Setting::ClientsPort => Some(self.clients_port.unwrap_or(0).to_string()),
            Setting::LowPriority => Some(self.low_priority.to_string()),
            _ => None,
        }
    }

    /// Changes one, if the text is a value that it may have.
    pub fn set(&mut self, setting: Setting, text: &str) -> Result<(), SettingError> {
        let text = text.trim();
        let set = match setting {
            Setting::ClientsPort => text.parse().ok().map(|port: u16| self.clients_port = (port > 0).then_some(port)),
            Setting::LowPriority => text.parse().ok().map(|is_low| self.low_priority = is_low),
            _ => return Err(SettingError::OfCluster(setting)),
        };
        set.ok_or(SettingError::Value { setting, expected: setting.expected() })
    }
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

//! The gateway's settings, validated: upstreams in groups, which associations a group is for, limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use transport::Network;
use uuid::Uuid;

use crate::{
    address::{HostPort, UpstreamAddress},
    limits::{
        BIND_TIMEOUT, CONNECT_TIMEOUT, GROUP_NAME_BYTES_MAX, GROUPS_MAX, IDLE_TIMEOUT, PDU_TIMEOUT, RULES_MAX,
        UPSTREAMS_MAX,
    },
};

/// Networks whose clients are forwarded unless `gateway.allow` says otherwise: loopback, RFC 1918, link-local, and
/// unique local IPv6 addresses (RFC 4193).
pub const PRIVATE_NETWORKS: [&str; 8] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

/// Name of a group of upstreams: 1 to 63 lower-case letters, digits, `-` and `_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupName(Arc<str>);

impl GroupName {
    /// The group of associations that no rule gives to another one.
    pub fn default_group() -> Self {
        Self("default".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupName {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        let is_name = (1..=GROUP_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(usual);
        if is_name {
            Ok(Self(text.into()))
        } else {
            Err(SettingsError::GroupName(text.chars().take(GROUP_NAME_BYTES_MAX).collect()))
        }
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupName({self})")
    }
}

/// One upstream of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Host and port, or name of SRV records.
    pub address: UpstreamAddress,
    /// The lowest is preferred.
    pub priority: u16,
    /// Among upstreams of one priority the largest weight is preferred.
    pub weight: u16,
    /// Whether it gets no new associations.
    pub is_drained: bool,
}

/// One group of upstreams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// At least one.
    pub upstreams: Vec<Upstream>,
    /// Interfaces whose associations this group gets, whatever the client's network.
    pub interfaces: BTreeSet<Uuid>,
    /// Networks whose clients' associations this group gets, where no group has the interface.
    pub networks: Vec<Network>,
    /// Upstream, or target of an SRV record, that an administrator prefers.
    pub prefer: Option<HostPort>,
    /// Targets of SRV records that are drained.
    pub drained: BTreeSet<HostPort>,
    /// Whether each request is also sent to the other upstreams (G5).
    pub mirror: bool,
}

/// Deadlines of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Longest time without a byte between two PDUs (default [`IDLE_TIMEOUT`]).
    pub idle: Duration,
    /// Longest time for one whole PDU, in either direction (default [`PDU_TIMEOUT`]).
    pub pdu: Duration,
    /// For connecting to one upstream (default [`CONNECT_TIMEOUT`]).
    pub connect: Duration,
    /// From the connection to an upstream to the end of its answer to the bind (default [`BIND_TIMEOUT`]).
    pub bind: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { idle: IDLE_TIMEOUT, pdu: PDU_TIMEOUT, connect: CONNECT_TIMEOUT, bind: BIND_TIMEOUT }
    }
}

/// Why settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("`{0}` is no name of a group; write 1 to {GROUP_NAME_BYTES_MAX} of a-z, 0-9, - and _")]
    GroupName(String),
    #[error("group {0} has no upstream")]
    NoUpstream(GroupName),
    #[error("group {group} names the upstream {address} twice")]
    Twice { group: GroupName, address: UpstreamAddress },
    #[error("{0} is an address of this cluster itself: a gateway cannot forward to its own members")]
    Member(HostPort),
    #[error("groups {first} and {second} are both for {what}")]
    Ambiguous { first: GroupName, second: GroupName, what: String },
    #[error("{what}: {given}, at most {most} allowed")]
    TooMany { what: &'static str, given: usize, most: usize },
    #[error("the {0} timeout is zero")]
    ZeroTimeout(&'static str),
}

/// Validated settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    groups: BTreeMap<GroupName, Group>,
    allow: Vec<Network>,
    timeouts: Timeouts,
}

impl Default for Settings {
    /// No upstreams: nothing is forwarded.
    fn default() -> Self {
        Self { groups: BTreeMap::new(), allow: private_networks(), timeouts: Timeouts::default() }
    }
}

impl Settings {
    /// Validates settings. `allow` are the networks whose clients are forwarded, `None` for [`PRIVATE_NETWORKS`];
    /// `members` are the endpoints of the cluster's own port for clients, as names or addresses.
    ///
    /// # Errors
    /// [`SettingsError`]: the settings contradict each other, exceed a limit, or name a member as an upstream.
    pub fn new(
        groups: BTreeMap<GroupName, Group>,
        allow: Option<Vec<Network>>,
        timeouts: Timeouts,
        members: &BTreeSet<HostPort>,
    ) -> Result<Self, SettingsError> {
        let at_most = |what, given, most| {
            if given > most { Err(SettingsError::TooMany { what, given, most }) } else { Ok(()) }
        };
        at_most("groups", groups.len(), GROUPS_MAX)?;
        let sum = |of: fn(&Group) -> usize| groups.values().map(of).sum::<usize>();
        at_most("upstreams", sum(|group| group.upstreams.len()), UPSTREAMS_MAX)?;
        at_most("interfaces", sum(|group| group.interfaces.len()), RULES_MAX)?;
        at_most("networks", sum(|group| group.networks.len()), RULES_MAX)?;
        at_most("drained targets", sum(|group| group.drained.len()), RULES_MAX)?;
        let allow = allow.unwrap_or_else(private_networks);
        at_most("networks of gateway.allow", allow.len(), RULES_MAX)?;
        for (name, group) in &groups {
            check_group(name, group, members)?;
        }
        check_rules(&groups)?;
        let Timeouts { idle, pdu, connect, bind } = timeouts;
        for (name, timeout) in [("idle", idle), ("PDU", pdu), ("connect", connect), ("bind", bind)] {
            if timeout.is_zero() {
                return Err(SettingsError::ZeroTimeout(name));
            }
        }
        Ok(Self { groups, allow, timeouts })
    }

    /// The groups by name.
    pub fn groups(&self) -> &BTreeMap<GroupName, Group> {
        &self.groups
    }

    /// Deadlines of associations.
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// Whether associations of this client are forwarded.
    pub fn allows(&self, client: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(client))
    }

    /// The group for an association: by interface, then by the client's network, else `default`. `None` where there
    /// is no such group.
    pub fn group_of(&self, interfaces: impl IntoIterator<Item = Uuid>, client: IpAddr) -> Option<&GroupName> {
        let by_interface = interfaces
            .into_iter()
            .find_map(|interface| self.groups.iter().find(|(_, group)| group.interfaces.contains(&interface)));
        let by_network = || {
            let has = |group: &Group| group.networks.iter().any(|network| network.contains(client));
            self.groups.iter().find(|(_, group)| has(group))
        };
        let chosen = by_interface.or_else(by_network);
        chosen.or_else(|| self.groups.get_key_value(&GroupName::default_group())).map(|(name, _)| name)
    }
}

fn private_networks() -> Vec<Network> {
    PRIVATE_NETWORKS.iter().filter_map(|network| network.parse().ok()).collect()
}

fn check_group(name: &GroupName, group: &Group, members: &BTreeSet<HostPort>) -> Result<(), SettingsError> {
    if group.upstreams.is_empty() {
        return Err(SettingsError::NoUpstream(name.clone()));
    }
    let mut seen = BTreeSet::new();
    for Upstream { address, .. } in &group.upstreams {
        if !seen.insert(address) {
            return Err(SettingsError::Twice { group: name.clone(), address: address.clone() });
        }
        if let UpstreamAddress::Host(host) = address
            && members.contains(host)
        {
            return Err(SettingsError::Member(host.clone()));
        }
    }
    Ok(())
}

/// No interface and no network may belong to two groups.
fn check_rules(groups: &BTreeMap<GroupName, Group>) -> Result<(), SettingsError> {
    let mut owners: BTreeMap<String, &GroupName> = BTreeMap::new();
    for (name, group) in groups {
        let interfaces = group.interfaces.iter().map(|interface| format!("interface {interface}"));
        for what in interfaces.chain(group.networks.iter().map(|network| format!("network {network}"))) {
            if let Some(first) = owners.insert(what.clone(), name)
                && first != name
            {
                return Err(SettingsError::Ambiguous { first: first.clone(), second: name.clone(), what });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::uuid;

    use super::*;

    const PRINTING: Uuid = uuid!("11111111-1e2f-4a6b-8c7d-9e0f1a2b3c4d");
    const OTHER: Uuid = uuid!("22222222-1e2f-4a6b-8c7d-9e0f1a2b3c4d");

    fn upstream(address: &str) -> Upstream {
        Upstream { address: address.parse().unwrap(), priority: 0, weight: 0, is_drained: false }
    }

    fn group(address: &str) -> Group {
        Group { upstreams: vec![upstream(address)], ..Group::default() }
    }

    fn settings(groups: Vec<(&str, Group)>) -> Result<Settings, SettingsError> {
        let groups = groups.into_iter().map(|(name, group)| (name.parse().unwrap(), group)).collect();
        Settings::new(groups, None, Timeouts::default(), &BTreeSet::from(["m1.example.test:1688".parse().unwrap()]))
    }

    #[test]
    fn g3_a_group_is_chosen_by_interface_then_network_then_default() {
        let by_interface = Group { interfaces: [PRINTING].into(), ..group("p:1") };
        let by_network = Group { networks: vec!["10.1.0.0/16".parse().unwrap()], ..group("n:1") };
        let settings =
            settings(vec![("default", group("a:1")), ("printing", by_interface), ("site", by_network)]).unwrap();
        let chosen = |interfaces: &[Uuid], client: &str| {
            settings.group_of(interfaces.iter().copied(), client.parse().unwrap()).unwrap().to_string()
        };
        assert_eq!(chosen(&[PRINTING], "10.1.2.3"), "printing");
        assert_eq!(chosen(&[OTHER, PRINTING], "10.1.2.3"), "printing");
        assert_eq!(chosen(&[OTHER], "::ffff:10.1.2.3"), "site");
        assert_eq!(chosen(&[OTHER], "10.2.2.3"), "default");
        assert_eq!(Settings::default().group_of([OTHER], "10.2.2.3".parse().unwrap()), None);
    }

    #[test]
    fn clients_of_private_networks_are_forwarded_by_default() {
        let settings = Settings::default();
        for (address, allowed) in [
            ("127.0.0.1", true),
            ("10.9.9.9", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("192.168.0.1", true),
            ("::ffff:192.168.0.1", true),
            ("203.0.113.1", false),
            ("fd00::1", true),
            ("2001:db8::1", false),
        ] {
            assert_eq!(settings.allows(address.parse().unwrap()), allowed, "{address}");
        }
    }

    #[test]
    fn g8_a_member_is_never_an_upstream() {
        let error = settings(vec![("default", group("M1.example.test.:1688"))]).unwrap_err();
        assert_eq!(error, SettingsError::Member("m1.example.test:1688".parse().unwrap()));
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let twice = Group { upstreams: vec![upstream("a:1"), upstream("A:1")], ..Group::default() };
        let both = || Group { interfaces: [PRINTING].into(), ..group("a:1") };
        let many = Group { upstreams: (1..=65).map(|n| upstream(&format!("h{n}:1"))).collect(), ..Group::default() };
        assert!(matches!(settings(vec![("default", twice)]), Err(SettingsError::Twice { .. })));
        assert!(matches!(settings(vec![("default", Group::default())]), Err(SettingsError::NoUpstream(_))));
        assert!(matches!(settings(vec![("x", both()), ("y", both())]), Err(SettingsError::Ambiguous { .. })));
        assert!(matches!(settings(vec![("default", many)]), Err(SettingsError::TooMany { given: 65, .. })));
        let zero = Timeouts { pdu: Duration::ZERO, ..Timeouts::default() };
        let zero = Settings::new(BTreeMap::new(), None, zero, &BTreeSet::new());
        assert_eq!(zero, Err(SettingsError::ZeroTimeout("PDU")));
        for wrong in ["", "Default", "a b", &"a".repeat(64)] {
            assert!(wrong.parse::<GroupName>().is_err(), "{wrong}");
        }
    }
}

//! The gateway's settings, from the settings of the cluster.

use std::collections::{BTreeMap, BTreeSet};

use activation::{
    settings::{Announcement, GroupName, Setting, SettingChange, SettingError, Settings, UpstreamAddress},
    state::State,
};
use gateway::{Group, HostPort, MalformedAddress, SettingsError, Timeouts, Upstream};
use transport::Network;

/// Why the cluster's settings are none for a gateway.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("{0}")]
    Address(#[from] MalformedAddress),
    #[error("{0}")]
    Group(SettingsError),
    #[error("{0}")]
    Settings(SettingsError),
    #[error("gateway.prefer takes HOST:PORT, not {0}: name one of its targets")]
    PrefersSrv(UpstreamAddress),
    #[error(
        "gateway.choice is written by the leader: prefer an upstream with `quorate gateway prefer HOST:PORT` \
         (gateway.prefer)"
    )]
    OfTheLeader,
    #[error("{0}")]
    Setting(SettingError),
    #[error("there is no group {0}: gateway.upstreams names none with an upstream")]
    NoGroup(GroupName),
}

/// The settings of the gateway. `members` are the cluster's own hosts, which are never upstreams.
pub(super) fn of_cluster<'a>(
    settings: &Settings,
    members: impl IntoIterator<Item = &'a Announcement>,
    (allow, timeouts): (Option<Vec<Network>>, Timeouts),
) -> Result<gateway::Settings, Unusable> {
    let mut groups: BTreeMap<gateway::GroupName, Group> = BTreeMap::new();
    for upstream in &settings.gateway_upstreams {
        let address = address(&upstream.address)?;
        let entry =
            Upstream { address, priority: upstream.priority, weight: upstream.weight, is_drained: upstream.is_drained };
        groups.entry(name(&upstream.group)?).or_default().upstreams.push(entry);
    }
    for rule in &settings.gateway_groups {
        // A rule without upstreams has no effect: its associations are of the group default.
        let Some(group) = groups.get_mut(&name(&rule.name)?) else { continue };
        group.interfaces = rule.interfaces.iter().copied().collect();
        group.networks = rule.networks.iter().filter_map(|network| network.to_string().parse().ok()).collect();
    }
    for mirrored in &settings.gateway_mirror {
        if let Some(group) = groups.get_mut(&name(mirrored)?) {
            group.mirror = true;
        }
    }
    for preferred in &settings.gateway_prefer {
        let UpstreamAddress::Host { host, port } = &preferred.address else {
            return Err(Unusable::PrefersSrv(preferred.address.clone()));
        };
        let host = HostPort::new(host, *port)?;
        if let Some(group) = groups.get_mut(&name(&preferred.group)?) {
            group.prefer = Some(host);
        }
    }
    let members = members.into_iter().flat_map(endpoints).collect::<Result<BTreeSet<_>, _>>()?;
    gateway::Settings::new(groups, allow, timeouts, &members).map_err(Unusable::Settings)
}

/// Checks changes of settings before they are proposed.
///
/// # Errors
/// [`Unusable`]: with these changes the gateway could not be used, or one of them is the leader's to make.
pub(crate) fn check_changes(state: &State, changes: &[SettingChange]) -> Result<(), Unusable> {
    if !changes.iter().any(|change| change.setting().is_of_gateway()) {
        return Ok(());
    }
    if changes.iter().any(|change| change.setting() == Setting::GatewayChoice) {
        return Err(Unusable::OfTheLeader);
    }
    let mut settings = state.settings().clone();
    for change in changes {
        settings.change(change).map_err(Unusable::Setting)?;
    }
    check(&settings, state.announcements().values())
}

/// Checks settings before they are proposed: that they are sound, and that every group they name has an upstream.
///
/// # Errors
/// [`Unusable`].
fn check<'a>(settings: &Settings, members: impl IntoIterator<Item = &'a Announcement>) -> Result<(), Unusable> {
    let has_upstream = |group: &GroupName| settings.gateway_upstreams.iter().any(|upstream| upstream.group == *group);
    let preferred = settings.gateway_prefer.iter().map(|preferred| &preferred.group);
    if let Some(group) = settings.gateway_mirror.iter().chain(preferred).find(|group| !has_upstream(group)) {
        return Err(Unusable::NoGroup(group.clone()));
    }
    of_cluster(settings, members, (None, Timeouts::default())).map(drop)
}

/// The replicated choice of the leader, by group.
pub(super) fn choice(settings: &Settings) -> BTreeMap<gateway::GroupName, HostPort> {
    let entries = settings.gateway_choice.iter().filter_map(|preferred| {
        let UpstreamAddress::Host { host, port } = &preferred.address else { return None };
        Some((name(&preferred.group).ok()?, HostPort::new(host, *port).ok()?))
    });
    entries.collect()
}

fn name(group: &GroupName) -> Result<gateway::GroupName, Unusable> {
    group.as_str().parse().map_err(Unusable::Group)
}

fn address(address: &UpstreamAddress) -> Result<gateway::UpstreamAddress, MalformedAddress> {
    address.to_string().parse()
}

/// The name and the addresses at which clients reach a member.
fn endpoints(member: &Announcement) -> impl Iterator<Item = Result<HostPort, MalformedAddress>> {
    let target = HostPort::new(member.target.as_str(), member.port);
    let addresses = member.addresses.iter().map(|address| HostPort::new(&address.to_string(), member.port));
    std::iter::once(target).chain(addresses)
}

#[cfg(test)]
mod tests {
    use activation::settings::{Rank, Setting};

    use super::*;

    fn settings(values: &[(Setting, &str)]) -> Settings {
        let mut settings = Settings::default();
        for (setting, value) in values {
            settings.set(*setting, value).unwrap();
        }
        settings
    }

    fn member() -> Announcement {
        Announcement {
            target: "n1.example.test".parse().unwrap(),
            port: 1688,
            rank: Rank::default(),
            addresses: vec!["192.0.2.1".parse().unwrap()],
        }
    }

    #[test]
    fn upstreams_are_grouped_and_what_is_said_of_a_group_reaches_it() {
        let settings = settings(&[
            (Setting::GatewayUpstreams, "a.test?priority=1,b.test?group=sites&drained,srv:_kept._tcp.test"),
            (Setting::GatewayGroups, "sites?network=10.0.0.0/8,none?network=10.1.0.0/16"),
            (Setting::GatewayMirror, "default"),
            (Setting::GatewayPrefer, "default=a.test:1688"),
            (Setting::GatewayChoice, "default=a.test:1688,sites=b.test:1688"),
        ]);
        let mapped = of_cluster(&settings, [&member()], (None, Timeouts::default())).unwrap();
        let group = |name: &str| &mapped.groups()[&name.parse::<gateway::GroupName>().unwrap()];
        assert_eq!(mapped.groups().len(), 2);
        assert_eq!((group("default").upstreams.len(), group("default").mirror), (2, true));
        assert_eq!(group("default").prefer, Some(HostPort::new("a.test", 1688).unwrap()));
        assert!(group("sites").upstreams[0].is_drained && group("sites").networks.len() == 1);
        assert_eq!(choice(&settings).len(), 2);
    }

    #[test]
    fn g8_a_member_is_refused_as_an_upstream_by_name_and_by_address() {
        for upstream in ["N1.example.test", "192.0.2.1:1688"] {
            let refused = check(&settings(&[(Setting::GatewayUpstreams, upstream)]), [&member()]).unwrap_err();
            assert!(refused.to_string().contains("address of this cluster itself"), "{refused}");
        }
        check(&settings(&[(Setting::GatewayUpstreams, "192.0.2.1:1689")]), [&member()]).unwrap();
    }

    #[test]
    fn a_group_without_upstreams_is_neither_mirrored_nor_preferred() {
        for (setting, value) in [(Setting::GatewayMirror, "sites"), (Setting::GatewayPrefer, "sites=a.test:1688")] {
            let refused = check(&settings(&[(Setting::GatewayUpstreams, "a.test"), (setting, value)]), []).unwrap_err();
            assert!(refused.to_string().contains("no group sites"), "{refused}");
        }
    }
}

//! Settings that the cluster shares.

use activation::settings::{
    DomainName, NodeSettings, PublishDomain, Rank, Scope, Setting, SettingChange, SettingError, Settings, TypedValue,
};
use activation::state::{Applied, Command, CommandRefusal, State};

use super::world::*;

fn change(cluster: &mut Cluster, changes: &[(Setting, &str)]) -> Applied {
    let changes =
        changes.iter().map(|(setting, value)| SettingChange::from_log(*setting, (*value).to_owned())).collect();
    cluster.apply(&Command::ChangeSettings { node: None, changes })
}

#[test]
fn r36_a_node_has_settings_of_its_own_which_a_snapshot_keeps() {
    let mut cluster = Cluster::activated();
    let before = cluster.state.hash();
    let mut change = |node, setting, value: &str| {
        cluster
            .apply(&Command::ChangeSettings { node, changes: vec![SettingChange::from_log(setting, value.to_owned())] })
    };
    assert_eq!(change(Some(2), Setting::ClientsPort, "1700"), Applied::Done);
    assert_eq!(change(Some(2), Setting::LowPriority, "true"), Applied::Done);
    for (node, setting, value) in [
        (Some(2), Setting::ClientsPort, "65536"),
        (Some(2), Setting::LowPriority, "very"),
        (Some(2), Setting::DnsTtl, "60"),
        (None, Setting::ClientsPort, "1700"),
    ] {
        let refused = change(node, setting, value);
        assert!(matches!(refused, Applied::Refused(CommandRefusal::Setting(_))), "{setting:?}: {refused:?}");
    }
    let own = cluster.state.node_settings(2);
    assert_eq!(own, NodeSettings { clients_port: Some(1700), low_priority: true });
    assert_eq!(cluster.state.node_settings(1), NodeSettings::default());
    let restored = State::decode_snapshot(&cluster.state.encode_snapshot()).unwrap();
    assert_eq!((restored.node_settings(2), restored.hash()), (own, cluster.state.hash()));

    let changes = [(Setting::ClientsPort, "0"), (Setting::LowPriority, "false")];
    let changes = changes.map(|(setting, value)| SettingChange::from_log(setting, value.to_owned())).to_vec();
    assert_eq!(cluster.apply(&Command::ChangeSettings { node: Some(2), changes }), Applied::Done);
    assert_eq!(cluster.state.hash(), before, "what is as by default leaves no trace");
}

#[test]
fn r14_the_intervals_that_are_set_go_out_with_the_next_answer() {
    let mut cluster = Cluster::activated();
    let intervals = |cluster: &mut Cluster| {
        let counted = cluster.ask(CLIENT, 1);
        (counted.activation_interval_minutes, counted.renewal_interval_minutes)
    };
    assert_eq!(intervals(&mut cluster), (120, 10_080));
    let changes = [(Setting::ActivationInterval, "15"), (Setting::RenewalInterval, "43200")];
    assert_eq!(change(&mut cluster, &changes), Applied::Done);
    assert_eq!(intervals(&mut cluster), (15, 43_200));
}

#[test]
fn r36_a_value_out_of_range_is_refused_with_what_is_expected_and_nothing_changes() {
    let mut cluster = Cluster::activated();
    let before = cluster.state.hash();
    let many = (0..17).map(|number| format!("d{number}.test")).collect::<Vec<_>>().join(",");
    let cases = [
        (Setting::ActivationInterval, "14"),
        (Setting::RenewalInterval, "43201"),
        (Setting::RenewalInterval, "a week"),
        (Setting::DnsPublish, "yes"),
        (Setting::DnsDomains, "example..test"),
        (Setting::DnsDomains, "example.test:1"),
        (Setting::DnsDomains, "example.test:1:70000"),
        (Setting::DnsDomains, "a.test,A.test."),
        (Setting::DnsDomains, many.as_str()),
        (Setting::DnsTtl, "0"),
        (Setting::DnsWithdrawDead, "59"),
        (Setting::ConnectionsPerSource, "65536"),
    ];
    for (setting, value) in cases {
        let refused = change(&mut cluster, &[(Setting::DnsPublish, "false"), (setting, value)]);
        let Applied::Refused(CommandRefusal::Setting(error)) = refused else {
            panic!("{setting:?} {value}: {refused:?}")
        };
        assert!(error.to_string().starts_with(&format!("`{}` takes ", setting.name())), "{error}");
    }
    assert_eq!(cluster.state.hash(), before, "all or none");
}

#[test]
fn every_setting_reads_back_what_it_shows() {
    let (mut settings, mut of_node) = (Settings::default(), NodeSettings::default());
    for setting in Setting::ALL {
        assert_eq!(setting.name().parse(), Ok(setting));
        match (settings.get(setting), of_node.get(setting)) {
            (Some(shown), None) => settings.set(setting, &shown).unwrap(),
            (None, Some(shown)) => of_node.set(setting, &shown).unwrap(),
            both => panic!("{setting:?} is of the cluster or of a node: {both:?}"),
        }
        assert_eq!(setting.is_of_node(), settings.get(setting).is_none());
        let default = settings.value(setting).or_else(|| of_node.value(setting));
        assert_eq!(default.as_ref(), Some(&setting.default_value()));
        assert_eq!(setting.form().parse(&setting.default_value().to_string()), default, "{setting:?}");
    }
    assert_eq!((settings, of_node), (Settings::default(), NodeSettings::default()));
    assert_eq!("dns.publishing".parse::<Setting>(), Err(SettingError::Unknown));
    assert!(SettingError::Unknown.to_string().contains("dns.domains"));
}

#[test]
fn a_value_is_parsed_once_and_its_text_enters_the_log_as_it_was_given() {
    let change = SettingChange::parse(Scope::Cluster, Setting::DnsTtl, " +0120 ").unwrap();
    assert_eq!((change.value(), change.text()), (Ok(&TypedValue::Number(120)), " +0120 "));
    let command = Command::ChangeSettings { node: None, changes: vec![change] };
    assert!(command.encode().windows(7).any(|window| window == b" +0120 "));
    assert_eq!(Command::decode(&command.encode()), Ok(command.clone()));
    let mut cluster = Cluster::activated();
    assert_eq!(cluster.apply(&command), Applied::Done);
    assert_eq!(cluster.state.settings().get(Setting::DnsTtl).as_deref(), Some("120"));

    // The scope is checked first, as in earlier versions: the reason of a refusal is part of the audit.
    let wrong_twice = SettingChange::from_log(Setting::ClientsPort, "a port".into());
    let refused = cluster.apply(&Command::ChangeSettings { node: None, changes: vec![wrong_twice] });
    assert_eq!(refused, Applied::Refused(CommandRefusal::Setting(SettingError::OfNode(Setting::ClientsPort))));
    let of_cluster = SettingChange::parse(Scope::Node, Setting::DnsTtl, "0");
    assert_eq!(of_cluster, Err(SettingError::OfCluster(Setting::DnsTtl)));
}

#[test]
fn r26_the_publish_list_has_a_rank_for_each_domain_or_none() {
    let mut settings = Settings::default();
    settings.set(Setting::DnsDomains, " Example.test.:10:60 , other.test").unwrap();
    let domain = |name: &str| name.parse::<DomainName>().unwrap();
    let expected = [
        PublishDomain { domain: domain("example.test"), rank: Some(Rank { priority: 10, weight: 60 }) },
        PublishDomain { domain: domain("other.test"), rank: None },
    ];
    assert_eq!(settings.dns_domains, expected);
    assert_eq!(settings.get(Setting::DnsDomains).as_deref(), Some("example.test:10:60,other.test"));
    settings.set(Setting::DnsDomains, "").unwrap();
    assert_eq!(settings.dns_domains, []);
}

#[test]
fn g11_what_is_no_upstream_no_group_and_no_choice_is_refused() {
    let too_many_upstreams = (0..25).map(|number| format!("h{number}.test")).collect::<Vec<_>>().join(",");
    let cases = [
        (Setting::GatewayUpstreams, "a.test:0"),
        (Setting::GatewayUpstreams, "a.test:70000"),
        (Setting::GatewayUpstreams, "a..test"),
        (Setting::GatewayUpstreams, "[a.test]:1688"),
        (Setting::GatewayUpstreams, "a.test?group=A"),
        (Setting::GatewayUpstreams, "a.test?rank=1"),
        (Setting::GatewayUpstreams, "a.test,A.test:1688"),
        (Setting::GatewayUpstreams, too_many_upstreams.as_str()),
        (Setting::GatewayGroups, "sites?interface=7"),
        (Setting::GatewayGroups, "sites?network=10.0.0.0/33"),
        (Setting::GatewayGroups, "sites,sites"),
        (Setting::GatewayMirror, "default,default"),
        (Setting::GatewayPrefer, "default"),
        (Setting::GatewayPrefer, "default=a.test,default=b.test"),
        (Setting::GatewayForward, "none"),
    ];
    for (setting, value) in cases {
        let refused = Settings::default().set(setting, value);
        assert_eq!(refused, Err(SettingError::Value { setting }), "{value}");
    }
}

#[test]
fn g11_an_upstream_is_a_host_with_a_port_or_the_name_of_srv_records_and_its_options() {
    let given = " A.example.test , 192.0.2.7:1700?priority=2&weight=9&group=sites&drained, [2001:DB8::7]:1688,\
                 2001:db8::8?group=default, srv:_kept._tcp.example.test.";
    let shown = "a.example.test:1688,192.0.2.7:1700?priority=2&weight=9&group=sites&drained,[2001:db8::7]:1688,\
                 [2001:db8::8]:1688,srv:_kept._tcp.example.test";
    let mut settings = Settings::default();
    settings.set(Setting::GatewayUpstreams, given).unwrap();
    assert_eq!(settings.get(Setting::GatewayUpstreams).as_deref(), Some(shown));
    let second = &settings.gateway_upstreams[1];
    assert_eq!(
        (second.group.as_str(), second.priority, second.weight, second.is_drained),
        ("sites", 2, 9, true),
        "{second:?}"
    );
    let again = settings.clone();
    settings.set(Setting::GatewayUpstreams, shown).unwrap();
    assert_eq!(settings, again, "what is shown is read as the same value");
}

#[test]
fn g3_groups_of_upstreams_and_their_preferred_upstreams_are_read_as_they_are_shown() {
    let mut settings = Settings::default();
    let uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    let groups = format!("sites?interface={uuid}&network=10.1.0.0/16&network=2001:db8::/32,rest");
    for (setting, text) in [
        (Setting::GatewayGroups, groups.as_str()),
        (Setting::GatewayMirror, "default,sites"),
        (Setting::GatewayPrefer, "sites=[2001:db8::7]:1688,default=a.test:1688"),
        (Setting::GatewayChoice, ""),
        (Setting::GatewayForward, "all"),
    ] {
        settings.set(setting, text).unwrap();
        assert_eq!(settings.get(setting).as_deref(), Some(text));
    }
}

#[test]
fn r25_every_node_knows_where_each_is_found_and_no_two_have_one_name() {
    let mut cluster = Cluster::activated();
    let announce = |node, name| Command::Announce { node, announcement: announcement(name) };
    assert_eq!(cluster.apply(&announce(1, "node1.example.test")), Applied::Done);
    assert_eq!(cluster.apply(&announce(2, "node2.example.test")), Applied::Done);
    let refused = cluster.apply(&announce(2, "NODE1.example.test."));
    assert_eq!(refused, Applied::Refused(CommandRefusal::TargetOfAnother { node: 2, other: 1 }));
    assert_eq!(cluster.apply(&announce(1, "renamed.example.test")), Applied::Done);
    let targets: Vec<_> = cluster.state.announcements().values().map(|known| known.target.as_str()).collect();
    assert_eq!(targets, ["renamed.example.test", "node2.example.test"]);
}

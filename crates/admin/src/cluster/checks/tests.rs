use api::admin::v1::{
    ApplicationCount, ClusterStatusReply, CountReply, DnsDomain, DnsRecord, DnsRecordState, DnsStatusReply,
    DuplicatesReply, InstalledKey, KeyStanding, ListKeysReply, MachineReport, NodeActivation, NodeActivationState,
    NodeRole, NodeState, NodeStatus, ProductCount, RoundTrip, SettingValue,
};

use super::*;
use crate::{
    cluster::observation::UnreachablePort,
    finding::{Verdict, expect},
};

const NOW: u64 = 1_800_000_000_000;
const DAY_MS: u64 = 86_400_000;

fn node(node: u64) -> NodeStatus {
    NodeStatus {
        node,
        role: if node == 1 { NodeRole::Leader } else { NodeRole::Voter }.into(),
        reachable: true,
        ready: true,
        applied_index: 5000,
        version: "1.0".into(),
        groups: vec!["client".into()],
        newest_format: 2,
        generation: 1,
        clients_port: 1688,
        new_cmids_last_hour: Some(0),
        new_cmids_usual: Some(0),
        match_index: Some(5000),
        state: NodeState::Ok.into(),
        round_trips: (1..=3)
            .filter(|other| *other != node)
            .map(|other| RoundTrip { node: other, microseconds: 900 })
            .collect(),
        round_trip_max_us: 75_000,
        ..NodeStatus::default()
    }
}

fn machine(node: u64) -> MachineReport {
    MachineReport {
        node,
        data_size_bytes: 1 << 40,
        data_free_bytes: 1 << 39,
        sync_us: 400,
        certificate_ends_ms: NOW + 60 * DAY_MS,
        store_bytes: 1 << 20,
        descriptors_limit: 65_536,
        descriptors_open: 100,
        clients_wanted: 4096,
        clients_max: 4096,
        ..MachineReport::default()
    }
}

fn healthy() -> ClusterObservation {
    let record = |state: DnsRecordState| DnsRecord {
        target: "n1.example.com.".into(),
        state: state.into(),
        ..DnsRecord::default()
    };
    let key = InstalledKey {
        key_id: "k".into(),
        activations: vec![NodeActivation {
            node: 1,
            state: NodeActivationState::Activated.into(),
            ..NodeActivation::default()
        }],
        standing: Some(KeyStanding { hosts_limit: 6, hosts_used: 3, told_ms: 0 }),
        ..InstalledKey::default()
    };
    let product = ProductCount { product: "desk".into(), threshold: 25, met: true, ..ProductCount::default() };
    let application = ApplicationCount {
        application: "desktop".into(),
        products: vec![product],
        unrenewed: Some(0),
        ..ApplicationCount::default()
    };
    ClusterObservation {
        status: ClusterStatusReply {
            leader: 1,
            failure_tolerance: 1,
            cluster_time_ms: NOW,
            format: 2,
            nodes: (1..=3).map(node).collect(),
            ..ClusterStatusReply::default()
        },
        machines: (1..=3).map(machine).collect(),
        keys: Some(ListKeysReply { keys: vec![key], pending_releases: Vec::new() }),
        counts: Some(CountReply { applications: vec![application], cluster_time_ms: NOW }),
        settings: [
            ("activation.interval_minutes", "120"),
            ("renewal.interval_minutes", "10080"),
            ("dns.publish", "true"),
        ]
        .map(|(name, value)| SettingValue { name: name.into(), value: value.into() })
        .into(),
        duplicates: Some(DuplicatesReply::default()),
        dns: Some(DnsStatusReply {
            domains: vec![DnsDomain {
                domain: "example.com".into(),
                records: vec![record(DnsRecordState::Own)],
                ..DnsDomain::default()
            }],
        }),
        unreachable: Some(Vec::new()),
    }
}

#[test]
fn a_healthy_cluster_has_one_line_for_each_check() {
    let findings = check(&healthy());
    expect::all_passed(&findings);
    assert_eq!(findings.len(), CHECKS.len());
}

fn silence(seen: &mut ClusterObservation, node: usize) {
    let silent = &mut seen.status.nodes[node];
    (silent.reachable, silent.state) = (false, NodeState::Unreachable.into());
}

/// A cluster that has just lost its leader: all nodes answer, and everything that only a leader reports is missing.
fn lose_the_leader(seen: &mut ClusterObservation) {
    (seen.status.leader, seen.status.cluster_time_ms, seen.status.failure_tolerance) = (0, 0, 0);
    for node in &mut seen.status.nodes {
        (node.role, node.match_index, node.state) = (NodeRole::Voter.into(), None, NodeState::Unspecified.into());
    }
    (seen.keys, seen.counts) = (None, None);
    seen.settings.clear();
}

/// The names of the checks that did not pass, with their verdicts.
fn not_passed(seen: &ClusterObservation) -> Vec<(&'static str, Verdict)> {
    let findings = check(seen).into_iter().filter(|finding| finding.verdict != Verdict::Ok);
    let mut names: Vec<_> = findings.map(|finding| (finding.check, finding.verdict)).collect();
    names.dedup();
    names
}

#[test]
fn what_cannot_be_evaluated_is_unknown_and_never_ok() {
    use Verdict::{Failure, Unknown, Warning};
    let nothing = ClusterObservation::default();
    let passed: Vec<_> = check(&nothing).into_iter().filter(|finding| finding.verdict == Verdict::Ok).collect();
    assert_eq!(passed, [], "a node that belongs to no cluster");

    let mut seen = healthy();
    lose_the_leader(&mut seen);
    let expected = [
        ("leader", Failure),
        ("quorum", Unknown),
        ("lag", Unknown),
        ("activation", Unknown),
        ("keys", Unknown),
        ("host-certificates", Unknown),
        ("clocks", Unknown),
        ("certificates", Unknown),
        ("count", Unknown),
        ("unrenewed-machines", Unknown),
        ("settings", Unknown),
    ];
    assert_eq!(not_passed(&seen), expected, "no leader");

    let mut seen = healthy();
    silence(&mut seen, 2);
    seen.machines[2] = MachineReport { node: 3, passed_over: "it does not answer".into(), ..MachineReport::default() };
    seen.duplicates.as_mut().unwrap().passed_over.push("node 3: it does not answer".into());
    seen.status.nodes[2].match_index = None;
    let expected = [
        ("nodes", Failure),
        ("quarantine", Unknown),
        ("lag", Unknown),
        ("activation", Unknown),
        ("clocks", Unknown),
        ("ports", Unknown),
        ("disk", Unknown),
        ("descriptors", Unknown),
        ("certificates", Unknown),
        ("new-machines", Unknown),
        ("duplicates", Unknown),
        ("settings", Unknown),
    ];
    assert_eq!(not_passed(&seen), expected, "one node does not answer");

    let mut seen = healthy();
    seen.dns = None;
    assert_eq!(not_passed(&seen), [("dns", Unknown)], "no name in DNS");
    seen.dns = Some(DnsStatusReply::default());
    assert_eq!(not_passed(&seen), [("dns", Unknown)], "no domain");

    // Parts that an observer has not read yet.
    let mut seen = healthy();
    (seen.unreachable, seen.duplicates) = (None, None);
    seen.machines.clear();
    assert_eq!(
        not_passed(&seen),
        ["ports", "disk", "descriptors", "certificates", "duplicates"].map(|check| (check, Unknown))
    );

    let mut seen = healthy();
    seen.status.nodes[0].round_trips.clear();
    assert_eq!(not_passed(&seen), [], "the other ends have measured");
    seen.status.nodes[1].round_trip_max_us = 0;
    assert_eq!(not_passed(&seen), [("links", Unknown)], "one of a version before, one that has just started");

    let mut seen = healthy();
    seen.keys.as_mut().unwrap().keys[0].standing = None;
    seen.machines[0].data_size_bytes = 0;
    assert_eq!(not_passed(&seen), [("keys", Unknown), ("disk", Unknown)]);
    assert!(Unknown < Warning && Verdict::Ok < Unknown, "a worse finding beside it stands out");
}

#[test]
fn what_a_node_does_not_report_is_unknown_and_never_ok() {
    type Silence = (&'static str, fn(&mut ClusterObservation));
    let silences: [Silence; 22] = [
        ("quarantine", |seen| seen.status.nodes[1].generation = 0),
        ("ports", |seen| seen.status.nodes[1].clients_port = 0),
        ("new-machines", |seen| seen.status.nodes[1].new_cmids_last_hour = None),
        ("new-machines", |seen| seen.status.nodes[1].new_cmids_usual = None),
        ("disk", |seen| seen.machines[1].sync_us = 0),
        ("disk", |seen| seen.machines[1].store_bytes = 0),
        ("disk", |seen| seen.machines[1].data_size_bytes = 0),
        ("descriptors", |seen| seen.machines[1].descriptors_limit = 0),
        ("descriptors", |seen| seen.machines[1].descriptors_open = 0),
        ("descriptors", |seen| seen.machines[1].clients_wanted = 0),
        ("descriptors", |seen| seen.machines[1].clients_max = 0),
        ("certificates", |seen| seen.machines[1].certificate_ends_ms = 0),
        ("keys", |seen| {
            seen.keys.as_mut().unwrap().keys[0].activations[0].state = NodeActivationState::Unspecified.into();
        }),
        ("dns", |seen| {
            seen.dns.as_mut().unwrap().domains[0].records[0].state = DnsRecordState::Unspecified.into();
        }),
        ("settings", |seen| seen.status.nodes.iter_mut().for_each(|node| node.version.clear())),
        ("settings", |seen| seen.status.nodes[1].newest_format = 0),
        ("settings", |seen| seen.settings.retain(|setting| setting.name != "renewal.interval_minutes")),
        ("settings", |seen| seen.settings.retain(|setting| setting.name != "activation.interval_minutes")),
        ("settings", |seen| seen.settings.retain(|setting| setting.name != "dns.publish")),
        ("settings", |seen| seen.settings[2].value = "false".into()),
        ("host-certificates", |seen| seen.keys = None),
        ("unrenewed-machines", |seen| seen.counts.as_mut().unwrap().applications[0].unrenewed = None),
    ];
    for (index, (name, silence)) in silences.into_iter().enumerate() {
        let mut seen = healthy();
        silence(&mut seen);
        let verdict = check(&seen).into_iter().find(|finding| finding.check == name).unwrap().verdict;
        assert_eq!(verdict, Verdict::Unknown, "{name}, number {index}");
    }
}

/// A host certificate that ends `days` after now, and whose renewal is due 10 days before that.
fn certificate_of(seen: &mut ClusterObservation, days: i64) {
    let at = |days: i64| Some(NOW.saturating_add_signed(days * 86_400_000));
    let activation = &mut seen.keys.as_mut().unwrap().keys[0].activations[0];
    (activation.certificate_ends_ms, activation.renewal_due_ms) = (at(days), at(days - 10));
}

#[test]
fn a_host_certificate_is_reported_from_the_day_on_which_it_can_be_renewed() {
    let verdict = |days| {
        let mut seen = healthy();
        certificate_of(&mut seen, days);
        let finding = check(&seen).into_iter().find(|finding| finding.check == "host-certificates").unwrap();
        assert!(finding.verdict == Verdict::Ok || finding.remedy.text().contains("key activate --renew"));
        finding.verdict
    };
    assert_eq!([11, 10, 1, 0, -5].map(verdict), {
        use Verdict::{Failure, Ok, Warning};
        [Ok, Warning, Warning, Failure, Failure]
    });
    let mut seen = healthy();
    certificate_of(&mut seen, 100);
    seen.status.cluster_time_ms = 0;
    assert!(not_passed(&seen).contains(&("host-certificates", Verdict::Unknown)), "no cluster time");
}

#[test]
fn every_planted_fault_is_found_with_its_remedy() {
    type Fault = (&'static str, Verdict, fn(&mut ClusterObservation), &'static str);
    let faults: [Fault; 38] = [
        ("leader", Verdict::Failure, lose_the_leader, "start the nodes"),
        ("nodes", Verdict::Failure, |seen| silence(seen, 2), "cluster remove 3 --dead"),
        ("nodes", Verdict::Warning, |seen| seen.status.nodes[2].state = NodeState::Draining.into(), "maintenance"),
        (
            "nodes",
            Verdict::Warning,
            |seen| {
                silence(seen, 2);
                seen.status.nodes[2].state = NodeState::Stopped.into();
            },
            "maintenance",
        ),
        ("nodes", Verdict::Failure, |seen| seen.status.nodes[2].state = NodeState::Diverged.into(), "rejoin 3"),
        (
            "quarantine",
            Verdict::Failure,
            |seen| seen.status.nodes[1].quarantined_because = "its disk went back in time".into(),
            "cluster remove 2 --dead",
        ),
        (
            "links",
            Verdict::Warning,
            |seen| {
                seen.status.nodes[0].round_trips[1].microseconds = 120_000;
            },
            "quorate settings set raft.profile far",
        ),
        ("quorum", Verdict::Warning, |seen| seen.status.failure_tolerance = 0, "cluster add"),
        (
            "quorum",
            Verdict::Failure,
            |seen| {
                seen.status.failure_tolerance = 0;
                silence(seen, 2);
            },
            "start the nodes that do not answer",
        ),
        (
            "quorum",
            Verdict::Failure,
            |seen| {
                seen.status.failure_tolerance = 0;
                seen.status.nodes[2].state = NodeState::Lagging.into();
            },
            "those that lag",
        ),
        (
            "quorum",
            Verdict::Warning,
            |seen| {
                seen.status.failure_tolerance = 0;
                seen.status.nodes[2].state = NodeState::Draining.into();
            },
            "drained nodes",
        ),
        (
            "quorum",
            Verdict::Failure,
            |seen| {
                lose_the_leader(seen);
                silence(seen, 1);
                silence(seen, 2);
            },
            "start the nodes that do not answer",
        ),
        ("lag", Verdict::Warning, |seen| seen.status.nodes[1].match_index = Some(10), "wait"),
        ("lag", Verdict::Warning, |seen| seen.status.nodes[1].state = NodeState::Lagging.into(), "disk"),
        ("activation", Verdict::Failure, |seen| seen.keys.as_mut().unwrap().keys.clear(), "key install"),
        (
            "activation",
            Verdict::Failure,
            |seen| {
                seen.status.nodes[1].ready = false;
                seen.status.nodes[1].groups.clear();
            },
            "key activate --node 2",
        ),
        (
            "activation",
            Verdict::Warning,
            |seen| seen.status.nodes[0].groups.push("server-b".into()),
            "key activate --node",
        ),
        (
            "keys",
            Verdict::Failure,
            |seen| seen.keys.as_mut().unwrap().keys[0].activations[0].state = NodeActivationState::Blocked.into(),
            "another key",
        ),
        (
            "keys",
            Verdict::Warning,
            |seen| seen.keys.as_mut().unwrap().keys[0].standing.as_mut().unwrap().hosts_used = 6,
            "key release",
        ),
        ("clocks", Verdict::Warning, |seen| seen.status.nodes[1].clock_offset_ms = -90_000, "NTP"),
        ("clocks", Verdict::Failure, |seen| seen.status.nodes[1].clock_offset_ms = 90_000_000, "NTP"),
        ("clocks", Verdict::Failure, |seen| seen.status.clock_alarm = "they jumped".into(), "clock accept"),
        (
            "ports",
            Verdict::Failure,
            |seen| seen.unreachable = Some(vec![UnreachablePort::new(("n1".into(), 1688), "refused")]),
            "firewall",
        ),
        (
            "dns",
            Verdict::Failure,
            |seen| seen.dns.as_mut().unwrap().domains[0].last_error = "REFUSED".into(),
            "dns publish",
        ),
        (
            "dns",
            Verdict::Warning,
            |seen| seen.dns.as_mut().unwrap().domains[0].records[0].state = DnsRecordState::Foreign.into(),
            "dns.known",
        ),
        (
            "dns",
            Verdict::Failure,
            |seen| seen.dns.as_mut().unwrap().domains[0].records[0].state = DnsRecordState::Missing.into(),
            "dns publish",
        ),
        ("disk", Verdict::Failure, |seen| seen.machines[0].write_error = "No space left".into(), "make room"),
        ("disk", Verdict::Warning, |seen| seen.machines[0].sync_us = 90_000, "faster disk"),
        ("disk", Verdict::Warning, |seen| seen.machines[0].sync_us = 2, "a power cut"),
        ("disk", Verdict::Warning, |seen| seen.machines[0].data_free_bytes = 1000, "make room"),
        ("descriptors", Verdict::Warning, |seen| seen.machines[0].descriptors_open = 60_000, "LimitNOFILE"),
        ("descriptors", Verdict::Warning, |seen| seen.machines[0].clients_max = 29, "LimitNOFILE"),
        (
            "certificates",
            Verdict::Warning,
            |seen| seen.machines[0].certificate_ends_ms = NOW + DAY_MS,
            "start it again",
        ),
        (
            "certificates",
            Verdict::Failure,
            |seen| seen.machines[0].certificate_ends_ms = NOW - DAY_MS,
            "start it again",
        ),
        (
            "certificates",
            Verdict::Warning,
            |seen| seen.machines[0].revocation_list_ends_ms = Some(NOW - DAY_MS),
            "tls.crl",
        ),
        (
            "count",
            Verdict::Warning,
            |seen| {
                seen.counts.as_mut().unwrap().applications[0].products[0].falls_below_by_trend_ms = Some(NOW + DAY_MS)
            },
            "client discover",
        ),
        ("settings", Verdict::Warning, |seen| seen.status.format = 1, "format set 2"),
        ("settings", Verdict::Warning, without_registry, "the leader registers the members"),
    ];
    for (name, verdict, plant, remedy) in faults {
        let mut seen = healthy();
        plant(&mut seen);
        expect::found(&check(&seen), name, verdict, remedy);
    }
}

#[test]
fn far_more_new_machines_than_usual_are_reported_with_their_number() {
    let new = |last_hour: u64, usual: u64| {
        let mut seen = healthy();
        for node in &mut seen.status.nodes {
            (node.new_cmids_last_hour, node.new_cmids_usual) = (Some(last_hour / 3), Some(usual / 3));
        }
        check(&seen).into_iter().find(|finding| finding.check == "new-machines").unwrap()
    };
    for (last_hour, usual, verdict) in [
        (0, 0, Verdict::Ok),
        (24, 0, Verdict::Ok),
        (60, 0, Verdict::Warning),
        (60, 21, Verdict::Ok),
        (66, 21, Verdict::Warning),
        (2100, 1500, Verdict::Ok),
    ] {
        assert_eq!(new(last_hour, usual).verdict, verdict, "{last_hour}, usual {usual}");
    }
    let finding = new(60, 3);
    assert!(finding.text.ends_with("within an hour: 60; usual: 3"), "{}", finding.text);
    assert!(finding.remedy.text().contains("quorate events --since 1h"));
}

#[test]
fn many_machines_that_missed_their_renewal_are_reported_with_their_share() {
    for (count, unrenewed, verdict) in [
        (50, 0, Verdict::Ok),
        (50, 25, Verdict::Ok),
        (50, 26, Verdict::Warning),
        (100, 39, Verdict::Ok),
        (100, 40, Verdict::Warning),
    ] {
        let mut seen = healthy();
        let application = &mut seen.counts.as_mut().unwrap().applications[0];
        (application.count, application.unrenewed) = (count, Some(unrenewed));
        let finding = check(&seen).into_iter().find(|finding| finding.check == "unrenewed-machines").unwrap();
        assert_eq!(finding.verdict, verdict, "{unrenewed} of {count}");
    }
}

/// A cluster in the format that holds a registry, with its own authority, and still without a registry.
fn without_registry(seen: &mut ClusterObservation) {
    (seen.status.format, seen.status.registry_in_force) = (3, Some(false));
    for node in &mut seen.status.nodes {
        (node.newest_format, node.holds_authority) = (3, Some(true));
    }
}

#[test]
fn an_organisations_authority_or_an_older_format_needs_no_registry() {
    let settings = |change: fn(&mut ClusterObservation)| {
        let mut seen = healthy();
        without_registry(&mut seen);
        change(&mut seen);
        check(&seen).into_iter().find(|finding| finding.check == "settings").unwrap().verdict
    };
    assert_eq!(settings(|_| {}), Verdict::Warning);
    assert_eq!(settings(|seen| seen.status.registry_in_force = Some(true)), Verdict::Ok);
    assert_eq!(settings(|seen| seen.status.registry_in_force = None), Verdict::Unknown, "it is not reported");
    let older = |seen: &mut ClusterObservation| {
        (seen.status.registry_in_force, seen.status.format) = (None, 2);
        seen.status.nodes.iter_mut().for_each(|node| node.newest_format = 2);
    };
    assert_eq!(settings(older), Verdict::Ok, "a version before, whose format holds none");
    let organisations = |seen: &mut ClusterObservation| {
        seen.status.nodes.iter_mut().for_each(|node| node.holds_authority = None);
    };
    assert_eq!(settings(organisations), Verdict::Ok);
}

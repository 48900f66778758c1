use api::admin::v1::{
    ApplicationCount, ClusterStatusReply, CountReply, DnsDomain, DnsRecord, DnsRecordState, DnsStatusReply,
    InstalledKey, KeyStanding, ListKeysReply, MachineReport, NodeActivation, NodeActivationState, NodeRole, NodeStatus,
    ProductCount, SettingValue,
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
    let application =
        ApplicationCount { application: "desktop".into(), products: vec![product], ..ApplicationCount::default() };
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
        duplicates: None,
        dns: Some(DnsStatusReply {
            domains: vec![DnsDomain {
                domain: "example.com".into(),
                records: vec![record(DnsRecordState::Own)],
                ..DnsDomain::default()
            }],
        }),
        unreachable: Vec::new(),
    }
}

#[test]
fn a_healthy_cluster_has_one_line_for_each_check() {
    let findings = check(&healthy());
    expect::all_passed(&findings);
    assert_eq!(findings.len(), CHECKS.len());
}

#[test]
fn every_planted_fault_is_found_with_its_remedy() {
    type Fault = (&'static str, Verdict, fn(&mut ClusterObservation), &'static str);
    let faults: [Fault; 26] = [
        ("leader", Verdict::Failure, |seen| seen.status.leader = 0, "start the nodes"),
        ("nodes", Verdict::Failure, |seen| seen.status.nodes[2].reachable = false, "cluster remove 3 --dead"),
        (
            "quarantine",
            Verdict::Failure,
            |seen| seen.status.nodes[1].quarantined_because = "its disk went back in time".into(),
            "cluster remove 2 --dead",
        ),
        ("quorum", Verdict::Warning, |seen| seen.status.failure_tolerance = 0, "cluster add"),
        (
            "quorum",
            Verdict::Failure,
            |seen| {
                seen.status.failure_tolerance = 0;
                seen.status.nodes[2].reachable = false;
            },
            "bring the nodes back",
        ),
        ("lag", Verdict::Warning, |seen| seen.status.nodes[1].applied_index = 10, "wait"),
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
            |seen| seen.unreachable.push(UnreachablePort::new(("n1".into(), 1688), "refused")),
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
            "count",
            Verdict::Warning,
            |seen| {
                seen.counts.as_mut().unwrap().applications[0].products[0].falls_below_by_trend_ms = Some(NOW + DAY_MS)
            },
            "client discover",
        ),
        ("settings", Verdict::Warning, |seen| seen.status.format = 1, "format set 2"),
    ];
    for (name, verdict, plant, remedy) in faults {
        let mut seen = healthy();
        plant(&mut seen);
        expect::found(&check(&seen), name, verdict, remedy);
    }
}

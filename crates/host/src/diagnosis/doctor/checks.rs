//! The checks: pure, from what was found to what to say of it.

use std::collections::BTreeSet;

use api::admin::v1::{
    ClusterStatusReply, CountReply, DnsStatusReply, DuplicatesReply, ListKeysReply, NodeExamined, NodeStatus,
};

use super::{Check, Found, State};
use crate::diagnosis::moment;

/// Entries that a node may be behind in passing.
const LAG_ENTRIES_MAX: u64 = 1000;
/// Of a clock: what R13 lets machines be off.
const CLOCK_FAILS_MS: u64 = 4 * 3_600_000;
const CLOCK_WARNS_MS: u64 = 60_000;
/// A disk that is quicker than this is not asked: no medium is sure in less.
const SYNC_UNREAL_US: u64 = 5;
const SYNC_SLOW_US: u64 = 50_000;
const DAY_MS: u64 = 86_400_000;

/// Every check: one that passes says so in one line, one that does not in a line for each thing that is wrong.
pub fn all(found: &Found) -> Vec<Check> {
    let checks: [(&'static str, &str, Vec<Finding>); 14] = [
        ("leader", "a leader is known", leader(&found.cluster)),
        ("nodes", "every node answers", nodes(&found.cluster)),
        ("quorum", "one more node may fail", quorum(&found.cluster)),
        ("lag", "every node has caught up", lag(&found.cluster)),
        ("activation", "every node is activated", activation(found)),
        ("keys", "every key has room", keys(found.keys.as_ref())),
        ("clocks", "all clocks agree", clocks(&found.cluster)),
        ("ports", "every node takes connections from here", ports(&found.silent)),
        ("dns", "DNS names the nodes, and nobody else", dns(found.dns.as_ref())),
        ("disk", "every disk has room, and is sure in good time", disks(&found.examined)),
        ("certificates", "no certificate ends soon", certificates(found)),
        ("count", "no count is about to fall below a threshold", counts(found.counts.as_ref())),
        ("duplicates", "no two machines share a CMID", duplicates(found.duplicates.as_ref())),
        ("settings", "settings and versions fit each other", settings(found)),
    ];
    let told = checks.into_iter().flat_map(|(name, well, findings)| {
        if findings.is_empty() {
            return vec![Check { name, state: State::Ok, finding: well.to_owned(), fix: String::new() }];
        }
        let said = findings.into_iter();
        said.map(|Finding(state, finding, fix)| Check { name, state, finding, fix }).collect()
    });
    told.collect()
}

struct Finding(State, String, String);

fn warning(finding: String, fix: &str) -> Finding {
    Finding(State::Warning, finding, fix.to_owned())
}

fn failure(finding: String, fix: &str) -> Finding {
    Finding(State::Failure, finding, fix.to_owned())
}

fn answering(cluster: &ClusterStatusReply) -> impl Iterator<Item = &NodeStatus> {
    cluster.nodes.iter().filter(|node| node.reachable)
}

fn leader(cluster: &ClusterStatusReply) -> Vec<Finding> {
    match cluster.nodes.is_empty() {
        true => vec![failure(
            "the node belongs to no cluster".into(),
            "quorate host run --bootstrap on one node of it, or quorate cluster add from a cluster that runs",
        )],
        false if cluster.leader == 0 => vec![failure(
            "no leader is known: nobody is activated".into(),
            "start the nodes that do not answer: a majority of the voters must run and reach each other on port 1689",
        )],
        false => Vec::new(),
    }
}

fn nodes(cluster: &ClusterStatusReply) -> Vec<Finding> {
    let silent = cluster.nodes.iter().filter(|node| !node.reachable);
    silent
        .map(|node| {
            failure(
                format!("node {} does not answer: {}", node.node, node.not_ready_because),
                &format!("start it (quorate host run); gone for good: quorate cluster remove {} --dead", node.node),
            )
        })
        .collect()
}

fn quorum(cluster: &ClusterStatusReply) -> Vec<Finding> {
    if cluster.leader == 0 || cluster.failure_tolerance > 0 {
        return Vec::new();
    }
    let voters = cluster.nodes.iter().filter(|node| node.role != "learner");
    if voters.count() == answering(cluster).filter(|node| node.role != "learner").count() {
        return vec![warning(
            format!("a cluster of {} bears no failure", cluster.nodes.len()),
            "add nodes until there are three: quorate cluster add",
        )];
    }
    vec![failure("if one more node fails, nobody is activated".into(), "bring the nodes back that do not answer")]
}

fn lag(cluster: &ClusterStatusReply) -> Vec<Finding> {
    let last = answering(cluster).map(|node| node.applied_index).max().unwrap_or(0);
    let behind = answering(cluster).map(|node| (node, last - node.applied_index));
    behind
        .filter(|(_, lag)| *lag > LAG_ENTRIES_MAX)
        .map(|(node, lag)| {
            warning(
                format!("node {} is {lag} entries behind", node.node),
                "wait; if it does not catch up, look at its disk and the network to it",
            )
        })
        .collect()
}

fn activation(found: &Found) -> Vec<Finding> {
    if found.keys.as_ref().is_some_and(|keys| keys.keys.is_empty()) {
        return vec![failure(
            "no host key is installed".into(),
            "quorate catalog install, then quorate key install KEY",
        )];
    }
    let unready = answering(&found.cluster).filter(|node| !node.ready && !node.draining);
    let mut findings: Vec<_> = unready
        .map(|node| {
            let fix = format!("quorate key activate --node {}", node.node);
            let fix =
                if node.groups.is_empty() || !node.unusable_keys.is_empty() { &fix } else { "see the other checks" };
            failure(format!("node {} answers no clients: {}", node.node, node.not_ready_because), fix)
        })
        .collect();
    let held: BTreeSet<_> = answering(&found.cluster).flat_map(|node| &node.groups).collect();
    for node in answering(&found.cluster).filter(|node| node.ready) {
        let lacks: Vec<_> =
            held.iter().filter(|group| !node.groups.contains(group)).map(|group| group.as_str()).collect();
        if !lacks.is_empty() {
            findings.push(warning(
                format!("node {} is not activated for {}, as others are", node.node, lacks.join(", ")),
                &format!("quorate key activate --node {}", node.node),
            ));
        }
    }
    findings
}

fn keys(keys: Option<&ListKeysReply>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for key in keys.into_iter().flat_map(|keys| &keys.keys) {
        let blocked = key.activations.iter().filter(|activation| activation.state == "blocked");
        let nodes: Vec<_> = blocked.map(|activation| activation.node.to_string()).collect();
        if !nodes.is_empty() {
            findings.push(failure(
                format!("key {} is blocked by {}", key.key_id, key.publisher),
                &format!(
                    "ask the publisher for another key: quorate key install KEY and quorate key activate, then quorate key \
                     release --key {} --node NODE for nodes {}",
                    key.key_id,
                    nodes.join(", ")
                ),
            ));
        }
        if let Some(standing) = &key.standing
            && standing.hosts_used >= standing.hosts_limit
        {
            findings.push(warning(
                format!("key {} has activated {} of {} hosts", key.key_id, standing.hosts_used, standing.hosts_limit),
                "before a new node: quorate key release on one that is not needed, or ask the publisher for more",
            ));
        }
    }
    let pending = keys.map_or(0, |keys| keys.pending_releases.len());
    if pending > 0 {
        findings.push(warning(
            format!("{pending} places were given back, and the publisher does not know"),
            "quorate key activate, which tells it",
        ));
    }
    findings
}

fn clocks(cluster: &ClusterStatusReply) -> Vec<Finding> {
    let mut findings: Vec<_> = answering(cluster)
        .filter(|node| node.clock_offset_ms.unsigned_abs() > CLOCK_WARNS_MS)
        .map(|node| {
            let off = format!("the clock of node {} is {} s off the others'", node.node, node.clock_offset_ms / 1000);
            let fix = "set it (timedatectl), and keep it by NTP";
            if node.clock_offset_ms.unsigned_abs() > CLOCK_FAILS_MS { failure(off, fix) } else { warning(off, fix) }
        })
        .collect();
    if !cluster.clock_alarm.is_empty() {
        findings.push(failure(
            cluster.clock_alarm.clone(),
            "look at the clocks; if they are right: quorate cluster clock accept",
        ));
    }
    findings
}

fn ports(silent: &[(String, String)]) -> Vec<Finding> {
    let finding = |(host, why): &(String, String)| {
        failure(
            format!("nothing answers at {host} from here: {why}"),
            "open the port in the firewalls between; with DNS: see that the name leads to the node",
        )
    };
    silent.iter().map(finding).collect()
}

fn dns(dns: Option<&DnsStatusReply>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for domain in dns.into_iter().flat_map(|dns| &dns.domains) {
        if !domain.last_error.is_empty() {
            findings.push(failure(
                format!("{}: {}", domain.domain, domain.last_error),
                "mend what the error names, then quorate dns publish",
            ));
        }
        for record in &domain.records {
            let what = format!("{} port {} in {}", record.target, record.port, domain.domain);
            match record.state.as_str() {
                "foreign" => findings.push(warning(
                    format!("{what} belongs to no member"),
                    &format!(
                        "a rogue host or a leftover: delete it there (nsupdate: update delete {} SRV {} {} {} {}), or list \
                         its target in dns.known of every node",
                        domain.name, record.priority, record.weight, record.port, record.target
                    ),
                )),
                "dead" => findings.push(warning(
                    format!("{what} is a member's that does not answer"),
                    "start the node: the leader withdraws the record if it stays away",
                )),
                "missing" => findings.push(failure(format!("{what} is not there"), "quorate dns publish")),
                _ if record.stale => {
                    findings.push(warning(format!("{what} is not as its node announces it"), "quorate dns publish"));
                }
                _ => {}
            }
        }
    }
    findings
}

fn disks(examined: &[NodeExamined]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for node in examined.iter().filter(|node| node.passed_over.is_empty()) {
        let number = node.node;
        if !node.write_error.is_empty() {
            findings.push(failure(
                format!("node {number} cannot write: {}", node.write_error),
                "make room on its disk, or mend it, and start the node again",
            ));
            continue;
        }
        if node.sync_us < SYNC_UNREAL_US {
            findings.push(warning(
                format!("the disk of node {number} is sure in {} us: it does not wait for its medium", node.sync_us),
                "use a file system that syncs (no tmpfs, no eatmydata): a power cut loses what was acknowledged",
            ));
        } else if node.sync_us > SYNC_SLOW_US {
            findings.push(warning(
                format!("the disk of node {number} takes {} ms to be sure", node.sync_us / 1000),
                "put its data on a faster disk: every activation waits for it",
            ));
        }
        let (free, store) = (node.data_free_bytes, node.store_bytes);
        if node.data_size_bytes > 0 && (free < node.data_size_bytes / 20 || free < 2 * store) {
            findings.push(warning(
                format!("node {number} has {} MiB left, and its store has {} MiB", free >> 20, store >> 20),
                "make room: a node that cannot write stops, and to start it needs room for a copy of its store",
            ));
        }
    }
    findings
}

fn certificates(found: &Found) -> Vec<Finding> {
    let now_ms = found.cluster.cluster_time_ms;
    let ending = found.examined.iter().filter(|node| node.passed_over.is_empty() && now_ms > 0);
    ending
        .filter(|node| node.certificate_ends_ms < now_ms + 14 * DAY_MS)
        .map(|node| {
            let ends =
                format!("the certificate of node {} ends {}", node.node, moment::second(node.certificate_ends_ms));
            let fix = "start it again: it renews the cluster's own then, and its log says why it did not before; one of your \
                       organisation's: put another into the file tls.certificate";
            if node.certificate_ends_ms < now_ms { failure(ends, fix) } else { warning(ends, fix) }
        })
        .collect()
}

fn counts(counts: Option<&CountReply>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let now_ms = counts.map_or(0, |counts| counts.cluster_time_ms);
    for application in counts.into_iter().flat_map(|counts| &counts.applications) {
        let soon = application.products.iter().filter_map(|product| {
            let at = product.falls_below_by_trend_ms.filter(|at| *at < now_ms + 7 * DAY_MS)?;
            Some((at, product))
        });
        if let Some((at, product)) = soon.min_by_key(|(at, _)| *at) {
            findings.push(warning(
                format!(
                    "{} falls below the threshold of {} on {}, as it goes",
                    application.application,
                    product.product,
                    moment::second(at)
                ),
                "find out why machines stopped asking: quorate client discover on one of them",
            ));
        }
    }
    findings
}

fn settings(found: &Found) -> Vec<Finding> {
    let value = |name: &str| {
        let setting = found.settings.iter().find(|setting| setting.name == name);
        setting.map(|setting| setting.value.as_str()).unwrap_or_default()
    };
    let mut findings = Vec::new();
    let minutes = |name: &str| value(name).parse::<u32>().ok();
    if let (Some(activation), Some(renewal)) =
        (minutes("activation.interval_minutes"), minutes("renewal.interval_minutes"))
        && activation > renewal
    {
        findings.push(warning(
            format!("machines that are not activated ask every {activation} minutes, activated ones every {renewal}"),
            "quorate settings set activation.interval_minutes 120",
        ));
    }
    if value("dns.publish") == "false" && answering(&found.cluster).any(|node| node.dns == "withdrawn") {
        findings.push(warning("no node is published in DNS (dns.publish)".into(), "quorate dns publish"));
    }
    let versions: BTreeSet<_> = answering(&found.cluster).map(|node| node.version.as_str()).collect();
    if versions.len() > 1 {
        let versions: Vec<_> = versions.into_iter().collect();
        findings
            .push(warning(format!("nodes run versions {}", versions.join(" and ")), "finish the upgrade node by node"));
    }
    let newest = answering(&found.cluster).map(|node| node.newest_format).min().unwrap_or(0);
    let all_answer = answering(&found.cluster).count() == found.cluster.nodes.len();
    if all_answer && newest > found.cluster.format {
        findings.push(warning(
            format!("every node reads format {newest}, and the cluster writes {}", found.cluster.format),
            &format!("when you are content with the upgrade: quorate cluster format set {newest}"),
        ));
    }
    findings
}

fn duplicates(known: Option<&DuplicatesReply>) -> Vec<Finding> {
    let shared = known.map_or(0, |known| known.duplicates.len());
    match shared {
        0 => Vec::new(),
        _ => vec![warning(
            format!("CMIDs that several machines share, and that count once: {shared}"),
            "quorate duplicates: it names the machines, and says what to do on each",
        )],
    }
}

#[cfg(test)]
mod tests {
    use api::admin::v1::{
        ApplicationCount, DnsDomain, DnsRecord, InstalledKey, KeyStanding, NodeActivation, ProductCount, SettingValue,
    };

    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn node(node: u64) -> NodeStatus {
        NodeStatus {
            node,
            role: if node == 1 { "leader" } else { "voter" }.into(),
            reachable: true,
            ready: true,
            applied_index: 5000,
            version: "1.0".into(),
            groups: vec!["client".into()],
            newest_format: 2,
            ..NodeStatus::default()
        }
    }

    fn examined(node: u64) -> NodeExamined {
        NodeExamined {
            node,
            data_size_bytes: 1 << 40,
            data_free_bytes: 1 << 39,
            sync_us: 400,
            certificate_ends_ms: NOW + 60 * DAY_MS,
            store_bytes: 1 << 20,
            ..NodeExamined::default()
        }
    }

    fn well() -> Found {
        let record =
            |state: &str| DnsRecord { target: "n1.example.com.".into(), state: state.into(), ..DnsRecord::default() };
        let key = InstalledKey {
            key_id: "k".into(),
            activations: vec![NodeActivation { node: 1, state: "activated".into(), ..NodeActivation::default() }],
            standing: Some(KeyStanding { hosts_limit: 6, hosts_used: 3, told_ms: 0 }),
            ..InstalledKey::default()
        };
        let product = ProductCount { product: "desk".into(), threshold: 25, met: true, ..ProductCount::default() };
        let application =
            ApplicationCount { application: "desktop".into(), products: vec![product], ..ApplicationCount::default() };
        Found {
            cluster: ClusterStatusReply {
                leader: 1,
                failure_tolerance: 1,
                cluster_time_ms: NOW,
                format: 2,
                nodes: (1..=3).map(node).collect(),
                ..ClusterStatusReply::default()
            },
            examined: (1..=3).map(examined).collect(),
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
                    records: vec![record("own")],
                    ..DnsDomain::default()
                }],
            }),
            silent: Vec::new(),
        }
    }

    #[test]
    fn a_cluster_that_is_well_has_one_line_for_each_check() {
        let checks = all(&well());
        assert!(checks.iter().all(|check| check.state == State::Ok && check.fix.is_empty()), "{checks:?}");
        let names: BTreeSet<_> = checks.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), checks.len());
    }

    #[test]
    fn every_planted_fault_is_found_with_what_mends_it() {
        type Fault = (&'static str, State, fn(&mut Found), &'static str);
        let faults: [Fault; 25] = [
            ("leader", State::Failure, |found| found.cluster.leader = 0, "start the nodes"),
            ("nodes", State::Failure, |found| found.cluster.nodes[2].reachable = false, "cluster remove 3 --dead"),
            ("quorum", State::Warning, |found| found.cluster.failure_tolerance = 0, "cluster add"),
            (
                "quorum",
                State::Failure,
                |found| {
                    found.cluster.failure_tolerance = 0;
                    found.cluster.nodes[2].reachable = false;
                },
                "bring the nodes back",
            ),
            ("lag", State::Warning, |found| found.cluster.nodes[1].applied_index = 10, "wait"),
            ("activation", State::Failure, |found| found.keys.as_mut().unwrap().keys.clear(), "key install"),
            (
                "activation",
                State::Failure,
                |found| {
                    found.cluster.nodes[1].ready = false;
                    found.cluster.nodes[1].groups.clear();
                },
                "key activate --node 2",
            ),
            (
                "activation",
                State::Warning,
                |found| found.cluster.nodes[0].groups.push("server-b".into()),
                "key activate --node",
            ),
            (
                "keys",
                State::Failure,
                |found| found.keys.as_mut().unwrap().keys[0].activations[0].state = "blocked".into(),
                "another key",
            ),
            (
                "keys",
                State::Warning,
                |found| found.keys.as_mut().unwrap().keys[0].standing.as_mut().unwrap().hosts_used = 6,
                "key release",
            ),
            ("clocks", State::Warning, |found| found.cluster.nodes[1].clock_offset_ms = -90_000, "NTP"),
            ("clocks", State::Failure, |found| found.cluster.nodes[1].clock_offset_ms = 90_000_000, "NTP"),
            ("clocks", State::Failure, |found| found.cluster.clock_alarm = "they jumped".into(), "clock accept"),
            ("ports", State::Failure, |found| found.silent.push(("n1:1688".into(), "refused".into())), "firewall"),
            (
                "dns",
                State::Failure,
                |found| found.dns.as_mut().unwrap().domains[0].last_error = "REFUSED".into(),
                "dns publish",
            ),
            (
                "dns",
                State::Warning,
                |found| found.dns.as_mut().unwrap().domains[0].records[0].state = "foreign".into(),
                "dns.known",
            ),
            (
                "dns",
                State::Failure,
                |found| found.dns.as_mut().unwrap().domains[0].records[0].state = "missing".into(),
                "dns publish",
            ),
            ("disk", State::Failure, |found| found.examined[0].write_error = "No space left".into(), "make room"),
            ("disk", State::Warning, |found| found.examined[0].sync_us = 90_000, "faster disk"),
            ("disk", State::Warning, |found| found.examined[0].sync_us = 2, "a power cut"),
            ("disk", State::Warning, |found| found.examined[0].data_free_bytes = 1000, "make room"),
            (
                "certificates",
                State::Warning,
                |found| found.examined[0].certificate_ends_ms = NOW + DAY_MS,
                "start it again",
            ),
            (
                "certificates",
                State::Failure,
                |found| found.examined[0].certificate_ends_ms = NOW - DAY_MS,
                "start it again",
            ),
            (
                "count",
                State::Warning,
                |found| {
                    found.counts.as_mut().unwrap().applications[0].products[0].falls_below_by_trend_ms =
                        Some(NOW + DAY_MS)
                },
                "client discover",
            ),
            ("settings", State::Warning, |found| found.cluster.format = 1, "format set 2"),
        ];
        for (name, state, plant, mends) in faults {
            let mut found = well();
            plant(&mut found);
            let checks = all(&found);
            let told =
                checks.iter().find(|check| check.name == name && check.state == state && check.fix.contains(mends));
            assert!(told.is_some(), "{name}, {mends}: {checks:?}");
        }
    }
}

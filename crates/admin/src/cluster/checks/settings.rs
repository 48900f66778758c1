//! Settings, versions and formats.

use std::collections::BTreeSet;

use activation::state::Format;
use api::admin::v1::{NodeDnsState, NodeStatus};

use super::unasked::{not_asked, not_reported};
use crate::{cluster::observation::ClusterObservation, finding::Problem, wire::node_dns};

pub(super) fn settings(observation: &ClusterObservation) -> Vec<Problem> {
    let checks = [
        intervals(observation),
        publishing(observation),
        versions(observation),
        format(observation),
        registry(observation),
    ];
    let mut problems: Vec<_> = checks.into_iter().flatten().collect();
    if observation.settings.is_empty() {
        problems.push(Problem::unknown("the settings are unknown: no leader reported them", "see the check `leader`"));
    } else {
        problems.extend(LOOKED_AT.iter().filter(|name| value(observation, name).is_empty()).map(|name| {
            Problem::unknown(
                format!("the setting {name} is unknown: the node that was asked does not report it"),
                "upgrade it",
            )
        }));
    }
    let reachable = || observation.reachable();
    let number = |node: &NodeStatus| node.node;
    let versions = reachable().filter(|node| node.version.is_empty()).map(number);
    problems.extend(not_reported(versions, "version"));
    problems.extend(not_reported(reachable().filter(|node| node.newest_format == 0).map(number), "newest format"));
    if value(observation, "dns.publish") == "false" {
        let unsaid = reachable().filter(|node| node_dns(node) == NodeDnsState::Unspecified);
        problems.extend(not_reported(unsaid.map(number), "publication in DNS"));
    }
    problems.extend(not_asked(observation, "version"));
    problems
}

/// The settings that this check reads.
const LOOKED_AT: [&str; 3] = ["activation.interval_minutes", "renewal.interval_minutes", "dns.publish"];

fn value<'a>(observation: &'a ClusterObservation, name: &str) -> &'a str {
    let setting = observation.settings.iter().find(|setting| setting.name == name);
    setting.map(|setting| setting.value.as_str()).unwrap_or_default()
}

fn intervals(observation: &ClusterObservation) -> Option<Problem> {
    let minutes = |name: &str| value(observation, name).parse::<u32>().ok();
    let (activation, renewal) = (minutes("activation.interval_minutes")?, minutes("renewal.interval_minutes")?);
    (activation > renewal).then(|| {
        Problem::warning(
            format!(
                "the retry interval of machines that are not activated ({activation} minutes) is longer than the \
                 renewal interval ({renewal} minutes)"
            ),
            "quorate settings set activation.interval_minutes 120",
        )
    })
}

fn publishing(observation: &ClusterObservation) -> Option<Problem> {
    let is_withdrawn = observation.reachable().any(|node| node_dns(node) == NodeDnsState::Withdrawn);
    (value(observation, "dns.publish") == "false" && is_withdrawn)
        .then(|| Problem::warning("no node is published in DNS (dns.publish)", "quorate dns publish"))
}

fn versions(observation: &ClusterObservation) -> Option<Problem> {
    let versions: BTreeSet<_> = observation.reachable().map(|node| node.version.as_str()).collect();
    (versions.len() > 1).then(|| {
        let versions: Vec<_> = versions.into_iter().collect();
        Problem::warning(format!("nodes run versions {}", versions.join(" and ")), "upgrade the remaining nodes")
    })
}

fn format(observation: &ClusterObservation) -> Option<Problem> {
    let status = &observation.status;
    let newest = observation.reachable().map(|node| node.newest_format).min().unwrap_or(0);
    let all_answer = observation.reachable().count() == status.nodes.len();
    (all_answer && newest > status.format).then(|| {
        Problem::warning(
            format!("every node reads format {newest}, and the cluster writes {}", status.format),
            format!("when no downgrade is needed any more: quorate cluster format set {newest}"),
        )
    })
}

/// A cluster with its own authority, in a format that holds a registry, must have a registry: from its formation, or
/// from the change of the format on.
fn registry(observation: &ClusterObservation) -> Option<Problem> {
    let status = &observation.status;
    let has_own_authority = observation.reachable().any(|node| node.holds_authority.is_some());
    let may_hold = has_own_authority && Format::new(status.format).is_ok_and(Format::registers_keys);
    match status.registry_in_force.filter(|_| may_hold) {
        Some(false) => Some(Problem::warning(
            "key registration is not in force: every certificate of the cluster's authority is accepted",
            "start the nodes that do not answer: the leader registers the members when it has seen the key of each",
        )),
        None if may_hold => Some(Problem::unknown(
            "whether key registration is in force is unknown: the node that was asked does not report it",
            "upgrade it",
        )),
        Some(true) | None => None,
    }
}

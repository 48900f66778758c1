//! Host keys, and the nodes activated with them.

use std::collections::BTreeSet;

use api::admin::v1::{InstalledKey, NodeActivationState};

use super::unasked::not_asked;
use crate::{cluster::observation::ClusterObservation, finding::Problem, wire::activation_state};

pub(super) fn activation(observation: &ClusterObservation) -> Vec<Problem> {
    let Some(keys) = &observation.keys else {
        return vec![Problem::unknown(
            "whether the nodes are activated is not known: no leader says which keys are installed",
            "see the check `leader`",
        )];
    };
    if keys.keys.is_empty() {
        return vec![Problem::failure(
            "no host key is installed",
            "quorate catalog install, then quorate key install KEY",
        )];
    }
    let unready = observation.reachable().filter(|node| !node.ready && !node.draining);
    let mut problems: Vec<_> = unready
        .map(|node| {
            let text = format!("node {} answers no clients: {}", node.node, node.not_ready_because);
            if node.groups.is_empty() || !node.unusable_keys.is_empty() {
                Problem::failure(text, format!("quorate key activate --node {}", node.node))
            } else {
                Problem::failure(text, "see the other checks")
            }
        })
        .collect();
    let held: BTreeSet<_> = observation.reachable().flat_map(|node| &node.groups).collect();
    for node in observation.reachable().filter(|node| node.ready) {
        let lacks: Vec<_> =
            held.iter().filter(|group| !node.groups.contains(group)).map(|group| group.as_str()).collect();
        if !lacks.is_empty() {
            problems.push(Problem::warning(
                format!("node {} is not activated for {}, as others are", node.node, lacks.join(", ")),
                format!("quorate key activate --node {}", node.node),
            ));
        }
    }
    problems.extend(not_asked(observation, "activation"));
    problems
}

pub(super) fn keys(observation: &ClusterObservation) -> Vec<Problem> {
    let Some(keys) = &observation.keys else {
        return vec![Problem::unknown("no leader says which keys are installed", "see the check `leader`")];
    };
    if keys.keys.is_empty() {
        return vec![Problem::unknown("no host key is installed", "see the check `activation`")];
    }
    let mut problems: Vec<_> = keys.keys.iter().flat_map(key).collect();
    let pending = keys.pending_releases.len();
    if pending > 0 {
        problems.push(Problem::warning(
            format!("{pending} places were given back, and the publisher does not know"),
            "quorate key activate, which tells it",
        ));
    }
    problems
}

fn key(key: &InstalledKey) -> Vec<Problem> {
    let mut problems = Vec::new();
    let blocked =
        key.activations.iter().filter(|activation| activation_state(activation) == NodeActivationState::Blocked);
    let nodes: Vec<_> = blocked.map(|activation| activation.node.to_string()).collect();
    if !nodes.is_empty() {
        problems.push(Problem::failure(
            format!("key {} is blocked by {}", key.key_id, key.publisher),
            format!(
                "ask the publisher for another key: quorate key install KEY and quorate key activate, then quorate key \
                 release --key {} --node NODE for nodes {}",
                key.key_id,
                nodes.join(", ")
            ),
        ));
    }
    match &key.standing {
        None => problems.push(Problem::unknown(
            format!("how many hosts key {} may activate is not known: the publisher has not answered", key.key_id),
            "quorate key activate, which asks it",
        )),
        Some(standing) if standing.hosts_used >= standing.hosts_limit => problems.push(Problem::warning(
            format!("key {} has activated {} of {} hosts", key.key_id, standing.hosts_used, standing.hosts_limit),
            "before a new node: quorate key release on one that is not needed, or ask the publisher for more",
        )),
        Some(_) => {}
    }
    problems
}

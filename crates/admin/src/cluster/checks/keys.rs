//! Host keys, and the nodes activated with them.

use std::collections::BTreeSet;

use api::admin::v1::{InstalledKey, NodeActivation, NodeActivationState};

use super::unasked::{not_asked, not_reported};
use crate::{cluster::observation::ClusterObservation, finding::Problem, time_text, wire::activation_state};

pub(super) fn activation(observation: &ClusterObservation) -> Vec<Problem> {
    let Some(keys) = &observation.keys else {
        return vec![Problem::unknown(
            "the activation of the nodes is unknown: no leader reported the installed keys",
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
                Problem::failure(text, "see the findings of the other checks")
            }
        })
        .collect();
    let held: BTreeSet<_> = observation.reachable().flat_map(|node| &node.groups).collect();
    for node in observation.reachable().filter(|node| node.ready) {
        let lacks: Vec<_> =
            held.iter().filter(|group| !node.groups.contains(group)).map(|group| group.as_str()).collect();
        if !lacks.is_empty() {
            problems.push(Problem::warning(
                format!("node {} is not activated for {}, but other nodes are", node.node, lacks.join(", ")),
                format!("quorate key activate --node {}", node.node),
            ));
        }
    }
    problems.extend(not_asked(observation, "activation"));
    problems
}

pub(super) fn keys(observation: &ClusterObservation) -> Vec<Problem> {
    let Some(keys) = &observation.keys else {
        return vec![Problem::unknown(
            "the installed keys are unknown: no leader reported them",
            "see the check `leader`",
        )];
    };
    if keys.keys.is_empty() {
        return vec![Problem::unknown("no host key is installed", "see the check `activation`")];
    }
    let mut problems: Vec<_> = keys.keys.iter().flat_map(key).collect();
    let pending = keys.pending_releases.len();
    if pending > 0 {
        problems.push(Problem::warning(
            format!("{pending} activation slots were released, and the publisher is not informed yet"),
            "quorate key activate, which informs it",
        ));
    }
    problems
}

/// Host certificates with a limited lifetime that are due for renewal or have expired.
pub(super) fn host_certificates(observation: &ClusterObservation) -> Vec<Problem> {
    let Some(keys) = &observation.keys else {
        return vec![Problem::unknown(
            "the expiry of host certificates is unknown: there is no leader",
            "see the check `leader`",
        )];
    };
    let ending = keys.keys.iter().flat_map(|key| {
        let ending = |activation: &NodeActivation| Some((activation.node, activation.certificate_ends_ms?));
        let due_ms = |activation: &NodeActivation| activation.renewal_due_ms.unwrap_or(0);
        key.activations.iter().filter_map(move |of| Some((key, ending(of)?, due_ms(of))))
    });
    let now_ms = observation.status.cluster_time_ms;
    let ending: Vec<_> = ending.collect();
    if now_ms == 0 && !ending.is_empty() {
        let text = "whether a host certificate has expired is unknown: without a leader there is no cluster time";
        return vec![Problem::unknown(text, "see the check `leader`")];
    }
    let due = ending.into_iter().filter(|(_, _, due_ms)| *due_ms <= now_ms);
    let problems = due.map(|(key, (node, ends_ms), _)| {
        let remedy = "quorate key activate --renew --publisher HOST:PORT, or --renew --offline FILE: it spends no \
                      reactivation until 30 days after the expiry";
        let (id, date) = (&key.key_id, time_text::second(ends_ms));
        if ends_ms <= now_ms {
            Problem::failure(format!("the host certificate of node {node} for key {id} expired {date}"), remedy)
        } else {
            Problem::warning(format!("the host certificate of node {node} for key {id} expires {date}"), remedy)
        }
    });
    problems.collect()
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
                "get another key from the publisher: quorate key install KEY and quorate key activate, then quorate \
                 key release --key {} --node NODE for nodes {}",
                key.key_id,
                nodes.join(", ")
            ),
        ));
    }
    let unsaid =
        key.activations.iter().filter(|activation| activation_state(activation) == NodeActivationState::Unspecified);
    problems.extend(not_reported(unsaid.map(|activation| activation.node), "activation"));
    match &key.standing {
        None => problems.push(Problem::unknown(
            format!("the activation slots of key {} are unknown: no answer of the publisher is installed", key.key_id),
            "quorate key activate, which requests one",
        )),
        Some(standing) if standing.hosts_used >= standing.hosts_limit => problems.push(Problem::warning(
            format!("key {} has activated {} of {} hosts", key.key_id, standing.hosts_used, standing.hosts_limit),
            "before you add a node: quorate key release for a host that is not needed, or ask the publisher to extend \
             the key",
        )),
        Some(_) => {}
    }
    problems
}

//! Members, the leader, replication, clocks, reachability.

use activation::limits::{CLOCK_AGREEMENT_MS, CLOCK_SKEW_MS_MAX, LAG_ENTRIES_MAX};
use api::admin::v1::{NodeRole, NodeState, NodeStatus};

use super::unasked::{not_asked, not_reported};
use crate::{
    cluster::{link::Link, observation::ClusterObservation},
    finding::Problem,
    limits::CLOCK_WARNING_MS,
    wire::{TextEnum, node_role, node_state},
};

pub(super) fn leader(observation: &ClusterObservation) -> Vec<Problem> {
    if observation.status.nodes.is_empty() {
        return vec![Problem::failure(
            "the node is not a member of a cluster",
            "quorate host run --bootstrap on one node of a new cluster, or quorate cluster add on a running cluster",
        )];
    }
    if observation.status.leader == 0 {
        return vec![Problem::failure(
            "no leader is known: no client is activated",
            "start the nodes that do not answer: a majority of the voters must run and reach each other on port 1689",
        )];
    }
    Vec::new()
}

pub(super) fn nodes(observation: &ClusterObservation) -> Vec<Problem> {
    let nodes = &observation.status.nodes;
    if nodes.is_empty() {
        return vec![Problem::unknown("no member is known", "see the check `leader`")];
    }
    nodes.iter().filter_map(node).collect()
}

/// The problem of one node. A planned drain is not a failure.
fn node(node: &NodeStatus) -> Option<Problem> {
    let number = node.node;
    let again = "start it again (quorate host run) when its maintenance is done";
    match node_state(node) {
        NodeState::Draining => Some(Problem::warning(format!("node {number} is being drained"), again)),
        NodeState::Stopped if !node.reachable => {
            Some(Problem::warning(format!("node {number} was drained, and has stopped"), again))
        }
        NodeState::Stopped => Some(Problem::failure(
            format!("node {number} has stopped: {}", node.not_ready_because),
            "see its log, correct the cause, and start it again (quorate host run)",
        )),
        NodeState::Diverged => Some(Problem::failure(
            format!("node {number} does not serve: {}", node.not_ready_because),
            format!("copy its data folder for the developers, then quorate cluster rejoin {number}, on another node"),
        )),
        // Reported by `quarantine`.
        NodeState::Quarantined => None,
        _ if !node.reachable => Some(Problem::failure(
            format!("node {number} does not answer: {}", node.not_ready_because),
            format!("start it (quorate host run); if it never comes back: quorate cluster remove {number} --dead"),
        )),
        // `lag` reports how much of the log it has.
        NodeState::Ok | NodeState::Lagging | NodeState::Unreachable | NodeState::Unspecified => None,
    }
}

fn is_voter(node: &&NodeStatus) -> bool {
    node_role(node) != NodeRole::Learner
}

/// Links between nodes that answer: too slow where a round trip takes longer than the settings of one end allow.
pub(super) fn links(observation: &ClusterObservation) -> Vec<Problem> {
    let nodes = &observation.status.nodes;
    if nodes.is_empty() {
        return vec![Problem::unknown("no member is known", "see the check `leader`")];
    }
    let problems = Link::between(nodes).into_iter().filter_map(|link| {
        if link.is_slow() {
            return Some(Problem::warning(
                link.to_string(),
                "quorate settings set raft.profile far; if that fails, set raft.profile = \"far\" in the configuration \
                 of every node, and send each SIGHUP",
            ));
        }
        let [one, other] = link.nodes;
        link.took.is_none().then(|| {
            Problem::unknown(
                format!("the round-trip time between nodes {one} and {other} is not measured yet"),
                "run the check again in some seconds; if it is still not measured, check the network between them",
            )
        })
    });
    problems.collect()
}

pub(super) fn quarantined(observation: &ClusterObservation) -> Vec<Problem> {
    let quarantined = observation.reachable().filter(|node| !node.quarantined_because.is_empty());
    let mut problems: Vec<_> = quarantined
        .map(|node| {
            Problem::failure(
                format!("node {} is quarantined: {}", node.node, node.quarantined_because),
                format!(
                    "stop it, run quorate cluster remove {} --dead, then add it again with an empty data folder and a \
                     new number; if a majority is quarantined: quorate host recover",
                    node.node
                ),
            )
        })
        .collect();
    let unreported = observation.reachable().filter(|node| node.generation == 0);
    problems.extend(not_reported(unreported.map(|node| node.node), "start"));
    problems.extend(not_asked(observation, "quarantine state"));
    problems
}

pub(super) fn quorum(observation: &ClusterObservation) -> Vec<Problem> {
    let status = &observation.status;
    let voters: Vec<_> = status.nodes.iter().filter(is_voter).collect();
    let majority = voters.len() / 2 + 1;
    if status.leader == 0 {
        let answering = voters.iter().filter(|node| node.reachable).count();
        if voters.is_empty() || answering >= majority {
            let text = "the quorum could not be checked: there is no leader";
            return vec![Problem::unknown(text, "see the check `leader`")];
        }
        return vec![Problem::failure(
            format!("{answering} of {} voters answer, and {majority} are needed", voters.len()),
            "start the nodes that do not answer",
        )];
    }
    if status.failure_tolerance > 0 {
        return Vec::new();
    }
    let unable: Vec<_> = voters.iter().filter(|node| node_state(node) != NodeState::Ok).collect();
    if unable.is_empty() {
        return vec![Problem::warning(
            format!("a cluster of {} tolerates no failure", status.nodes.len()),
            "add nodes until there are three: quorate cluster add",
        )];
    }
    let named = unable.iter().map(|node| format!("node {} ({})", node.node, state_word(node)));
    let text = format!(
        "if one more node fails, no client is activated; not able to contribute to the quorum: {}",
        named.collect::<Vec<_>>().join(", ")
    );
    let is_planned = |node: &NodeStatus| {
        node_state(node) == NodeState::Draining || node_state(node) == NodeState::Stopped && !node.reachable
    };
    let is_known = |node: &NodeStatus| node_state(node) != NodeState::Unspecified;
    if unable.iter().all(|node| is_planned(node)) {
        return vec![Problem::warning(text, "start the drained nodes again soon (quorate host run)")];
    }
    if !unable.iter().any(|node| is_known(node) && !is_planned(node)) {
        return vec![Problem::unknown(text, "run the check again: the leader has no response from them yet")];
    }
    vec![Problem::failure(
        text,
        "start the nodes that do not answer, and wait for those that lag (see the check `lag`)",
    )]
}

fn state_word(node: &NodeStatus) -> &'static str {
    match node_state(node) {
        NodeState::Unspecified => "unknown",
        state => state.text(),
    }
}

pub(super) fn lag(observation: &ClusterObservation) -> Vec<Problem> {
    let status = &observation.status;
    let leader = status.nodes.iter().find(|node| node.node == status.leader);
    let Some(last) = leader.and_then(|leader| leader.match_index) else {
        return vec![Problem::unknown(
            "the lag of the nodes is unknown: no leader reported it",
            "see the checks `leader` and `nodes`",
        )];
    };
    status.nodes.iter().filter_map(|node| lacking(node, last)).collect()
}

/// The problem of a node whose log lags behind the leader's, which ends at `last`.
fn lacking(node: &NodeStatus, last: u64) -> Option<Problem> {
    let number = node.node;
    let Some(matched) = node.match_index else {
        let text = format!("the lag of node {number} is unknown: the leader has no response from it");
        return Some(Problem::unknown(text, "start the node, if it does not run"));
    };
    let lag = last.saturating_sub(matched);
    if node_state(node) != NodeState::Lagging && lag <= LAG_ENTRIES_MAX {
        return None;
    }
    let counts = if is_voter(&node) { "; it cannot contribute to the quorum" } else { "" };
    Some(Problem::warning(
        format!("node {number} has a lag of {lag} log entries{counts}"),
        "wait; if it does not catch up, check its disk and the network to it",
    ))
}

pub(super) fn clocks(observation: &ClusterObservation) -> Vec<Problem> {
    let mut problems: Vec<_> = observation
        .reachable()
        .filter(|node| node.clock_offset_ms.unsigned_abs() > CLOCK_WARNING_MS)
        .map(|node| {
            let text =
                format!("the clock of node {} differs by {} s from the others", node.node, node.clock_offset_ms / 1000);
            let remedy = "set the clock (timedatectl), and synchronise it with NTP";
            if node.clock_offset_ms.unsigned_abs() > CLOCK_SKEW_MS_MAX {
                Problem::failure(text, remedy)
            } else {
                Problem::warning(text, remedy)
            }
        })
        .collect();
    let status = &observation.status;
    if !status.clock_alarm.is_empty() {
        let is_ahead = status.clock_ahead_ms.is_some_and(|ahead_ms| ahead_ms > CLOCK_AGREEMENT_MS);
        let remedy = if is_ahead {
            "check the clocks of the nodes; if they are correct: quorate cluster clock reset"
        } else {
            "check the clocks of the nodes; if they are correct: quorate cluster clock accept"
        };
        problems.push(Problem::failure(status.clock_alarm.clone(), remedy));
    }
    if observation.status.leader == 0 {
        problems.push(Problem::unknown("cluster time is unknown: there is no leader", "see the check `leader`"));
    }
    problems.extend(not_asked(observation, "clock"));
    problems
}

pub(super) fn ports(observation: &ClusterObservation) -> Vec<Problem> {
    let Some(unreachable) = &observation.unreachable else {
        return vec![Problem::unknown("the client ports were not checked yet", "run the check again in a minute")];
    };
    let unreported = observation.reachable().filter(|node| node.clients_port == 0);
    let problems = unreachable
        .iter()
        .map(|port| {
            Problem::failure(
                format!("cannot connect to {} from here: {}", port.endpoint, port.cause),
                "open the port in the firewalls between; for a name from DNS, check that it resolves to the node",
            )
        })
        .chain(not_reported(unreported.map(|node| node.node), "client port"))
        .chain(not_asked(observation, "client port"));
    problems.collect()
}

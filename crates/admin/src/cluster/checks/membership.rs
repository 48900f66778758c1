//! Members, the leader, replication, clocks, reachability.

use activation::limits::{CLOCK_AGREEMENT_MS, CLOCK_SKEW_MS_MAX, LAG_ENTRIES_MAX};
use api::admin::v1::NodeRole;

use crate::{cluster::observation::ClusterObservation, finding::Problem, limits::CLOCK_WARNING_MS, wire::node_role};

pub(super) fn leader(observation: &ClusterObservation) -> Vec<Problem> {
    if observation.status.nodes.is_empty() {
        return vec![Problem::failure(
            "the node belongs to no cluster",
            "quorate host run --bootstrap on one node of it, or quorate cluster add from a cluster that runs",
        )];
    }
    if observation.status.leader == 0 {
        return vec![Problem::failure(
            "no leader is known: nobody is activated",
            "start the nodes that do not answer: a majority of the voters must run and reach each other on port 1689",
        )];
    }
    Vec::new()
}

pub(super) fn nodes(observation: &ClusterObservation) -> Vec<Problem> {
    let silent = observation.status.nodes.iter().filter(|node| !node.reachable);
    silent
        .map(|node| {
            Problem::failure(
                format!("node {} does not answer: {}", node.node, node.not_ready_because),
                format!("start it (quorate host run); gone for good: quorate cluster remove {} --dead", node.node),
            )
        })
        .collect()
}

pub(super) fn quarantined(observation: &ClusterObservation) -> Vec<Problem> {
    let quarantined = observation.reachable().filter(|node| !node.quarantined_because.is_empty());
    quarantined
        .map(|node| {
            Problem::failure(
                format!("node {} is quarantined: {}", node.node, node.quarantined_because),
                format!(
                    "stop it and quorate cluster remove {} --dead, then let it join with an empty data folder and a new \
                     number; where a majority is quarantined: quorate host recover",
                    node.node
                ),
            )
        })
        .collect()
}

pub(super) fn quorum(observation: &ClusterObservation) -> Vec<Problem> {
    let status = &observation.status;
    if status.leader == 0 || status.failure_tolerance > 0 {
        return Vec::new();
    }
    let voters = status.nodes.iter().filter(|node| node_role(node) != NodeRole::Learner);
    if voters.count() == observation.reachable().filter(|node| node_role(node) != NodeRole::Learner).count() {
        return vec![Problem::warning(
            format!("a cluster of {} bears no failure", status.nodes.len()),
            "add nodes until there are three: quorate cluster add",
        )];
    }
    vec![Problem::failure("if one more node fails, nobody is activated", "bring the nodes back that do not answer")]
}

pub(super) fn lag(observation: &ClusterObservation) -> Vec<Problem> {
    let last = observation.reachable().map(|node| node.applied_index).max().unwrap_or(0);
    let lagging = observation.reachable().map(|node| (node, last - node.applied_index));
    lagging
        .filter(|(_, lag)| *lag > LAG_ENTRIES_MAX)
        .map(|(node, lag)| {
            Problem::warning(
                format!("node {} is {lag} entries behind", node.node),
                "wait; if it does not catch up, look at its disk and the network to it",
            )
        })
        .collect()
}

pub(super) fn clocks(observation: &ClusterObservation) -> Vec<Problem> {
    let mut problems: Vec<_> = observation
        .reachable()
        .filter(|node| node.clock_offset_ms.unsigned_abs() > CLOCK_WARNING_MS)
        .map(|node| {
            let text = format!("the clock of node {} is {} s off the others'", node.node, node.clock_offset_ms / 1000);
            let remedy = "set it (timedatectl), and keep it by NTP";
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
            "look at the clocks; if they are right: quorate cluster clock reset"
        } else {
            "look at the clocks; if they are right: quorate cluster clock accept"
        };
        problems.push(Problem::failure(status.clock_alarm.clone(), remedy));
    }
    problems
}

pub(super) fn ports(observation: &ClusterObservation) -> Vec<Problem> {
    let unreachable = observation.unreachable.iter();
    unreachable
        .map(|port| {
            Problem::failure(
                format!("nothing answers at {} from here: {}", port.endpoint, port.cause),
                "open the port in the firewalls between; with DNS: see that the name leads to the node",
            )
        })
        .collect()
}

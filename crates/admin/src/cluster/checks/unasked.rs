//! Nodes that a check could not read.

use crate::{cluster::observation::ClusterObservation, finding::Problem};

/// The problem of a check for nodes that answered without reporting `what`, as earlier versions do: a default value
/// must not count as a finding.
pub(super) fn not_reported(nodes: impl Iterator<Item = u64>, what: &str) -> Option<Problem> {
    let nodes: Vec<_> = nodes.map(|node| node.to_string()).collect();
    (!nodes.is_empty()).then(|| {
        Problem::unknown(
            format!("the {what} of node {} is unknown: it does not report it", nodes.join(", ")),
            "upgrade the node; if it has the same version as the others, see its log for what it could not read",
        )
    })
}

/// The problem of a check that could read no node, or nothing at all; `what` names what it would have read.
pub(super) fn not_asked(observation: &ClusterObservation, what: &str) -> Option<Problem> {
    let nodes = &observation.status.nodes;
    if nodes.is_empty() {
        return Some(Problem::unknown(
            format!("the {what} of the nodes is unknown: no member is known"),
            "see the check `leader`",
        ));
    }
    let silent: Vec<_> = nodes.iter().filter(|node| !node.reachable).map(|node| node.node.to_string()).collect();
    if silent.is_empty() {
        return None;
    }
    let text = format!("the {what} of node {} is unknown: it does not answer", silent.join(", "));
    Some(Problem::unknown(text, "start the node; see the check `nodes`"))
}

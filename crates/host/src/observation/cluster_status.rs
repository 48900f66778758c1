//! The state of the cluster: the membership, and every member's report of its own state.

use activation::clock::{ClockAlarm, ClockAlarmKind};
use admin::wire::{TextEnum, node_state};
use api::{
    admin::v1::{ClusterStatusReply, NodeRole, NodeState, NodeStatus},
    node::v1::StatusRequest,
};
use futures::future::{join, join_all};
use replication::{ClusterView, Member, ReadPoint, Replica};
use tokio::time::timeout;

use crate::{limits::LOOK_TIMEOUT, peers::node_client::NodeClient};

/// Asks every member for its state. A member that does not answer is listed as not reachable, so this never fails.
pub(crate) async fn gather(nodes: &NodeClient) -> ClusterStatusReply {
    let replica = nodes.replica();
    let (cluster, nodes) = ask_all(nodes).await;
    let point = replica.read_point().await.ok();
    reply(replica, &cluster, nodes, point)
}

/// Asks every member for its state, as [`gather`] does, for callers that ask every second: where no leader answers
/// it takes no longer than asking the members.
pub(crate) async fn glance(nodes: &NodeClient) -> ClusterStatusReply {
    let replica = nodes.replica();
    let ((cluster, nodes), point) = join(ask_all(nodes), timeout(LOOK_TIMEOUT, replica.read_point())).await;
    reply(replica, &cluster, nodes, point.ok().and_then(Result::ok))
}

async fn ask_all(nodes: &NodeClient) -> (ClusterView, Vec<NodeStatus>) {
    let cluster = nodes.replica().cluster();
    let asked = cluster.members.iter().map(|(&node, member)| ask(nodes, &cluster, node, member));
    let mut nodes = join_all(asked).await;
    against_median(&mut nodes, &cluster.voters);
    judge(&mut nodes, cluster.leader);
    (cluster, nodes)
}

fn reply(
    replica: &Replica,
    cluster: &ClusterView,
    nodes: Vec<NodeStatus>,
    point: Option<ReadPoint>,
) -> ClusterStatusReply {
    let alarm = point.and_then(|point| point.clock_alarm).map_or(String::new(), |alarm| alarm_text(&alarm));
    // Without a leader no node's state is known to be ok.
    let is_able = |node: &&NodeStatus| node_state(node) == NodeState::Ok && cluster.voters.contains(&node.node);
    let able = nodes.iter().filter(is_able).count();
    let majority = cluster.voters.len() / 2 + 1;
    ClusterStatusReply {
        leader: cluster.leader.unwrap_or(0),
        term: cluster.term,
        failure_tolerance: u32::try_from(able.saturating_sub(majority)).unwrap_or(0),
        cluster_time_ms: point.map_or(0, |point| point.cluster_time_ms),
        clock_alarm: alarm,
        clock_ahead_ms: point.and_then(|point| point.ahead_ms),
        registry_in_force: Some(replica.view(|state| state.registry().is_in_force())),
        nodes,
        answered_by: replica.identity().owner,
        format: replica.view(|state| state.format().number()),
    }
}

fn alarm_text(alarm: &ClockAlarm) -> String {
    let minutes = alarm.target_ms.abs_diff(alarm.previous_ms) / 60_000;
    match alarm.kind() {
        ClockAlarmKind::Jump => format!(
            "the nodes' clocks jumped by {minutes} minutes without confirmation: no machine expires until `quorate \
             cluster clock accept` confirms them, or they are synchronised"
        ),
        ClockAlarmKind::Ahead => format!(
            "cluster time is {minutes} minutes ahead of the nodes' clocks: `quorate cluster clock reset` sets it back to them"
        ),
    }
}

/// Completes each node's report of itself with the leader's data.
///
/// Only a leader that a majority confirmed reports the progress of the others. Without it the lag of a node is
/// unknown, and a node that reports no fault has no state.
fn judge(nodes: &mut [NodeStatus], leader: Option<u64>) {
    let leading = nodes.iter().find(|node| Some(node.node) == leader && node.reachable);
    let leading = leading.map(|leader| (leader.node, leader.last_index, leader.progress.clone()));
    for node in nodes {
        let progress = leading.as_ref().and_then(|(_, _, progress)| progress.iter().find(|of| of.node == node.node));
        let leads = leading.as_ref().filter(|(leader, ..)| *leader == node.node);
        node.match_index = leads.map(|(_, last_index, _)| *last_index).or(progress.and_then(|of| of.match_index));
        let reported = match node_state(node) {
            // A node of the version before reports no state.
            NodeState::Unspecified if node.draining => NodeState::Draining,
            NodeState::Unspecified => NodeState::Ok,
            reported => reported,
        };
        let state = match (node.reachable, reported) {
            (false, _) if progress.is_some_and(|of| of.leaving) => NodeState::Stopped,
            (false, _) => NodeState::Unreachable,
            (true, NodeState::Ok) if leads.is_some() => NodeState::Ok,
            (true, NodeState::Ok) => match progress {
                Some(of) if of.lags => NodeState::Lagging,
                Some(of) if of.match_index.is_some() => NodeState::Ok,
                _ => NodeState::Unspecified,
            },
            (true, reported) => reported,
        };
        node.state = state.into();
        node.progress.clear();
    }
}

/// The clocks were compared with this node's clock, which may be the wrong one: convert to offsets from the voters'
/// median, which cluster time follows.
fn against_median(nodes: &mut [NodeStatus], voters: &[u64]) {
    let known = nodes.iter().filter(|node| node.reachable && voters.contains(&node.node));
    let mut offsets: Vec<_> = known.map(|node| node.clock_offset_ms).collect();
    if offsets.len() <= voters.len() / 2 {
        return;
    }
    offsets.sort_unstable();
    // The lower of the two middle values of an even number, as for cluster time.
    let median = offsets.get((offsets.len() - 1) / 2).copied().unwrap_or(0);
    for node in nodes.iter_mut().filter(|node| node.reachable) {
        node.clock_offset_ms = node.clock_offset_ms.saturating_sub(median);
    }
}

async fn ask(nodes: &NodeClient, cluster: &ClusterView, node: u64, member: &Member) -> NodeStatus {
    let replica = nodes.replica();
    let asked_ms = replica.wall_ms();
    let status = nodes.ask(node, StatusRequest {}, LOOK_TIMEOUT).await;
    // Assume that the request took as long as the reply.
    let middle_ms = asked_ms.midpoint(replica.wall_ms());
    let role = match cluster.leader {
        Some(leader) if leader == node => NodeRole::Leader,
        _ if cluster.voters.contains(&node) => NodeRole::Voter,
        _ => NodeRole::Learner,
    };
    let known = NodeStatus {
        node,
        role: role.into(),
        role_text: role.text().into(),
        peer_address: member.address.clone(),
        ..NodeStatus::default()
    };
    match status {
        Ok(status) => NodeStatus {
            node: known.node,
            role: known.role,
            role_text: known.role_text,
            peer_address: known.peer_address,
            clock_offset_ms: i64::try_from(i128::from(status.wall_ms) - i128::from(middle_ms)).unwrap_or(i64::MAX),
            ..status
        },
        Err(error) => NodeStatus { not_ready_because: error.to_string(), store: member.store.to_string(), ..known },
    }
}

#[cfg(test)]
mod tests {
    use api::admin::v1::MemberProgress;

    use super::*;

    fn node(node: u64, says: NodeState) -> NodeStatus {
        let reachable = says != NodeState::Unreachable;
        NodeStatus { node, reachable, state: says.into(), last_index: 100, ..NodeStatus::default() }
    }

    fn progress(node: u64, match_index: Option<u64>, lags: bool, leaving: bool) -> MemberProgress {
        MemberProgress { node, match_index, lags, leaving }
    }

    #[test]
    fn a_nodes_state_combines_its_own_report_and_the_leaders_view() {
        let leader = NodeStatus {
            progress: vec![
                progress(2, Some(100), false, false),
                progress(3, Some(7), true, false),
                progress(4, Some(90), false, true),
                progress(5, None, false, false),
                progress(6, Some(100), false, false),
            ],
            ..node(1, NodeState::Ok)
        };
        let silent = |number| node(number, NodeState::Unreachable);
        let mut nodes = vec![
            leader,
            node(2, NodeState::Ok),
            node(3, NodeState::Ok),
            silent(4),
            node(5, NodeState::Ok),
            node(6, NodeState::Draining),
            silent(7),
        ];
        let states = |nodes: &[NodeStatus]| nodes.iter().map(node_state).collect::<Vec<_>>();
        let mut alone = nodes.clone();
        judge(&mut nodes, Some(1));
        let texts = |nodes: &[NodeStatus]| states(nodes).into_iter().map(TextEnum::text).collect::<Vec<_>>().join(" ");
        assert_eq!(texts(&nodes), "ok ok lagging stopped  draining unreachable", "nothing of node 5");
        let matched: Vec<_> = nodes.iter().map(|node| node.match_index).collect();
        assert_eq!(matched, [Some(100), Some(100), Some(7), Some(90), None, Some(100), None]);

        judge(&mut alone, None);
        assert_eq!(texts(&alone), "   unreachable  draining unreachable", "without a leader");
        assert!(alone.iter().all(|node| node.match_index.is_none()));
    }
}

//! `quorate cluster upgrade`: restarts every node with the build that is installed on it, one after the other.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use admin::wire::{TextEnum, node_role, node_state};
use anyhow::anyhow;
use api::admin::v1::{
    Build, ClusterStatusReply, DrainRequest, ExamineRequest, MachineReport, NodeRole, NodeState, NodeStatus,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::status::{PAUSE, status};
use crate::{
    administration::{AdminArgs, block_on, refused},
    arguments::DrainWait,
    output::{CommandResult, Failure, Output, table},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate cluster upgrade --check         the running and the installed build of each node
  quorate cluster upgrade --run           node by node, the leader last

Install the package on every node first: that restarts nothing. Each node is then drained, exits with code 75, is
started again by its supervisor (the packaged systemd unit does so at once), and is ready and caught up before the
next is drained. The upgrade stops where the next step would lose the majority, and continues when the command is run
again.

Exit: 0 checked, or every node runs its installed build; 1 it could not begin, or it stopped.";

/// How long a node may take to stop, to be started again and to catch up.
const RESTART_TIMEOUT: Duration = Duration::from_secs(600);
/// Timeout of one status request while nodes restart.
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);

/// Arguments of `cluster upgrade`.
#[derive(Debug, clap::Args)]
#[group(id = "what", required = true, multiple = false, args = ["check", "run"])]
pub(crate) struct Upgrade {
    /// Compare the running builds with the installed ones, and change nothing.
    #[arg(long)]
    check: bool,
    /// Restart every node whose installed build differs from the running one.
    #[arg(long)]
    run: bool,
    #[command(flatten)]
    wait: DrainWait,
    /// Upgrade although clients get no answers meanwhile: with one or two voters, or where DNS keeps a record.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// The status of all nodes, with their builds.
struct Look {
    status: ClusterStatusReply,
    machines: BTreeMap<u64, MachineReport>,
}

/// One node's part in an upgrade.
struct Step<'a> {
    node: &'a NodeStatus,
    machine: Option<&'a MachineReport>,
}

impl Upgrade {
    pub(super) fn run(self, output: &Output) -> CommandResult {
        let look = look(&self.admin)?;
        if self.check {
            let obstacle = look.obstacle();
            output.result(&look.json(obstacle.as_deref()), look.text(obstacle.as_deref()));
            return Ok(ExitCode::SUCCESS);
        }
        let upgraded = self.all(look, output)?;
        let numbers = upgraded.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let text = match upgraded.as_slice() {
            [] => "Every node runs its installed build.".to_owned(),
            _ => format!("Restarted, in this order: {numbers}. Every node runs its installed build."),
        };
        output.result(&json!({ "upgraded": upgraded }), text);
        Ok(ExitCode::SUCCESS)
    }

    /// Restarts one node after the other. The status is read again before each, because the leader may have changed.
    fn all(&self, mut look: Look, output: &Output) -> Result<Vec<u64>, Failure> {
        let mut upgraded = Vec::new();
        loop {
            if let Some(why) = look.obstacle() {
                return Err(stopped(&upgraded, &why));
            }
            let Some(node) = look.next() else { return Ok(upgraded) };
            look = self.restart(node, output).map_err(|why| why.with_details(json!({ "upgraded": upgraded })))?;
            upgraded.push(node);
        }
    }

    /// Restarts a node, and returns the status once the node runs its installed build and has caught up.
    fn restart(&self, node: u64, output: &Output) -> Result<Look, Failure> {
        let request =
            DrainRequest { node, restart: true, force: self.force, wait_s: self.wait.wait, ..DrainRequest::default() };
        let reply = self.admin.ask(async |admin| admin.drain(request).await)?;
        let progress = output.spinner(&format!(
            "node {node} has withdrawn its DNS records; it restarts in {} s, when cached records have expired",
            reply.wait_s
        ));
        let deadline = Instant::now() + Duration::from_secs(reply.wait_s.into()) + RESTART_TIMEOUT;
        let seen = block_on(async {
            while Instant::now() < deadline {
                sleep(PAUSE).await;
                // This connection may be to the node that restarts.
                let seen = timeout(LOOK_TIMEOUT, looked(&self.admin)).await;
                if let Ok(Ok(seen)) = seen
                    && seen.is_done(node)
                {
                    return Some(seen);
                }
            }
            None
        })?;
        progress.finish_and_clear();
        seen.ok_or_else(|| {
            anyhow!(
                "node {node} did not start with its installed build: see its log. No other node was stopped. If it has \
                 no supervisor, start it (`quorate host run`) and run this command again"
            )
            .into()
        })
    }
}

fn stopped(upgraded: &[u64], why: &str) -> Failure {
    let numbers = upgraded.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let done = if upgraded.is_empty() { String::new() } else { format!(" (restarted before: {numbers})") };
    Failure::from(anyhow!("{why}{done}")).with_details(json!({ "upgraded": upgraded }))
}

fn look(admin: &AdminArgs) -> Result<Look, Failure> {
    block_on(looked(admin))?
}

async fn looked(admin: &AdminArgs) -> Result<Look, Failure> {
    let mut admin = admin.connect().await?;
    let status = status(&mut admin).await?;
    let machines = admin.examine(ExamineRequest {}).await.map_err(refused)?.into_inner().nodes;
    Ok(Look { status, machines: machines.into_iter().map(|machine| (machine.node, machine)).collect() })
}

impl Look {
    fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        self.status.nodes.iter().map(|node| Step { node, machine: self.machines.get(&node.node) })
    }

    /// Why no node should be restarted now; `None` where a restart is safe.
    fn obstacle(&self) -> Option<String> {
        if self.status.leader == 0 {
            return Some("no leader is known: see `quorate cluster status`".into());
        }
        self.steps().find_map(|step| step.obstacle(self.status.format))
    }

    /// The nodes to restart, in this order: learners, followers, the leader.
    fn order(&self) -> Vec<u64> {
        let mut order: Vec<_> = self.steps().filter(Step::is_due).map(|step| step.node).collect();
        let place = |node: &NodeStatus| match node_role(node) {
            _ if node.node == self.status.leader => 2,
            NodeRole::Learner => 0,
            _ => 1,
        };
        order.sort_by_key(|node| (place(node), node.node));
        order.into_iter().map(|node| node.node).collect()
    }

    fn next(&self) -> Option<u64> {
        self.order().first().copied()
    }

    /// Whether the node runs its installed build, and the cluster is whole.
    fn is_done(&self, node: u64) -> bool {
        let is_new = self.steps().any(|step| step.node.node == node && step.is_known() && !step.is_due());
        is_new && self.obstacle().is_none()
    }

    fn json(&self, obstacle: Option<&str>) -> Value {
        let nodes = self.steps().map(|step| {
            json!({
                "id": step.node.node,
                "role": node_role(step.node).text(),
                "state": step.state(),
                "running": step.running().map(build_json),
                "installed": step.installed().map(build_json),
                "installed_unknown": step.unknown(),
                "restart": step.is_due(),
            })
        });
        json!({
            "leader": (self.status.leader != 0).then_some(self.status.leader),
            "format": self.status.format,
            "possible": obstacle.is_none(),
            "not_possible_because": obstacle,
            "order": self.order(),
            "nodes": nodes.collect::<Vec<_>>(),
        })
    }

    fn text(&self, obstacle: Option<&str>) -> String {
        let mut rows = table(["node", "role", "state", "runs", "installed", ""]);
        for step in self.steps() {
            let build = |build: Option<&Build>| build.map_or_else(|| "unknown".to_owned(), build_text);
            rows.add_row([
                step.node.node.to_string(),
                node_role(step.node).text().to_owned(),
                step.state().to_owned(),
                build(step.running()),
                build(step.installed()),
                if step.is_due() { "needs a restart".to_owned() } else { String::new() },
            ]);
        }
        let next = match (obstacle, self.order().as_slice()) {
            (Some(why), _) => format!("No node can be restarted now: {why}"),
            (None, []) => "Every node runs its installed build.".to_owned(),
            (None, _) => "Restart the nodes with\n  quorate cluster upgrade --run".to_owned(),
        };
        format!("{rows}\n{next}")
    }
}

impl Step<'_> {
    fn running(&self) -> Option<&Build> {
        self.machine?.running.as_ref()
    }

    fn installed(&self) -> Option<&Build> {
        self.machine?.installed.as_ref()
    }

    fn is_known(&self) -> bool {
        self.running().is_some() && self.installed().is_some()
    }

    /// Why the installed build is not known; `None` where it is known.
    fn unknown(&self) -> Option<&str> {
        let machine = self.machine?;
        let why = if machine.passed_over.is_empty() { &machine.installed_unknown } else { &machine.passed_over };
        (!why.is_empty()).then_some(why)
    }

    fn is_due(&self) -> bool {
        self.is_known() && self.running() != self.installed()
    }

    fn state(&self) -> &'static str {
        match node_state(self.node) {
            NodeState::Unspecified => "unknown",
            state => state.text(),
        }
    }

    fn obstacle(&self, format: u32) -> Option<String> {
        let node = self.node.node;
        if !self.node.reachable || node_state(self.node) != NodeState::Ok {
            return Some(format!("node {node} is {}: see `quorate cluster status`", self.state()));
        }
        match self.installed() {
            Some(installed) if !installed.formats.contains(&format) => Some(format!(
                "the cluster writes format {format}, which the build on node {node} ({}) does not read",
                build_text(installed)
            )),
            Some(_) if self.running().is_some() => None,
            Some(_) | None => Some(match self.unknown() {
                Some(why) => format!("node {node}: {why}"),
                None => format!(
                    "node {node} runs a version without `cluster upgrade`: drain it (`quorate host drain`) and start \
                     it again"
                ),
            }),
        }
    }
}

fn build_json(build: &Build) -> Value {
    json!({ "version": build.version, "commit": build.commit, "built": build.built, "formats": build.formats })
}

fn build_text(build: &Build) -> String {
    format!("{} ({})", build.version, build.commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(version: &str) -> Build {
        Build { version: version.into(), commit: "c".into(), built: "b".into(), formats: vec![1, 2, 3] }
    }

    fn look(installed: [&str; 4]) -> Look {
        let roles = [NodeRole::Leader, NodeRole::Voter, NodeRole::Voter, NodeRole::Learner];
        let nodes = (1..).zip(roles).map(|(node, role)| NodeStatus {
            node,
            reachable: true,
            state: NodeState::Ok.into(),
            role: role.into(),
            ..NodeStatus::default()
        });
        let status =
            ClusterStatusReply { leader: 1, format: 3, nodes: nodes.collect(), ..ClusterStatusReply::default() };
        let machines = (1..).zip(installed).map(|(node, version)| {
            let (running, installed) = (Some(build("1")), Some(build(version)));
            (node, MachineReport { node, running, installed, ..MachineReport::default() })
        });
        Look { status, machines: machines.collect() }
    }

    #[test]
    fn the_leader_is_started_again_last_and_what_learns_first() {
        assert_eq!(look(["2", "2", "2", "2"]).order(), [4, 2, 3, 1]);
        assert_eq!(look(["2", "1", "2", "1"]).order(), [3, 1]);
        assert_eq!(look(["1", "1", "1", "1"]).next(), None);
    }

    #[test]
    fn nothing_is_started_again_where_a_node_is_missing_or_could_not_read_what_the_cluster_writes() {
        let whole = look(["2", "2", "2", "2"]);
        assert_eq!(whole.obstacle(), None);
        type Change = fn(&mut Look);
        let changes: [(Change, &str); 6] = [
            (|look| look.status.leader = 0, "no leader is known"),
            (|look| look.status.nodes[2].reachable = false, "node 3 is"),
            (|look| look.status.nodes[1].set_state(NodeState::Lagging), "node 2 is lagging"),
            (|look| look.status.format = 4, "format 4"),
            (|look| drop(look.machines.remove(&2)), "without `cluster upgrade`"),
            (
                |look| {
                    let machine = look.machines.get_mut(&2).unwrap();
                    (machine.installed, machine.installed_unknown) = (None, "no such file".into());
                },
                "node 2: no such file",
            ),
        ];
        for (change, expected) in changes {
            let mut changed = look(["2", "2", "2", "2"]);
            change(&mut changed);
            let obstacle = changed.obstacle().unwrap();
            assert!(obstacle.contains(expected), "{obstacle}");
        }
    }
}

//! `quorate cluster add`, `remove`, `promote` and `rejoin`: changes of the membership.

use std::{str::FromStr, time::Duration};

use admin::wire::node_role;
use anyhow::{Context as _, anyhow};
use api::admin::v1::{
    AddNodeRequest, DrainRequest, MembersReply, NodeRole, NodeState, PromoteNodeRequest, RejoinNodeRequest,
    RemoveNodeRequest,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::status::{PAUSE, status};
use crate::{
    administration::{Admin, AdminArgs, refused},
    arguments::DrainWait,
    output::{Failure, Output},
};

pub(super) const ADD_EXAMPLES: &str = "\
Examples:
  quorate cluster add 4=10.0.0.4:1689     when `quorate host run` runs there and is not a member of a cluster; a node
                                          that joined with a token adds itself
  quorate cluster add 2=10.0.9.2:1689     the address of member 2, which keeps its data, changes to this one

The new node is a learner at first; the command returns when it has caught up. One, three or five nodes vote: with an
even number the last one is a learner, which replaces a voter that fails.";

pub(super) const REMOVE_EXAMPLES: &str = "\
Examples:
  quorate cluster remove 2                drains it, releases its activation slots, removes it, stops it
  quorate cluster remove 2 --dead         it never comes back; the publisher frees its activation slots

Exit: 0 it is no longer a member; 1 refused.";

pub(super) const PROMOTE_EXAMPLES: &str = "\
Examples:
  quorate cluster promote 4                    replaces a voter that failed
  quorate cluster promote 4 --instead-of 2     node 2 becomes a learner";

pub(super) const REJOIN_EXAMPLES: &str = "\
Example:
  quorate cluster rejoin 2                its state is `diverged` in `quorate cluster status --json`

A majority of the voters confirms the state, which is then sent to the node. The node keeps its number, its log, its
keys and its activations; the command returns when it serves again. Run it on a node other than the diverged one.

Exit: 0 it serves again; 1 refused.";

/// Secrets that every node's disk holds.
const ALWAYS_HELD: [&str; 2] =
    ["host keys with their activations until the publisher frees them", "a TSIG key or keytab for DNS"];

/// Secret that a voter's disk holds in addition.
const AUTHORITY_KEY: &str = "the key of the cluster's authority";

/// How long a node may take to leave, after resolvers have forgotten it.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(120);

/// `NODE=HOST:PORT`: a node's number, and the address of its peer service.
#[derive(Clone, Debug)]
struct PeerAddress {
    node: u64,
    address: String,
}

impl FromStr for PeerAddress {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parsed = text.split_once('=').and_then(|(node, address)| {
            Some(Self { node: node.trim().parse().ok()?, address: address.trim().to_owned() })
        });
        parsed.context("give NODE=HOST:PORT, as in 4=10.0.0.4:1689")
    }
}

/// Arguments of `cluster add`.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The new node's number, and the address of its peer service.
    #[arg(value_name = "NODE=HOST:PORT")]
    peer: PeerAddress,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Arguments of `cluster remove`.
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// Number of the node.
    #[arg(value_name = "NODE")]
    node: u64,
    /// The node does not answer and never comes back: remove it without contacting it.
    #[arg(long, conflicts_with = "wait")]
    dead: bool,
    #[command(flatten)]
    wait: DrainWait,
    /// Remove the node although DNS still holds its record.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Arguments of `cluster promote`.
#[derive(Debug, clap::Args)]
pub(crate) struct Promote {
    /// Number of the learner.
    #[arg(value_name = "NODE")]
    node: u64,
    /// Number of the voter that becomes a learner instead.
    #[arg(long, value_name = "NODE")]
    instead_of: Option<u64>,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Arguments of `cluster rejoin`.
#[derive(Debug, clap::Args)]
pub(crate) struct Rejoin {
    /// Number of the node whose state differs.
    #[arg(value_name = "NODE")]
    node: u64,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Rejoin {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let node = self.node;
        let progress = output.spinner(&format!("waiting until node {node} has the majority's state"));
        let reply = self.admin.ask(async |admin| admin.rejoin_node(RejoinNodeRequest { node }).await);
        progress.finish_and_clear();
        members(output, &format!("Node {node} has the majority's state and serves again."), &reply?);
        Ok(())
    }
}

impl Add {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let PeerAddress { node, address } = self.peer;
        let progress = output.spinner(&format!("waiting until node {node} has caught up"));
        let reply =
            self.admin.ask(async |admin| admin.add_node(AddNodeRequest { node, address: address.clone() }).await);
        progress.finish_and_clear();
        let reply = reply?;
        if !reply.already_member {
            members(output, &format!("Node {node} is a member."), &reply);
            return Ok(());
        }
        let text = members_text(&format!("Node {node} is a member already."), &reply);
        let json = json!({ "voters": reply.voters, "learners": reply.learners, "already_member": true });
        output.result(&json, &text);
        Ok(())
    }
}

impl Promote {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let request = PromoteNodeRequest { node: self.node, instead_of: self.instead_of.unwrap_or(0) };
        let reply = self.admin.ask(async |admin| admin.promote_node(request).await)?;
        members(output, &format!("Node {} is a voter.", self.node), &reply);
        Ok(())
    }
}

impl Remove {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let (reply, may_hold) = self.admin.run(async |mut admin| {
            if self.dead {
                let may_hold = self.may_hold(&mut admin).await?;
                let request = RemoveNodeRequest { node: self.node };
                return Ok((admin.remove_node(request).await.map_err(refused)?.into_inner(), may_hold));
            }
            // A node that leaves destroys the secrets that it held.
            Ok((self.retire(&mut admin, output).await?, Vec::new()))
        })?;
        let what = format!("Node {} is no longer a member.", self.node);
        let Some(last) = may_hold.last() else {
            members(output, &what, &reply);
            return Ok(());
        };
        let text = members_text(&what, &reply);
        let json = json!({ "voters": reply.voters, "learners": reply.learners, "may_hold": may_hold });
        let replaced = if *last == AUTHORITY_KEY {
            "\nIf they may have been disclosed, replace the authority:\n  quorate cluster authority rotate --now"
        } else {
            ""
        };
        output.result(&json, format_args!("{text}\nIts disk may still hold {}.{replaced}", may_hold.join(", ")));
        Ok(())
    }

    /// Secrets that the disk of a dead node may still hold.
    async fn may_hold(&self, admin: &mut Admin) -> Result<Vec<&'static str>, Failure> {
        let nodes = status(admin).await?.nodes;
        let voted = nodes.iter().any(|member| member.node == self.node && node_role(member) != NodeRole::Learner);
        let is_own_authority = nodes.iter().any(|member| member.holds_authority.is_some());
        let authority = (voted && is_own_authority).then_some(AUTHORITY_KEY);
        Ok(ALWAYS_HELD.into_iter().chain(authority).collect())
    }

    /// Drains the node and removes it, and waits until the other nodes report its removal.
    async fn retire(&self, admin: &mut Admin, output: &Output) -> Result<MembersReply, Failure> {
        let node = self.node;
        let before = status(admin).await?;
        if before.answered_by == node {
            return Err(anyhow!(
                "cannot remove node {node} over its own connection: run this command against another node (--admin)"
            )
            .into());
        }
        let found = before.nodes.iter().find(|member| member.node == node);
        let found = found.ok_or_else(|| {
            anyhow!("node {node} is not a member of this cluster: `quorate cluster status` lists the members")
        })?;
        if !found.reachable {
            return Err(anyhow!(
                "cannot drain node {node}: it does not answer ({}); start it so that it can release its activation \
                 slots, or, if it never comes back, remove it with `quorate cluster remove {node} --dead`",
                found.not_ready_because
            )
            .into());
        }
        if found.state() == NodeState::Diverged {
            return Err(anyhow!(
                "cannot drain node {node}: it does not serve ({}); make it serve again with `quorate cluster rejoin \
                 {node}`, or remove it with `quorate cluster remove {node} --dead`",
                found.not_ready_because
            )
            .into());
        }
        if found.state() == NodeState::Quarantined {
            return Err(anyhow!(
                "cannot drain node {node}: it does not serve ({}); remove it with `quorate cluster remove {node} \
                 --dead`; the publisher frees its activation slots",
                found.not_ready_because
            )
            .into());
        }
        let request = DrainRequest { force: self.force, wait_s: self.wait.wait, node, leave: true, restart: false };
        let drained = admin.drain(request).await.map_err(refused)?.into_inner();
        let progress = output.spinner(&format!(
            "node {node} has withdrawn its DNS records; it leaves the cluster in {} s, when cached records have \
             expired",
            drained.wait_s
        ));
        let deadline = Instant::now() + Duration::from_secs(drained.wait_s.into()) + LEAVE_TIMEOUT;
        let left = loop {
            let now = status(admin).await?;
            if !now.nodes.is_empty() && now.nodes.iter().all(|member| member.node != node) {
                break Ok(now);
            }
            if Instant::now() >= deadline {
                break Err(anyhow!(
                    "node {node} has withdrawn its DNS records but did not leave the cluster: see its log"
                ));
            }
            sleep(PAUSE).await;
        };
        progress.finish_and_clear();
        let (learners, voters): (Vec<_>, Vec<_>) =
            left?.nodes.into_iter().partition(|member| node_role(member) == NodeRole::Learner);
        let numbers = |nodes: Vec<api::admin::v1::NodeStatus>| nodes.into_iter().map(|member| member.node).collect();
        Ok(MembersReply { voters: numbers(voters), learners: numbers(learners), ..MembersReply::default() })
    }
}

fn members(output: &Output, what: &str, reply: &MembersReply) {
    let json = json!({ "voters": reply.voters, "learners": reply.learners });
    output.result(&json, format_args!("{}", members_text(what, reply)));
}

fn members_text(what: &str, reply: &MembersReply) -> String {
    let list = |nodes: &[u64]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let learners =
        if reply.learners.is_empty() { String::new() } else { format!("; learners: {}", list(&reply.learners)) };
    format!("{what} Voters: {}{learners}.", list(&reply.voters))
}

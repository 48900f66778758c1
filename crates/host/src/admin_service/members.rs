//! Changes of the membership and of the leader.

use activation::{
    coded::{Code, Coded},
    id,
    state::{Command, KeyDigest, Revocation, Whom},
};
use api::{
    admin::v1::{self as proto, NodeState},
    node::v1::StatusRequest,
};
use replication::Unavailable;
use tonic::Status;
use transport::is_host_and_port;

use super::{
    acting::Acting,
    status::{invalid, propose_error, unavailable},
};
use crate::{
    lifecycle::registration::Registrar,
    limits::{LOOK_TIMEOUT, SETTLE_TIMEOUT, WORK_TIMEOUT},
};

/// Changes of the membership and of the leader, made for one caller.
pub(super) struct Members<'a> {
    pub(super) acting: &'a Acting<'a>,
    pub(super) registrar: &'a Registrar,
}

impl Members<'_> {
    pub(super) async fn add(&self, asked: proto::AddNodeRequest) -> Result<proto::MembersReply, Status> {
        let node = id::node_id(asked.node).map_err(invalid)?;
        if !is_host_and_port(&asked.address) {
            return Err(invalid(format!(
                "{:?} is not a peer address; write HOST:PORT, an IPv6 address in brackets",
                asked.address
            )));
        }
        let members = self.acting.replica.cluster().members;
        let already_member = members.get(&node).is_some_and(|known| known.address == asked.address);
        let add = async {
            // Register the node's present key before it calls any member.
            self.registrar.register_node(self.acting, node, &asked.address).await?;
            let added = self.acting.replica.add(node, &asked.address).await.map_err(propose_error);
            if added.is_err() && !self.acting.replica.cluster().members.contains_key(&node) {
                // If the addition failed, revoke the registration. The result of the addition is what counts; the
                // leader also revokes leftover registrations.
                let _left_over = self.shut_out(node).await;
            }
            added
        };
        let index =
            self.acting.noted(Coded::new(Code::AddNode, [node.to_string(), asked.address.clone()]), add).await?;
        Ok(proto::MembersReply { already_member, ..self.seen_at(index).await? })
    }

    /// Makes a node a member that joined with a token and presented this key. If this fails, the node keeps its right
    /// and calls again; the leader revokes the registration after a while.
    pub(super) async fn add_joining(&self, node: u64, key: KeyDigest, address: &str) -> Result<(), Status> {
        // Before anything is recorded, because a node that cannot be reached calls repeatedly.
        self.registrar.verify_key(node, address, &key).await?;
        let add = async {
            self.registrar.register_node(self.acting, node, address).await?;
            let index = self.acting.replica.add(node, address).await.map_err(propose_error)?;
            self.acting.replica.wait_applied(index).await.map_err(unavailable)
        };
        self.acting.noted(Coded::new(Code::AddNode, [node.to_string(), address.to_owned()]), add).await
    }

    pub(super) async fn remove(&self, asked: proto::RemoveNodeRequest) -> Result<proto::MembersReply, Status> {
        let cluster = self.acting.replica.cluster();
        if !cluster.members.contains_key(&asked.node) {
            return Err(Status::not_found(format!(
                "node {} is not a member of this cluster: `quorate cluster status` lists them",
                asked.node
            )));
        }
        let looked = self.acting.nodes.ask(asked.node, StatusRequest {}, LOOK_TIMEOUT).await;
        // A node that the others have quarantined, or that diverged, cannot release its activations.
        if looked.is_ok_and(|found| !matches!(found.state(), NodeState::Quarantined | NodeState::Diverged)) {
            return Err(Status::failed_precondition(format!(
                "node {} is running: `quorate cluster remove {0}` drains it and releases its activations. To remove it \
                 without that, stop it first",
                asked.node
            )));
        }
        let remove = async { self.acting.replica.remove(asked.node).await.map_err(propose_error) };
        let index = self.acting.noted(Coded::new(Code::RemoveNode, [asked.node]), remove).await?;
        self.acting.replica.wait_applied(index).await.map_err(unavailable)?;
        self.shut_out(asked.node).await?;
        // Keep the node's announcement until its record is gone from DNS: the node that watches the records forgets
        // it then.
        if self.acting.replica.view(|state| !state.announcements().contains_key(&asked.node)) {
            self.acting.propose(Command::Forget { node: asked.node }).await?;
        }
        self.seen_at(index).await
    }

    /// Revokes a removed node's key, so that it is not admitted again with the content of its data folder.
    async fn shut_out(&self, node: u64) -> Result<(), Status> {
        let is_registered = self.acting.replica.view(|state| state.registry().of_node(node).is_some());
        if is_registered {
            let time_ms = self.acting.replica.read_point().await.map_err(unavailable)?.cluster_time_ms;
            self.acting.propose(Command::Revoke(Revocation { whom: Whom::Node(node), time_ms })).await?;
        }
        Ok(())
    }

    pub(super) async fn promote(&self, asked: proto::PromoteNodeRequest) -> Result<proto::MembersReply, Status> {
        let instead_of = (asked.instead_of > 0).then_some(asked.instead_of);
        let act = match instead_of {
            Some(other) => Coded::new(Code::PromoteNodeInstead, [asked.node, other]),
            None => Coded::new(Code::PromoteNode, [asked.node]),
        };
        let promote = async { self.acting.replica.promote(asked.node, instead_of).await.map_err(propose_error) };
        let index = self.acting.noted(act, promote).await?;
        self.seen_at(index).await
    }

    /// Makes a diverged node replace its state with the majority's.
    pub(super) async fn rejoin(&self, asked: proto::RejoinNodeRequest) -> Result<proto::MembersReply, Status> {
        let node = asked.node;
        if !self.acting.replica.cluster().members.contains_key(&node) {
            return Err(Status::not_found(format!(
                "node {node} is not a member of this cluster: `quorate cluster status` lists them"
            )));
        }
        if node == self.acting.replica.identity().owner {
            return Err(Status::failed_precondition(format!(
                "this is node {node}, whose state would be replaced: run the command on another node (--admin)"
            )));
        }
        let found = self.acting.nodes.ask(node, StatusRequest {}, LOOK_TIMEOUT).await;
        let found = found.map_err(|why| {
            Status::failed_precondition(format!("node {node} does not answer: {why}. Start it (`quorate host run`)"))
        })?;
        match found.state() {
            NodeState::Diverged => {}
            NodeState::Quarantined => {
                return Err(Status::failed_precondition(format!(
                    "node {node} is quarantined: its log cannot be trusted either. Remove it (`quorate cluster remove \
                     {node} --dead`), and let it join with an empty data folder and a new number"
                )));
            }
            _ => {
                return Err(Status::failed_precondition(format!(
                    "the state of node {node} does not differ from the majority's: there is nothing to take over"
                )));
            }
        }
        let rejoin = async { self.acting.replica.rejoin(node).await.map_err(propose_error) };
        let index = self.acting.noted(Coded::new(Code::RejoinNode, [node]), rejoin).await?;
        self.seen_at(index).await
    }

    /// Asks another member to drain itself.
    pub(super) async fn drain(&self, node: u64, asked: proto::DrainRequest) -> Result<proto::DrainReply, Status> {
        let drained = self.acting.nodes.ask(node, proto::DrainRequest { node: 0, ..asked }, SETTLE_TIMEOUT).await;
        drained.map_err(|why| Status::failed_precondition(format!("node {node}: {why}")))
    }

    /// Asks the leader to hand leadership over to another voter.
    pub(super) async fn transfer_leader(
        &self,
        asked: proto::TransferLeaderRequest,
    ) -> Result<proto::TransferLeaderReply, Status> {
        let to = asked.to;
        let cluster = self.acting.replica.cluster();
        if !cluster.voters.contains(&to) {
            return Err(invalid(format!("node {to} is not a voter of this cluster; voters are {:?}", cluster.voters)));
        }
        let leader = cluster.leader.ok_or_else(|| unavailable(Unavailable::NoLeader))?;
        if leader == to {
            return Ok(proto::TransferLeaderReply { leader });
        }
        let transfer = async {
            let transferred = self.acting.nodes.ask(leader, asked, WORK_TIMEOUT).await;
            transferred.map_err(|why| Status::unavailable(format!("node {leader} did not hand leadership over: {why}")))
        };
        self.acting.noted(Coded::new(Code::TransferLeader, [to]), transfer).await
    }

    async fn seen_at(&self, index: u64) -> Result<proto::MembersReply, Status> {
        self.acting.replica.wait_applied(index).await.map_err(unavailable)?;
        let cluster = self.acting.replica.cluster();
        let learners = cluster.members.keys().copied().filter(|node| !cluster.voters.contains(node)).collect();
        Ok(proto::MembersReply { voters: cluster.voters, learners, already_member: false })
    }
}

//! Who belongs to the cluster, and who leads it.

use activation::{id, state::Command};
use api::admin::v1::{self as proto, node_answer::Answer, node_question::Question};
use replication::{Replica, Unavailable};
use tonic::Status;

use super::{invalid, propose, propose_error, unavailable};
use crate::{
    limits::{SETTLE_TIMEOUT, WORK_TIMEOUT},
    question,
};

/// The members, through a node's replica.
pub(super) struct Members<'a>(pub(super) &'a Replica);

impl Members<'_> {
    pub(super) async fn add(&self, asked: proto::AddNodeRequest) -> Result<proto::MembersReply, Status> {
        let node = id::node_id(asked.node).map_err(invalid)?;
        let is_address = |address: &str| {
            let parts = address.rsplit_once(':');
            parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
        };
        if !is_address(&asked.address) {
            return Err(invalid(format!("{:?} is no HOST:PORT of a node's peer address", asked.address)));
        }
        let index = self.0.add(node, &asked.address).await.map_err(propose_error)?;
        self.seen_at(index).await
    }

    pub(super) async fn remove(&self, asked: proto::RemoveNodeRequest) -> Result<proto::MembersReply, Status> {
        let cluster = self.0.cluster();
        if !cluster.members.contains_key(&asked.node) {
            return Err(Status::not_found(format!(
                "node {} is no member of this cluster: `quorate cluster status` lists them",
                asked.node
            )));
        }
        let index = self.0.remove(asked.node).await.map_err(propose_error)?;
        self.0.wait_applied(index).await.map_err(unavailable)?;
        // What it announced is kept until its record is gone from DNS: whoever looks after the records forgets it then.
        if self.0.view(|state| !state.announcements().contains_key(&asked.node)) {
            propose(self.0, Command::Forget { node: asked.node }).await?;
        }
        self.seen_at(index).await
    }

    pub(super) async fn promote(&self, asked: proto::PromoteNodeRequest) -> Result<proto::MembersReply, Status> {
        let instead_of = (asked.instead_of > 0).then_some(asked.instead_of);
        let index = self.0.promote(asked.node, instead_of).await.map_err(propose_error)?;
        self.seen_at(index).await
    }

    /// Asks another member to go out of service.
    pub(super) async fn drain(&self, node: u64, asked: proto::DrainRequest) -> Result<proto::DrainReply, Status> {
        let question = Question::Drain(proto::DrainRequest { node: 0, ..asked });
        match question::ask(self.0, node, question, SETTLE_TIMEOUT).await {
            Ok(Answer::Drained(reply)) => Ok(reply),
            Ok(_) => Err(Status::internal(format!("node {node} answered something else"))),
            Err(why) => Err(Status::failed_precondition(format!("node {node}: {why}"))),
        }
    }

    /// Has the leader hand over.
    pub(super) async fn transfer_leader(
        &self,
        asked: proto::TransferLeaderRequest,
    ) -> Result<proto::TransferLeaderReply, Status> {
        let to = asked.to;
        let cluster = self.0.cluster();
        if !cluster.voters.contains(&to) {
            return Err(invalid(format!("node {to} is no voter of this cluster; voters are {:?}", cluster.voters)));
        }
        let leader = cluster.leader.ok_or_else(|| unavailable(Unavailable::NoLeader))?;
        if leader == to {
            return Ok(proto::TransferLeaderReply { leader });
        }
        match question::ask(self.0, leader, Question::TransferLeader(asked), WORK_TIMEOUT).await {
            Ok(Answer::Transferred(reply)) => Ok(reply),
            Ok(_) => Err(Status::internal(format!("node {leader} answered something else"))),
            Err(why) => Err(Status::unavailable(format!("node {leader} did not hand over: {why}"))),
        }
    }

    async fn seen_at(&self, index: u64) -> Result<proto::MembersReply, Status> {
        self.0.wait_applied(index).await.map_err(unavailable)?;
        let cluster = self.0.cluster();
        let learners = cluster.members.keys().copied().filter(|node| !cluster.voters.contains(node)).collect();
        Ok(proto::MembersReply { voters: cluster.voters, learners })
    }
}

//! The client of the node service: calls from this node's daemon to the daemon of any member, including itself.

use std::time::Duration;

use api::node::v1::{LegacyAnswer, LegacyQuestion, node_client::NodeClient as Client};
use prost::{DecodeError, Message};
use replication::Replica;
use tokio::time::timeout;
use tonic::{Code, Status, body::Body, transport::Channel};
use tower::{ServiceExt, util::BoxCloneSyncService};

use super::request::{NodeChannel, NodeRequest};
use crate::limits::NODE_MESSAGE_BYTES_MAX;

/// Why a node gave no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    /// The node did not reply within the timeout.
    #[error("node {node} did not answer")]
    Timeout {
        /// The number of the node.
        node: u64,
    },
    /// The node refused the call, could not be reached, or is not a member.
    #[error("{}", .0.message())]
    Status(Status),
    /// The node runs a version that does not have the call.
    #[error("node {node} runs a version that does not support this request: upgrade it")]
    Unknown {
        /// The number of the node.
        node: u64,
    },
    /// The node runs the version before, and its reply cannot be decoded.
    #[error("the reply cannot be decoded: {0}")]
    Decode(#[from] DecodeError),
    /// The node runs the version before, and its reply is not one to this request.
    #[error("the reply does not belong to the request")]
    OtherReply,
}

/// Calls the daemons of members. Cheap to clone.
#[derive(Clone)]
pub(crate) struct NodeClient {
    replica: Replica,
    own: Channel,
}

impl NodeClient {
    /// Creates the client. `own` is the channel to this node's own service, without the network.
    pub(crate) fn new(replica: Replica, own: Channel) -> Self {
        Self { replica, own }
    }

    /// The replica, which has the list of members.
    pub(crate) fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Sends `request` to the member `node`. To a node of the version before it is sent in the `Ask` call.
    pub(crate) async fn ask<Q: NodeRequest>(
        &self,
        node: u64,
        request: Q,
        deadline: Duration,
    ) -> Result<Q::Reply, NodeError> {
        let channel = self.channel(node).map_err(NodeError::Status)?;
        let client = Client::new(channel).max_decoding_message_size(NODE_MESSAGE_BYTES_MAX);
        let asked = timeout(deadline, request.clone().call(client)).await;
        match asked.map_err(|_| NodeError::Timeout { node })? {
            Ok(reply) => Ok(reply.into_inner()),
            Err(status) if status.code() == Code::Unimplemented => {
                self.ask_version_before(node, request, deadline).await
            }
            Err(status) => Err(NodeError::Status(status)),
        }
    }

    fn channel(&self, node: u64) -> Result<NodeChannel, Status> {
        Ok(if node == self.replica.identity().owner {
            BoxCloneSyncService::new(self.own.clone())
        } else {
            BoxCloneSyncService::new(self.replica.channel(node)?.map_response(|response| response.map(Body::new)))
        })
    }

    async fn ask_version_before<Q: NodeRequest>(
        &self,
        node: u64,
        request: Q,
        deadline: Duration,
    ) -> Result<Q::Reply, NodeError> {
        let question = request.legacy().ok_or(NodeError::Unknown { node })?;
        let question = LegacyQuestion { question: Some(question) }.encode_to_vec().into();
        let answer = self.replica.legacy_ask(node, question, deadline).await.map_err(NodeError::Status)?;
        LegacyAnswer::decode(answer)?.answer.and_then(Q::from_legacy).ok_or(NodeError::OtherReply)
    }
}

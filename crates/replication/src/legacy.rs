//! Questions between nodes as the version before this one asks them: bytes inside the peer service's `Ask` call, whose
//! content is known to the daemon only.
//!
//! Served so that nodes of both versions work together during a rolling upgrade. Remove this module and the
//! `Ask` call one version after the node service was introduced.

use std::time::Duration;

use api::peer::v1 as proto;
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::time::timeout;
use tonic::Status;

use crate::replica::Replica;

/// Answers the questions of nodes that run the version before; use the node service for everything else.
pub trait LegacyQuestions: Send + Sync + 'static {
    /// The encoded answer to an encoded question. A refusal is `FAILED_PRECONDITION`, with the reason as its message: that
    /// is what nodes of the version before expect.
    fn answer(&self, question: Bytes) -> BoxFuture<'_, Result<Bytes, Status>>;
}

impl Replica {
    /// Asks another member with the `Ask` call: for a node whose node service answers `UNIMPLEMENTED`.
    ///
    /// Errors: `NOT_FOUND` if `node` is no member, `DEADLINE_EXCEEDED` after `deadline`, else what the other node says.
    pub async fn legacy_ask(&self, node: u64, question: Bytes, deadline: Duration) -> Result<Bytes, Status> {
        let mut peer = self.0.peer(node)?;
        match timeout(deadline, peer.ask(proto::AskRequest { question })).await {
            Ok(answered) => Ok(answered?.into_inner().answer),
            Err(_) => Err(Status::deadline_exceeded(format!("node {node} did not answer"))),
        }
    }
}

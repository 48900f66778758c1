//! What another service on the peer port needs from the replica: a check of its callers, and channels to the other
//! members.

use std::time::Duration;

use api::peer::v1 as proto;
use bytes::Bytes;
use futures::future::join_all;
use tokio::time::timeout;
use tonic::{Status, metadata::MetadataMap};

use crate::{
    peers::channels::{NoChannel, PeerChannel},
    replica::Replica,
};

impl Replica {
    /// Checks the caller of another service on the peer port by the rules of the peer service, and returns its node
    /// number.
    ///
    /// The caller must expect this node's store, and must not use the number of a member that has another store.
    /// `metadata` is that of the call, as a [`PeerChannel`] writes it.
    pub fn admit(&self, metadata: &MetadataMap) -> Result<u64, Status> {
        self.0.admit(metadata)
    }

    /// A channel to the member `node` that introduces this node with each call. The replica itself uses the same
    /// channel. It connects when it is first used, and reconnects after a failure.
    pub fn channel(&self, node: u64) -> Result<PeerChannel, NoChannel> {
        self.0.channel(node)
    }

    /// Whether the members other than `node` have registered this key (SHA-256 of the public key) for it: at least
    /// one answers within `deadline`, and none that answers contradicts. For a node whose own state lags.
    pub async fn vouched_for(&self, node: u64, key: [u8; 32], deadline: Duration) -> bool {
        let own = self.identity().owner;
        let others = self.cluster().members.into_keys().filter(|member| *member != node && *member != own);
        let asked = others.map(|member| async move {
            let mut peer = self.0.peer(member).ok()?;
            let key = Bytes::copy_from_slice(&key);
            let reply = timeout(deadline, peer.vouch(proto::VouchRequest { key })).await.ok()?.ok()?;
            Some(reply.into_inner().node == node)
        });
        let answers: Vec<bool> = join_all(asked).await.into_iter().flatten().collect();
        !answers.is_empty() && answers.into_iter().all(|knows| knows)
    }

    /// Calls another member with the `Ask` call, for a node whose node service answers `UNIMPLEMENTED`.
    ///
    /// Errors: `NOT_FOUND` if `node` is no member, `DEADLINE_EXCEEDED` after `deadline`, else the other node's
    /// status.
    pub async fn legacy_ask(&self, node: u64, question: Bytes, deadline: Duration) -> Result<Bytes, Status> {
        let mut peer = self.0.peer(node)?;
        match timeout(deadline, peer.ask(proto::AskRequest { question })).await {
            Ok(answered) => Ok(answered?.into_inner().answer),
            Err(_) => Err(Status::deadline_exceeded(format!("node {node} did not answer"))),
        }
    }
}

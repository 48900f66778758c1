//! Asks which node runs at an address, before the two nodes are members of one cluster.

use activation::state::Format;
use api::peer::v1 as proto;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    limits::PEER_CALL_TIMEOUT,
    peers::channels::Peers,
    raft::wire::{self, Malformed},
};

/// A node that answered.
pub(crate) struct Identified {
    pub(crate) node: u64,
    pub(crate) store: Uuid,
    /// The newest format that the node's version reads.
    pub(crate) format: Format,
    /// Whether the node belongs to a cluster.
    pub(crate) initialised: bool,
    /// The process that answered; `None` if its version does not report it.
    pub(crate) boot: Option<u64>,
}

/// Why a node was not identified.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotIdentified {
    #[error("{0}")]
    Address(#[from] tonic::transport::Error),
    /// The status of the failed call.
    #[error("{0}")]
    Call(String),
    #[error("no answer")]
    Timeout,
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// One call that identifies the node at `address`.
pub(crate) async fn identify(peers: &Peers, address: &str) -> Result<Identified, NotIdentified> {
    let mut peer = peers.stranger(address)?;
    let reply = match timeout(PEER_CALL_TIMEOUT, peer.identify(proto::IdentifyRequest {})).await {
        Ok(Ok(reply)) => reply.into_inner(),
        Ok(Err(status)) => return Err(NotIdentified::Call(status.message().to_owned())),
        Err(_) => return Err(NotIdentified::Timeout),
    };
    let store = wire::store_in(&reply.store)?;
    // A later version may read formats that this version does not know.
    let format = Format::new(reply.newest_format.min(Format::NEWEST.number())).unwrap_or_default();
    Ok(Identified { node: reply.node, store, format, initialised: reply.initialised, boot: reply.boot })
}

/// Why no node with the expected number was found at an address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotFound {
    #[error("{address}: {source}")]
    Address { address: String, source: tonic::transport::Error },
    #[error(
        "no node answers at {address}{reason}: start node {node} (`quorate host run`), and check that its peer address \
         can be reached from here"
    )]
    NoAnswer { node: u64, address: String, reason: String },
    #[error("at {address} there is node {found}, not node {node}")]
    OtherNode { node: u64, address: String, found: u64 },
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Identifies the node at `address`, which must have the number `node`.
pub(crate) async fn find(peers: &Peers, node: u64, address: &str) -> Result<Identified, NotFound> {
    let no_answer = |reason| NotFound::NoAnswer { node, address: address.to_owned(), reason };
    let found = identify(peers, address).await.map_err(|error| match error {
        NotIdentified::Address(source) => NotFound::Address { address: address.to_owned(), source },
        NotIdentified::Call(status) => no_answer(format!(" ({status})")),
        NotIdentified::Timeout => no_answer(String::new()),
        NotIdentified::Malformed(malformed) => NotFound::Malformed(malformed),
    })?;
    if found.node != node {
        return Err(NotFound::OtherNode { node, address: address.to_owned(), found: found.node });
    }
    Ok(found)
}

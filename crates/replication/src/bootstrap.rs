//! Forming a cluster: once, by one node, of nodes that belong to none.

use std::{collections::BTreeMap, time::Duration};

use activation::state::Format;
use api::peer::v1 as proto;
use openraft::errors::{InitializeError, RaftError};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    format,
    limits::{PEER_CALL_TIMEOUT, RETRY_PAUSE},
    member::Inner,
    types::Member,
    wire,
};

/// Numbers of voters that make sense.
const VOTERS: [usize; 3] = [1, 3, 5];

/// Why no cluster was formed.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// A node belongs to a cluster already, this one or another.
    #[error(
        "node {node} already belongs to a cluster: a cluster is formed once; start this node without bootstrapping"
    )]
    AlreadyInitialised {
        /// The node.
        node: u64,
    },
    /// Somebody else is at the address.
    #[error("at {address} there is node {found}, not node {expected}: the peer lists of the two nodes disagree")]
    OtherNode {
        /// The address.
        address: String,
        /// The number in the list.
        expected: u64,
        /// The number that answered.
        found: u64,
    },
    /// A node did not answer.
    #[error("node {node} at {address} did not answer ({why}): start it, then bootstrap again")]
    Silent {
        /// The node.
        node: u64,
        /// Where it should be.
        address: String,
        /// The last error.
        why: String,
    },
    /// This node is not in the list.
    #[error("this is node {node}, which the list of peers does not hold")]
    NotListed {
        /// This node.
        node: u64,
    },
    /// An even number of voters tolerates no more losses than one less, and needs more of them to agree.
    #[error("a cluster is formed of 1, 3 or 5 nodes, not of {nodes}: leave one out of the list")]
    NotOdd {
        /// How many are listed.
        nodes: usize,
    },
    /// openraft said no.
    #[error("forming the cluster failed: {0}")]
    Other(String),
}

/// Forms the cluster, and gives the newest format that all its nodes read.
pub(crate) async fn bootstrap(
    inner: &Inner,
    addresses: &BTreeMap<u64, String>,
    patience: Duration,
) -> Result<Format, BootstrapError> {
    let node = inner.identity.owner;
    if !addresses.contains_key(&node) {
        return Err(BootstrapError::NotListed { node });
    }
    if !VOTERS.contains(&addresses.len()) {
        return Err(BootstrapError::NotOdd { nodes: addresses.len() });
    }
    let initialised = inner.raft.is_initialized().await.map_err(|error| BootstrapError::Other(error.to_string()))?;
    if initialised {
        return Err(BootstrapError::AlreadyInitialised { node });
    }
    let deadline = Instant::now() + patience;
    let mut members = BTreeMap::new();
    let mut format = Format::newest();
    for (&number, address) in addresses {
        let mut store = inner.identity.store;
        if number != node {
            let found = identify(inner, number, address, deadline).await?;
            store = wire::store_in(&found.store).map_err(|error| BootstrapError::Other(error.to_string()))?;
            format = format.min(format::read_by(&found));
        }
        members.insert(number, Member { address: address.clone(), store });
    }
    match inner.raft.initialize(members).await {
        Ok(()) => Ok(format),
        Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Err(BootstrapError::AlreadyInitialised { node }),
        Err(error) => Err(BootstrapError::Other(error.to_string())),
    }
}

/// Who is at `address`: it must be `expected` and belong to no cluster.
async fn identify(
    inner: &Inner,
    expected: u64,
    address: &str,
    deadline: Instant,
) -> Result<proto::IdentifyReply, BootstrapError> {
    let mut why = String::from("not asked yet");
    let answered = timeout_at(deadline, async {
        loop {
            match identify_once(inner, address).await {
                Ok(reply) => return reply,
                Err(error) => why = error,
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    });
    let Ok(reply) = answered.await else {
        return Err(BootstrapError::Silent { node: expected, address: address.into(), why });
    };
    if reply.node != expected {
        return Err(BootstrapError::OtherNode { address: address.into(), expected, found: reply.node });
    }
    if reply.initialised {
        return Err(BootstrapError::AlreadyInitialised { node: expected });
    }
    Ok(reply)
}

async fn identify_once(inner: &Inner, address: &str) -> Result<proto::IdentifyReply, String> {
    let mut peer = inner.peers.stranger(address).map_err(|error| error.to_string())?;
    match timeout(PEER_CALL_TIMEOUT, peer.identify(proto::IdentifyRequest {})).await {
        Ok(Ok(reply)) => Ok(reply.into_inner()),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err("no answer".into()),
    }
}

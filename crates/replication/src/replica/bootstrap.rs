//! Forms a cluster: done once, by one node, from nodes that belong to no cluster.

use std::{collections::BTreeMap, error::Error, time::Duration};

use activation::state::Format;
use futures::future::try_join_all;
use openraft::errors::{InitializeError, RaftError};
use tokio::time::{Instant, timeout_at};

use crate::{
    limits::{RETRY_PAUSE, SILENT_MEMBER_INTERVAL},
    peers::identify::{self, Identified, NotIdentified},
    raft::types::Member,
    replica::running::RunningReplica,
};

/// Allowed numbers of voters.
const VOTERS: [usize; 3] = [1, 3, 5];

/// Why no cluster was formed.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// A node belongs to a cluster already, to this one or another.
    #[error("node {node} already belongs to a cluster: a cluster is formed once; start this node without --bootstrap")]
    AlreadyInitialised {
        /// Number of the node.
        node: u64,
    },
    /// A node with another number answers at the address.
    #[error("at {address} there is node {found}, not node {expected}: the peer lists of the two nodes disagree")]
    OtherNode {
        /// The address, HOST:PORT.
        address: String,
        /// The number in the list.
        expected: u64,
        /// The number of the node that answered.
        found: u64,
    },
    /// A node did not answer.
    #[error("node {node} at {address} did not answer ({why}): start it, then bootstrap again")]
    Silent {
        /// Number of the node.
        node: u64,
        /// The address at which it was called, HOST:PORT.
        address: String,
        /// The last error.
        why: String,
    },
    /// This node is not in the list.
    #[error("this is node {node}, which is not in the list of peers")]
    NotListed {
        /// Number of this node.
        node: u64,
    },
    /// An even number of voters tolerates no more failures than one voter fewer, and needs a larger majority.
    #[error("a cluster is formed of 1, 3 or 5 nodes, not of {nodes}: leave one out of the list")]
    NotOdd {
        /// Number of nodes listed.
        nodes: usize,
    },
    /// A peer answered with a malformed message, or openraft failed.
    #[error("forming the cluster failed: {0}")]
    Failed(Box<dyn Error + Send + Sync>),
}

impl BootstrapError {
    fn failed(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// Forms the cluster, and returns the newest format that all its nodes read.
pub(crate) async fn bootstrap(
    replica: &RunningReplica,
    addresses: &BTreeMap<u64, String>,
    timeout: Duration,
) -> Result<Format, BootstrapError> {
    let node = replica.identity.owner;
    if !addresses.contains_key(&node) {
        return Err(BootstrapError::NotListed { node });
    }
    if !VOTERS.contains(&addresses.len()) {
        return Err(BootstrapError::NotOdd { nodes: addresses.len() });
    }
    let initialised = replica.raft().is_initialized().await.map_err(BootstrapError::failed)?;
    if initialised {
        return Err(BootstrapError::AlreadyInitialised { node });
    }
    let deadline = Instant::now() + timeout;
    let mut members = BTreeMap::new();
    let mut format = replica.newest_format;
    let others = addresses.iter().filter(|(number, _)| **number != node);
    // Concurrently: each node that does not answer is named in the log.
    let found = try_join_all(others.map(|(&number, address)| async move {
        let found = identify(replica, number, address, deadline).await?;
        Ok::<_, BootstrapError>((number, address.clone(), found))
    }));
    for (number, address, found) in found.await? {
        format = format.min(found.format);
        members.insert(number, Member { address, store: found.store });
    }
    if let Some(address) = addresses.get(&node) {
        members.insert(node, Member { address: address.clone(), store: replica.identity.store });
    }
    match replica.raft().initialize(members).await {
        Ok(()) => Ok(format),
        Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Err(BootstrapError::AlreadyInitialised { node }),
        Err(error) => Err(BootstrapError::failed(error)),
    }
}

/// Identifies the node at `address`: it must have the number `expected` and belong to no cluster.
async fn identify(
    replica: &RunningReplica,
    expected: u64,
    address: &str,
    deadline: Instant,
) -> Result<Identified, BootstrapError> {
    let mut last_error = None;
    let mut told = Instant::now();
    let answered = timeout_at(deadline, async {
        loop {
            match identify::identify(&replica.peers, address).await {
                Err(NotIdentified::Malformed(malformed)) => return Err(malformed),
                Err(error) => {
                    if told.elapsed() >= SILENT_MEMBER_INTERVAL {
                        tracing::warn!(node = expected, address, %error, "forming the cluster waits for a node: start it");
                        told = Instant::now();
                    }
                    last_error = Some(error);
                }
                Ok(found) => return Ok(found),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    });
    let Ok(found) = answered.await else {
        let why = last_error.map_or_else(|| "not contacted yet".to_owned(), |error| error.to_string());
        return Err(BootstrapError::Silent { node: expected, address: address.into(), why });
    };
    let found = found.map_err(BootstrapError::failed)?;
    if found.node != expected {
        return Err(BootstrapError::OtherNode { address: address.into(), expected, found: found.node });
    }
    if found.initialised {
        return Err(BootstrapError::AlreadyInitialised { node: expected });
    }
    Ok(found)
}

//! Distribution of the key of the cluster's authority to voters: a node that holds it sends it to every voter that
//! does not.
//!
//! A node that joins does not get the key, and the log, snapshots and backups do not contain it.

use std::collections::BTreeMap;

use api::node::v1::{HoldAuthorityRequest, StatusRequest};
use tokio::time::{Instant, sleep};

use crate::{
    credentials::identity::Source,
    limits::{AUTHORITY_LOOK_AGAIN_AFTER, AUTHORITY_LOOK_INTERVAL, LOOK_TIMEOUT},
    peers::node_client::{NodeClient, NodeError},
};

/// Checks the voters periodically, as long as the node runs.
pub(crate) async fn hand_over(source: Source, nodes: NodeClient) {
    let (mut holders, mut of) = (BTreeMap::<u64, Instant>::new(), None);
    loop {
        sleep(AUTHORITY_LOOK_INTERVAL).await;
        let authority = source.authority_pem().ok().flatten();
        if of != authority {
            // The authority was replaced: the list of nodes that hold its key is no longer valid.
            holders.clear();
            of = authority;
        }
        if source.holds_authority() != Some(true) {
            continue;
        }
        let cluster = nodes.replica().cluster();
        // Looked at again after a while: one that held the key of the authority before has destroyed it since.
        holders.retain(|node, seen| cluster.voters.contains(node) && seen.elapsed() < AUTHORITY_LOOK_AGAIN_AFTER);
        for &node in cluster.voters.iter().filter(|node| **node != cluster.node) {
            if holders.contains_key(&node) {
                continue;
            }
            match hold(&source, &nodes, node).await {
                Ok(true) => drop(holders.insert(node, Instant::now())),
                Ok(false) => {}
                Err(why) => tracing::debug!(node, why, "a voter was not given the authority's key yet"),
            }
        }
    }
}

/// Sends the key to the node if it does not hold it. Returns whether the node holds it now. A node of the version
/// before, which does not report it, has held the key since it was made.
async fn hold(source: &Source, nodes: &NodeClient, node: u64) -> Result<bool, String> {
    let text = |why: NodeError| why.to_string();
    let status = nodes.ask(node, StatusRequest {}, LOOK_TIMEOUT).await.map_err(text)?;
    if status.holds_authority != Some(false) {
        return Ok(true);
    }
    let authority = source.authority().map_err(|error| error.to_string())?;
    let Some(authority) = authority else { return Ok(false) };
    let key = authority.key_pem().to_string();
    nodes.ask(node, HoldAuthorityRequest { key }, LOOK_TIMEOUT).await.map_err(text)?;
    tracing::info!(node, "a voter was given the authority's key");
    Ok(true)
}

//! The last act of a node as a member: it releases its activations, and leaves the cluster.
//!
//! Its data is kept for later inspection, with a mark: a node that left does not start again with this data.

use std::path::{Path, PathBuf};

use activation::state::Command;
use api::admin::v1::ReleaseActivationRequest;
use replication::ProposeError;
use transport::TransportError;

use crate::{
    admin_service::{Acting, Keys},
    credentials::identity,
    peers::node_client::NodeClient,
};

/// The file that marks the data folder of a node that left.
const MARK: &str = "left";

/// The data folder belongs to a node that left its cluster.
#[derive(Debug, thiserror::Error)]
#[error(
    "this node has left its cluster ({} says so): to join again, empty the folder and initialise the node under a number \
     that no member has",
    .0.display()
)]
pub struct HasLeft(PathBuf);

/// Why a node did not leave the cluster completely.
#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    /// The cluster refused to remove the node; it is still a member.
    #[error("it stays a member: {0}")]
    Refused(#[from] ProposeError),
    /// The node has left, but the mark could not be written.
    #[error("it has left, and cannot write {}: {source}; do not start it again", path.display())]
    Mark {
        /// The path of the mark.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The node has left, but its keys could not be destroyed.
    #[error("it has left, and its keys are not destroyed: {0}; delete the folder `tls` of its data yourself")]
    Keys(#[from] TransportError),
}

/// Refuses the data folder of a node that left.
pub(crate) fn check(data: &Path) -> Result<(), HasLeft> {
    let mark = data.join(MARK);
    if mark.exists() { Err(HasLeft(mark)) } else { Ok(()) }
}

/// Releases the node's activation slots, and removes the node from the membership.
pub(crate) async fn leave(nodes: &NodeClient, data: &Path) -> Result<(), LeaveError> {
    let replica = nodes.replica();
    let node = replica.identity().owner;
    let released = Keys(&Acting::node(nodes)).release(ReleaseActivationRequest { node, key_id: String::new() }).await;
    match released {
        Ok(reply) => tracing::info!(places = reply.released.len(), "released the node's activations"),
        // The node held no slot, or its key is lost: then the publisher has to release the slot.
        Err(why) => tracing::warn!(why = why.message(), "could not release the node's activations"),
    }
    replica.propose(&Command::Forget { node }).await?;
    replica.remove(node).await?;
    let path = data.join(MARK);
    let text = "This node left its cluster. What is in this folder belongs to no cluster any more.\n";
    storage::durable::replace_file(&path, text.as_bytes()).map_err(|source| LeaveError::Mark { path, source })?;
    identity::destroy_keys(data)?;
    Ok(())
}

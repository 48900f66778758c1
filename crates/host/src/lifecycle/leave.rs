//! A node's last act as a member: it gives its activations back, and leaves the cluster.
//!
//! Its data stays for those who want to look into it, with a mark: a node that left does not start again on it.

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

/// Stands in the data folder of a node that left.
const MARK: &str = "left";

/// The data folder of a node that left its cluster.
#[derive(Debug, thiserror::Error)]
#[error(
    "this node has left its cluster ({} says so): to join again, empty the folder and initialise the node under a number \
     that no member has",
    .0.display()
)]
pub struct HasLeft(PathBuf);

/// Why a node is a member still.
#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    /// The others do not let it go.
    #[error("it stays a member: {0}")]
    Refused(#[from] ProposeError),
    /// The mark could not be written.
    #[error("it has left, and cannot write {}: {source}; do not start it again", path.display())]
    Mark {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its keys are still there.
    #[error("it has left, and its keys are not destroyed: {0}; delete the folder `tls` of its data yourself")]
    Keys(#[from] TransportError),
}

/// Refuses the folder of a node that left.
pub(crate) fn check(data: &Path) -> Result<(), HasLeft> {
    let mark = data.join(MARK);
    if mark.exists() { Err(HasLeft(mark)) } else { Ok(()) }
}

/// Gives the node's places back, and takes it out of the membership.
pub(crate) async fn leave(nodes: &NodeClient, data: &Path) -> Result<(), LeaveError> {
    let replica = nodes.replica();
    let node = replica.identity().owner;
    let released = Keys(&Acting::node(nodes)).release(ReleaseActivationRequest { node, key_id: String::new() }).await;
    match released {
        Ok(reply) => tracing::info!(places = reply.released.len(), "the node gave its activations back"),
        // It held none, or its key is gone: then the publisher frees the place.
        Err(why) => tracing::warn!(why = why.message(), "the node gave no activation back"),
    }
    replica.propose(&Command::Forget { node }).await?;
    replica.remove(node).await?;
    let path = data.join(MARK);
    let text = "This node left its cluster. What is in this folder belongs to no cluster any more.\n";
    storage::durable::replace_file(&path, text.as_bytes()).map_err(|source| LeaveError::Mark { path, source })?;
    identity::destroy_keys(data)?;
    Ok(())
}

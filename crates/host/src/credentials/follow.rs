//! Follows the replicated certificates, so that the request path only looks them up.

use std::sync::Arc;

use replication::Replica;

use super::{Credentials, Held};

/// Brings the node's keys in line with the state whenever its configuration changes; ends with the replica.
pub(crate) async fn follow_certificates(replica: Replica, credentials: Arc<Credentials>) {
    let mut progress = replica.progress();
    let mut seen = 0;
    loop {
        match progress.wait_for(|progress| progress.configuration_index > seen).await {
            Ok(progress) => seen = progress.configuration_index,
            Err(_) => return,
        }
        let (replica, credentials) = (replica.clone(), Arc::clone(&credentials));
        // It writes to the disk.
        if tokio::task::spawn_blocking(move || take_note(&replica, &credentials)).await.is_err() {
            tracing::error!("the task that follows the node's certificates ended with a panic");
        }
    }
}

/// Brings the node's keys in line with the state as it is applied here.
///
/// A failure concerns the key folder, not what can be signed; the next change of the state tries again.
pub(crate) fn take_note(replica: &Replica, credentials: &Credentials) {
    let node = credentials.node();
    let held = replica.view_at(|index, state| Held::of(state, node, index));
    if let Err(error) = credentials.take_note(held) {
        tracing::error!(%error, "the folder of private keys could not be brought in line with the state");
    }
}

//! Follows the replicated certificates, so that the request path only has to look them up.

use std::sync::Arc;

use replication::{Progress, Replica};
use tokio::sync::watch;

use super::{Credentials, Held};
use crate::tasks::{self, HostTask};

/// Changes of the replicated configuration, as this node applies them.
pub(crate) struct ConfigurationChanges {
    progress: watch::Receiver<Progress>,
    /// The index of the last change that was returned.
    seen_index: u64,
}

impl ConfigurationChanges {
    /// The first call of [`Self::next`] returns for the configuration that the replica has already.
    pub(crate) fn of(replica: &Replica) -> Self {
        Self { progress: replica.progress(), seen_index: 0 }
    }

    /// Waits for the next change; `None` once the replica has ended.
    pub(crate) async fn next(&mut self) -> Option<()> {
        let seen = self.seen_index;
        let progress = self.progress.wait_for(|progress| progress.configuration_index > seen).await.ok()?;
        self.seen_index = progress.configuration_index;
        Some(())
    }
}

/// Updates the node's keys to the state whenever its configuration changes.
pub(crate) async fn follow_certificates(replica: Replica, credentials: Arc<Credentials>) {
    let mut changes = ConfigurationChanges::of(&replica);
    while changes.next().await.is_some() {
        let (replica, credentials) = (replica.clone(), Arc::clone(&credentials));
        // Blocking, because it writes to the disk.
        if tasks::blocking(HostTask::KeyFolder, move || take_note(&replica, &credentials)).await.is_err() {
            return;
        }
    }
}

/// Updates the node's keys to the state as it is applied on this node.
///
/// A failure affects the key folder and not the ability to sign; the next change of the state tries again.
pub(crate) fn take_note(replica: &Replica, credentials: &Credentials) {
    let node = credentials.node();
    let held = replica.view_at(|index, state| Held::of(state, node, index));
    if let Err(error) = credentials.take_note(held) {
        tracing::error!(%error, "could not synchronise the folder of private keys with the replicated state");
    }
}

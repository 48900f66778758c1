//! State that the tasks of the service share: the publisher, and the signal to stop.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

use crate::publisher::Publisher;

/// The open publisher, and the signal of a task that the records can no longer be written.
#[derive(Clone)]
pub(super) struct SharedPublisher {
    pub(super) publisher: Arc<Publisher>,
    pub(super) broken: Arc<Notify>,
}

impl SharedPublisher {
    /// Must be called after every operation: a service whose disk failed a write cannot answer any more.
    pub(super) fn notice(&self) {
        if self.publisher.records.have_failed() {
            self.broken.notify_one();
        }
    }
}

/// Returns when the service is stopped.
pub(super) async fn stopped(mut stopping: watch::Receiver<bool>) {
    // The wait also ends when the sender was dropped, because then the service is gone.
    let _stopped_or_gone = stopping.wait_for(|stopping| *stopping).await;
}

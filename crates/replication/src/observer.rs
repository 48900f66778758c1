//! How long commits and disk syncs take, reported to the metrics.

use std::time::Duration;

/// Receives measurements where they are made: implementations must not block.
pub trait Observer: Send + Sync + 'static {
    /// On the leader: a batch of `requests` requests is applied, `took` after it was proposed.
    fn committed(&self, requests: usize, took: Duration) {
        let _ = (requests, took);
    }

    /// One disk sync made everything written before it durable.
    fn synced(&self, took: Duration) {
        let _ = took;
    }
}

/// Observes nothing.
impl Observer for () {}

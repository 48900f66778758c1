//! What a replica reports to whatever measures or checks it.

use std::time::Duration;

use activation::state::State;

/// Called where the work is done: implementations must not block.
pub trait Observer: Send + Sync + 'static {
    /// On the leader: a batch of `requests` requests is applied, `took` after it was proposed.
    fn committed(&self, requests: usize, took: Duration) {
        let _ = (requests, took);
    }

    /// One disk sync made everything written before it durable.
    fn synced(&self, took: Duration) {
        let _ = took;
    }

    /// An entry is applied, and this is the state after it. Called while the state is locked.
    fn applied(&self, state: &State) {
        let _ = state;
    }
}

/// Observes nothing.
impl Observer for () {}

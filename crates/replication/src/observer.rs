//! What a replica does, for what measures or checks it.

use std::time::Duration;

use activation::state::State;

/// Is told how long things take. Called where they happen: it must not wait.
pub trait Observer: Send + Sync + 'static {
    /// On the leader: a batch of so many requests is applied, so long after it was proposed.
    fn committed(&self, requests: usize, took: Duration) {
        let _ = (requests, took);
    }

    /// What was written is on the disk, with one barrier.
    fn synced(&self, took: Duration) {
        let _ = took;
    }

    /// An entry is applied, and this is the state after it. Called while the state is locked.
    fn applied(&self, state: &State) {
        let _ = state;
    }
}

/// Nobody looks.
impl Observer for () {}

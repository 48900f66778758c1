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
    fn applied(&self, entry: &AppliedEntry<'_>, state: &State) {
        let _ = (entry, state);
    }
}

/// An entry of the log that was just applied.
#[derive(Clone, Copy, Debug)]
pub struct AppliedEntry<'a> {
    /// The term in which it was proposed.
    pub term: u64,
    /// The node that proposed it.
    pub leader: u64,
    /// Its index in the log.
    pub index: u64,
    /// The encoded command; `None` for a blank entry or a change of the membership.
    pub command: Option<&'a [u8]>,
}

/// Observes nothing.
impl Observer for () {}

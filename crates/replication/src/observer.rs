//! What a replica reports to metrics and checks.

use std::time::Duration;

use activation::state::State;

/// Receives reports from a replica. The replica calls it inline, so implementations must not block.
pub trait Observer: Send + Sync + 'static {
    /// On the leader: a batch of `requests` requests is applied, `took` after it was proposed.
    fn committed(&self, requests: usize, took: Duration) {
        let _ = (requests, took);
    }

    /// One fsync made everything written before it durable; it took `took`.
    fn synced(&self, took: Duration) {
        let _ = took;
    }

    /// An entry is applied; `state` is the state after it. The replica holds the state's lock during the call.
    fn applied(&self, entry: &AppliedEntry<'_>, state: &State) {
        let _ = (entry, state);
    }
}

/// A log entry that was just applied.
#[derive(Clone, Copy, Debug)]
pub struct AppliedEntry<'a> {
    /// The term in which the entry was proposed.
    pub term: u64,
    /// Number of the node that proposed the entry.
    pub leader: u64,
    /// Index of the entry in the log.
    pub index: u64,
    /// The encoded command; `None` for a blank entry or a change of the membership.
    pub command: Option<&'a [u8]>,
}

/// An observer that does nothing.
impl Observer for () {}

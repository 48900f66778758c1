//! Leases on the log and the state machine, held by an openraft instance. Its tasks continue for a short time after its
//! shutdown: the next instance on the same store starts only when the last of these tasks and the last write in
//! progress have released their leases.

use std::convert::Infallible;

use tokio::sync::mpsc;

/// Held by each handle of openraft to the log or the state machine.
#[derive(Clone, Debug)]
pub(crate) struct Lease(#[expect(dead_code, reason = "held only until it is dropped")] mpsc::Sender<Infallible>);

/// Waits for the end of all leases.
#[derive(Debug)]
pub(crate) struct Leases(mpsc::Receiver<Infallible>);

impl Lease {
    /// The first lease; all others are clones of it.
    pub(crate) fn begin() -> (Self, Leases) {
        let (held, leases) = mpsc::channel(1);
        (Self(held), Leases(leases))
    }
}

impl Leases {
    /// Returns when no lease is held any more.
    pub(crate) async fn are_over(&mut self) {
        let _closed = self.0.recv().await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_lease_ends_when_its_last_clone_is_dropped() {
        let (first, mut leases) = Lease::begin();
        let second = first.clone();
        drop(first);
        assert_eq!(leases.are_over().now_or_never(), None);
        drop(second);
        leases.are_over().await;
    }
}

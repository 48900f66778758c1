//! What openraft holds of the log and the state machine while it runs. Its tasks outlive its shutdown for a moment: the next one
//! on the same store begins when the last of them, and the last write that is under way, has let go.

use std::convert::Infallible;

use tokio::sync::mpsc;

/// Held by each handle that openraft has of the log or the state machine.
#[derive(Clone, Debug)]
pub(crate) struct Lease(#[expect(dead_code, reason = "it is there to be dropped")] mpsc::Sender<Infallible>);

/// Waits for the end of all leases.
#[derive(Debug)]
pub(crate) struct Leases(mpsc::Receiver<Infallible>);

impl Lease {
    /// The first one; all others are its clones.
    pub(crate) fn begin() -> (Self, Leases) {
        let (held, leases) = mpsc::channel(1);
        (Self(held), Leases(leases))
    }
}

impl Leases {
    /// Returns when none is held any more.
    pub(crate) async fn are_over(&mut self) {
        let _closed = self.0.recv().await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn leases_are_over_when_the_last_clone_is_dropped() {
        let (first, mut leases) = Lease::begin();
        let second = first.clone();
        drop(first);
        assert_eq!(leases.are_over().now_or_never(), None);
        drop(second);
        leases.are_over().await;
    }
}

//! Whether this node is being drained, and when it stops.

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// The phase of a node's drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    InService,
    Withdrawing,
    /// The node stops at `end`, whatever happens.
    Until {
        end: Instant,
        then: Then,
    },
}

/// What a drained node does after it has stopped answering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// The node stops, and stays down.
    #[default]
    Stop,
    /// The node leaves the cluster, and stops.
    Leave,
    /// The node stops, and its supervisor starts it again.
    Restart,
}

/// Whether the node is being drained; its parts follow this value.
#[derive(Debug, Default)]
pub(crate) struct Draining(watch::Sender<Phase>);

impl Draining {
    pub(crate) fn is_on(&self) -> bool {
        self.phase() != Phase::InService
    }

    /// Waits until a drained node has to stop, and returns what it does then.
    pub(crate) async fn over(&self) -> Then {
        let mut phase = self.0.subscribe();
        let ends = phase.wait_for(|phase| matches!(phase, Phase::Until { .. })).await.map(|phase| *phase);
        match ends {
            Ok(Phase::Until { end, then }) => {
                sleep_until(end).await;
                then
            }
            _ => std::future::pending().await,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.0.borrow()
    }
}

/// A drain that has begun. If this value is dropped before the end is set, the node is in service again.
pub(crate) struct Begun<'a>(&'a Draining);

impl<'a> Begun<'a> {
    pub(crate) fn new(draining: &'a Draining) -> Self {
        draining.0.send_replace(Phase::Withdrawing);
        Self(draining)
    }

    pub(crate) fn ends(self, end: Instant, then: Then) {
        self.0.0.send_replace(Phase::Until { end, then });
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.0.send_if_modified(|phase| {
            let is_undone = *phase == Phase::Withdrawing;
            if is_undone {
                *phase = Phase::InService;
            }
            is_undone
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_drain_leaves_the_node_in_service_and_a_confirmed_one_ends() {
        let draining = Draining::default();
        drop(Begun::new(&draining));
        assert!(!draining.is_on());
        let begun = Begun::new(&draining);
        assert!(draining.is_on());
        let end = Instant::now() + Duration::from_secs(30);
        begun.ends(end, Then::Leave);
        assert_eq!(draining.over().await, Then::Leave);
        assert!(draining.is_on() && Instant::now() >= end);
    }
}

//! Whether a majority confirmed the leader lately: what a node must know before it says that it can answer.
//!
//! A node that was cut off goes on naming the leader that it last heard of. So each node asks for a read point once a
//! second (ReadIndex, from whichever node leads) and remembers when it last got one.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use openraft::async_runtime::WatchReceiver;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    limits::{CONFIRMATION_RETRY_PAUSE, CONFIRMED_WITHIN, PEER_CALL_TIMEOUT},
    replica::running::RunningReplica,
};

/// When a majority last confirmed the leader.
#[derive(Debug, Default)]
pub(crate) struct Confirmation(Mutex<Option<Instant>>);

impl Confirmation {
    fn confirmed(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether that was within [`CONFIRMED_WITHIN`].
    pub(crate) fn is_fresh(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < CONFIRMED_WITHIN)
    }
}

/// Asks again and again, for as long as the replica runs.
pub(crate) async fn run(replica: Arc<RunningReplica>, every: Duration) {
    let mut leader = replica.raft.server_metrics();
    loop {
        let asked = timeout(PEER_CALL_TIMEOUT, replica.read_point_once()).await;
        let is_confirmed = matches!(asked, Ok(Some(_)));
        if is_confirmed {
            replica.confirmation.confirmed();
        }
        let pause = sleep(if is_confirmed { every } else { CONFIRMATION_RETRY_PAUSE });
        tokio::pin!(pause);
        let known = leader.borrow_watched().current_leader;
        loop {
            tokio::select! {
                () = &mut pause => break,
                changed = leader.changed() => match changed {
                    Err(_) => return,
                    Ok(()) if leader.borrow_watched().current_leader != known => break,
                    Ok(()) => {}
                },
            }
        }
    }
}

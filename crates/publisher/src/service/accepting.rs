//! Accepting one connection within a limit.

use std::{io, sync::Arc};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use crate::limits::ACCEPT_PAUSE;

/// The next connection of `accept`, which is not begun before `slots` has a permit: without one, connections wait in the
/// system's queue instead of in our memory. None where the system refused to accept one; that is logged, and followed by
/// [`ACCEPT_PAUSE`].
pub(super) async fn accept_within<C, A: Future<Output = io::Result<C>>>(
    slots: &Arc<Semaphore>,
    accept: impl FnOnce() -> A,
) -> Option<(C, OwnedSemaphorePermit)> {
    let permit = Arc::clone(slots).acquire_owned().await.ok()?;
    match accept().await {
        Ok(connection) => Some((connection, permit)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refused_connection_is_followed_by_a_pause_and_gives_its_slot_back() {
        let slots = Arc::new(Semaphore::new(1));
        let began = Instant::now();
        let refused = accept_within(&slots, || async { Err::<(), _>(io::Error::other("no descriptors")) }).await;
        assert!(refused.is_none() && began.elapsed() == ACCEPT_PAUSE && slots.available_permits() == 1);
        let (connection, permit) = accept_within(&slots, || async { Ok(7) }).await.unwrap();
        assert!(connection == 7 && slots.available_permits() == 0);
        drop(permit);
    }
}

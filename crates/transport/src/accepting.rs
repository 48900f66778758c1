//! Accepting connections within a limit, and a private Unix socket.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    net::{UnixListener, UnixSocket},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

use crate::limits::{ACCEPT_PAUSE, REFUSAL_LINES_MAX, REFUSAL_LINES_WINDOW, UNIX_BACKLOG};

/// The next connection of `accept`, which is called only when `slots` has a permit: without one, connections wait
/// in the system's queue instead of this process's memory. `None` if the system failed to accept one; this is
/// logged, and followed by [`ACCEPT_PAUSE`].
pub async fn accept_within<C, A: Future<Output = io::Result<C>>>(
    slots: &Arc<Semaphore>,
    accept: impl FnOnce() -> A,
) -> Option<(C, OwnedSemaphorePermit)> {
    let permit = Arc::clone(slots).acquire_owned().await.ok()?;
    or_pause(accept().await).await.map(|connection| (connection, permit))
}

/// When the last log line about a connection that was not accepted was written.
static TOLD: Mutex<Option<Instant>> = Mutex::new(None);

/// Whether such a line may be written again: at most [`REFUSAL_LINES_MAX`] times within [`REFUSAL_LINES_WINDOW`].
fn may_be_told(told: &mut Option<Instant>, now: Instant) -> bool {
    let is_early = told.is_some_and(|told| now.duration_since(told) < REFUSAL_LINES_WINDOW / REFUSAL_LINES_MAX);
    if !is_early {
        *told = Some(now);
    }
    !is_early
}

/// `None` if the system failed to accept a connection; this is logged, and followed by [`ACCEPT_PAUSE`].
async fn or_pause<C>(accepted: io::Result<C>) -> Option<C> {
    match accepted {
        Ok(connection) => Some(connection),
        Err(error) => {
            if may_be_told(&mut TOLD.lock().unwrap_or_else(PoisonError::into_inner), Instant::now()) {
                tracing::warn!(%error, "a connection could not be accepted");
            }
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Listens at `path` on a socket that only this account can open; its permissions are set before connections are
/// possible. An existing socket is replaced: the caller must hold a lock that proves that no process uses it.
///
/// # Errors
/// The system refuses one of these steps.
pub fn listen_privately(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(UNIX_BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failed_accept_is_followed_by_a_pause_and_releases_its_slot() {
        let slots = Arc::new(Semaphore::new(1));
        let began = Instant::now();
        let refused = accept_within(&slots, || async { Err::<(), _>(io::Error::other("no descriptors")) }).await;
        assert!(refused.is_none() && began.elapsed() == ACCEPT_PAUSE && slots.available_permits() == 1);
        let (connection, permit) = accept_within(&slots, || async { Ok(7) }).await.unwrap();
        assert!(connection == 7 && slots.available_permits() == 0);
        drop(permit);
    }

    #[tokio::test(start_paused = true)]
    async fn a_system_that_accepts_nothing_fills_no_log() {
        let (began, mut told) = (Instant::now(), None);
        let said = |at: &u32| may_be_told(&mut told, began + *at * ACCEPT_PAUSE);
        let attempts = u32::try_from(REFUSAL_LINES_WINDOW.as_millis() / ACCEPT_PAUSE.as_millis()).unwrap();
        assert_eq!((0..attempts).filter(said).count(), REFUSAL_LINES_MAX as usize);
    }

    #[tokio::test]
    async fn a_private_socket_replaces_the_one_left_by_a_crash_and_only_this_account_may_use_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service.sock");
        drop(listen_privately(&path).unwrap());
        assert!(path.exists(), "a process that is killed leaves its socket");
        let _listener = listen_privately(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

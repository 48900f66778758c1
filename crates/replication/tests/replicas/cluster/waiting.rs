//! Waiting for a condition, with a deadline.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, timeout};

/// How long a test waits for an expected event.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// Waits until `happened` returns true; fails with `what` after [`TIMEOUT`].
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut happened: impl FnMut() -> F) {
    let deadline = Instant::now() + TIMEOUT;
    while !happened().await {
        assert!(Instant::now() < deadline, "timed out waiting: {what}");
        let _pause = timeout(Duration::from_millis(10), std::future::pending::<()>()).await;
    }
}

//! Waiting for a condition: the one place where tests sleep.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How long a condition may take to come true before the test gives up. No measure of speed: a busy machine is slow.
pub const TIMEOUT: Duration = Duration::from_secs(90);

const PAUSE: Duration = Duration::from_millis(20);

/// Asks `probe` until it has something to say.
///
/// # Panics
/// After [`TIMEOUT`], with `what` it waited for.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let answer = timeout(TIMEOUT, async {
        loop {
            if let Some(answer) = probe().await {
                return answer;
            }
            sleep(PAUSE).await;
        }
    });
    answer.await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

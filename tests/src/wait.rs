//! Waits for a condition. Tests sleep only here.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How long a condition may take to become true before the test fails. It does not measure speed, because a busy
/// machine is slow.
pub const TIMEOUT: Duration = Duration::from_secs(90);

const PAUSE: Duration = Duration::from_millis(20);

/// Calls `probe` until it returns a value.
///
/// # Panics
/// After [`TIMEOUT`]; the message contains `what`, the condition.
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

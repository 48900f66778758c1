//! The clock of this machine.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time of this machine in milliseconds since 1970, by which certificates are verified.
#[expect(clippy::disallowed_methods, reason = "certificates are verified by the clock of this machine")]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    u64::try_from(since.as_millis()).expect("milliseconds fit for long")
}

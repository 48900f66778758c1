//! The clock of this process, which replaces the C library's. It shows virtual time, which stands still between the
//! steps of the simulation.
//!
//! Libraries that the product uses read clocks themselves: h2 drops streams that were reset a second ago, hyper
//! writes the date. With the operating system's clock the result of a seed would depend on the speed of the machine.
//! The standard library, tokio and the other libraries call `clock_gettime`, and the linker uses the function that is
//! defined here.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Where virtual time begins: 2026-01-01T00:00:00Z, in nanoseconds since the Unix epoch.
const START_NS: u64 = crate::publisher::START_MS * 1_000_000;

/// Virtual time since the process began, in nanoseconds.
static ELAPSED_NS: AtomicU64 = AtomicU64::new(0);

/// Advances virtual time by `step`.
pub(crate) fn advance(step: Duration) {
    ELAPSED_NS.fetch_add(u64::try_from(step.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Replaces the C library's function of this name in this program.
///
/// # Safety
///
/// The same as for the C library's function: `time` must be valid for writes.
#[expect(unsafe_code, reason = "no safe way to give virtual time to libraries that read the clock themselves")]
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    let elapsed = ELAPSED_NS.load(Ordering::Relaxed);
    let is_wall = matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
    // A monotonic clock near zero would underflow in a library that subtracts from it.
    let now_ns = if is_wall { START_NS + elapsed } else { 1_000_000_000_000 + elapsed };
    let (seconds, rest) = (now_ns / 1_000_000_000, now_ns % 1_000_000_000);
    let value = libc::timespec {
        tv_sec: libc::time_t::try_from(seconds).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::try_from(rest).unwrap_or(0),
    };
    // SAFETY: the caller gives a pointer that is valid for writes, as the C library's function requires.
    unsafe { time.write(value) };
    0
}

#[cfg(test)]
mod tests {
    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "this test reads the standard library's clock")]
    fn the_clocks_of_the_standard_library_advance_with_virtual_time_only() {
        let (wall, monotonic) = (std::time::SystemTime::now(), std::time::Instant::now());
        // Waits until the operating system's own clock has advanced.
        let began = clock_gettime(ClockId::Monotonic);
        while clock_gettime(ClockId::Monotonic) == began {}
        assert_eq!(std::time::SystemTime::now(), wall);
        advance(Duration::from_secs(5));
        assert_eq!(std::time::Instant::now() - monotonic, Duration::from_secs(5));
    }
}

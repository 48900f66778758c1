//! Catches panics that are expected and become errors, and distinguishes them from panics that must end the
//! process.
//!
//! A daemon's panic hook runs before [`catch`] does, so the hook calls [`is_caught`] first.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

thread_local! {
    /// Number of nested calls of [`catch`] on this thread.
    static CATCHING: Cell<usize> = const { Cell::new(0) };
}

/// Number of threads that are inside [`catch_with_sled`].
static CATCHING_SLED: AtomicUsize = AtomicUsize::new(0);

/// Prefix of the names of sled's own threads, which catch their panics.
const SLED_THREAD: &str = "sled-io-";

/// Runs `work` and catches a panic in it. The caller must report the panic, and must not use values that `work` may
/// have left half changed.
///
/// Errors: the payload of the panic.
pub fn catch<T>(work: impl FnOnce() -> T) -> thread::Result<T> {
    CATCHING.with(|catching| catching.set(catching.get() + 1));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    CATCHING.with(|catching| catching.set(catching.get() - 1));
    outcome
}

/// Like [`catch`], for work in which sled reads a database that may be damaged: sled's threads may panic then, too.
pub(crate) fn catch_with_sled<T>(work: impl FnOnce() -> T) -> thread::Result<T> {
    CATCHING_SLED.fetch_add(1, Ordering::SeqCst);
    let outcome = catch(work);
    CATCHING_SLED.fetch_sub(1, Ordering::SeqCst);
    outcome
}

/// For a panic hook: whether a panic of the current thread will be caught.
#[must_use]
pub fn is_caught() -> bool {
    let by_us = CATCHING.try_with(Cell::get).is_ok_and(|catching| catching > 0);
    let is_sled = || thread::current().name().is_some_and(|name| name.starts_with(SLED_THREAD));
    by_us || CATCHING_SLED.load(Ordering::SeqCst) > 0 && is_sled()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_knows_whether_its_panic_is_caught_on_purpose() {
        assert!(!is_caught());
        assert!(catch(is_caught).is_ok_and(|caught| caught));
        assert!(catch(|| drop(catch(|| panic!("within")))).is_ok(), "one within the other");
        assert!(catch(|| panic!("on purpose")).is_err());
        assert!(!is_caught(), "not any more");
    }

    #[test]
    fn sled_s_threads_may_panic_only_while_a_database_is_read_that_may_be_damaged() {
        let in_thread = |name: &str| {
            let asked = thread::Builder::new().name(name.to_owned()).spawn(is_caught);
            asked.is_ok_and(|asked| asked.join().is_ok_and(|caught| caught))
        };
        assert!(!in_thread("sled-io-1"));
        let during = catch_with_sled(|| (in_thread("sled-io-1"), in_thread("store-writer")));
        assert_eq!(during.ok(), Some((true, false)));
    }
}

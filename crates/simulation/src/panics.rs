//! Keeps the message of the first panic, because the runtime that catches a panic does not report its message.

use std::{panic, sync::OnceLock};

static FIRST: OnceLock<String> = OnceLock::new();

/// From now on, stores the first panic; panics are printed as usual.
pub(crate) fn remember() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let _first_only = FIRST.set(panic.to_string());
        usual(panic);
    }));
}

/// The first panic of this process: its location and its message.
pub(crate) fn first() -> Option<String> {
    FIRST.get().cloned()
}

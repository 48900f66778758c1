//! The message of the first panic: the runtime that catches it says only that there was one.

use std::{panic, sync::OnceLock};

static FIRST: OnceLock<String> = OnceLock::new();

/// From now on the first panic is remembered, and printed as usual.
pub(crate) fn remember() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let _first_only = FIRST.set(panic.to_string());
        usual(panic);
    }));
}

/// The first panic of this process: where it was, and what it said.
pub(crate) fn first() -> Option<String> {
    FIRST.get().cloned()
}

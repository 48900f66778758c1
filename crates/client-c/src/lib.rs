//! The client for programs that are not written in Rust (`include/quorate_client.h`): they open the machine's
//! folder, install the setup key, ask for activation, and read the license state.
//!
//! An opaque handle, results as numbers, and texts in buffers that the caller provides: the handle is the only thing
//! to free. There is no global state, and between two calls no thread and no open file. An error inside the library
//! is also a result: no panic reaches the caller.
//!
//! `examples/editor.c` is a whole program; a test compiles it with the header and runs it with a real host.
//!
//! Invariant: never lets a panic reach its caller, and never keeps a pointer that was passed to a call.

mod argument;
mod calls;
mod failure;
mod status;
mod text;

pub use calls::{
    QuorateClient, quorate_client_activate, quorate_client_free, quorate_client_install_key, quorate_client_open,
    quorate_client_set_host, quorate_client_status,
};
pub use failure::{QUORATE_ADVICE_BYTES, QUORATE_MESSAGE_BYTES, QuorateError, QuorateResult};
pub use status::{
    QUORATE_CMID_BYTES, QUORATE_HOST_BYTES, QUORATE_PRODUCT_BYTES, QUORATE_WORDS_BYTES, QuorateFoundBy, QuorateState,
    QuorateStatus,
};

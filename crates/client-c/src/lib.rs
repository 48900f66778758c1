//! The client for programs that are not written in Rust (`include/quorate_client.h`): open the machine's folder, install
//! the setup key, ask to be activated, and read how the machine stands.
//!
//! An opaque handle, results as numbers, texts in buffers of the caller's own: nothing but the handle is to be freed.
//! There is no global state, and between two calls no thread and no open file. A mistake inside the library is a result
//! as well: no panic reaches the caller.
//!
//! Invariant: never lets a panic reach its caller, and never keeps a pointer that it was handed for a call.

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

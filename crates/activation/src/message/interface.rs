//! The RPC interface `Activation`, which carries requests and answers: the numbers that client and host share.
//!
//! Its one operation takes the bytes of a request and returns the bytes of an answer with a
//! [`Status`](crate::status::Status). The crates that implement the transport define the marshalling.

/// UUID of the interface as a number: 3a5b7c9d-1e2f-4a6b-8c7d-9e0f1a2b3c4d.
pub const INTERFACE_UUID: u128 = 0x3a5b_7c9d_1e2f_4a6b_8c7d_9e0f_1a2b_3c4d;
/// Major and minor version of the interface.
pub const INTERFACE_VERSION: (u16, u16) = (1, 0);
/// The number of operations; they are numbered from 0.
pub const INTERFACE_OPERATIONS: u16 = 1;
/// The number of the operation that takes a request and returns an answer.
pub const ACTIVATE_OPNUM: u16 = 0;

const _: () = assert!(ACTIVATE_OPNUM < INTERFACE_OPERATIONS);

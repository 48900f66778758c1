//! The RPC interface `Activation` that carries requests and answers: what client and host must agree on to meet.
//!
//! Its one operation takes the bytes of a request and gives the bytes of an answer with a
//! [`Status`](crate::status::Status). How that is marshalled is the business of whoever speaks the transport.

/// 3a5b7c9d-1e2f-4a6b-8c7d-9e0f1a2b3c4d, as a number.
pub const INTERFACE_UUID: u128 = 0x3a5b_7c9d_1e2f_4a6b_8c7d_9e0f_1a2b_3c4d;
/// Major and minor version.
pub const INTERFACE_VERSION: (u16, u16) = (1, 0);
/// Operations are numbered from 0 to one below this.
pub const INTERFACE_OPERATIONS: u16 = 1;
/// The operation: a request in, an answer out.
pub const ACTIVATE_OPNUM: u16 = 0;

const _: () = assert!(ACTIVATE_OPNUM < INTERFACE_OPERATIONS);

//! All limits of the protocol engine.
//!
//! Each limits what a peer can make this side hold or send; the relations between them are asserted at compile time.

use crate::pdu;

/// Largest fragment that is sent or accepted, in bytes (MS-RPCE: the size that Windows and Samba negotiate over
/// TCP).
pub const FRAGMENT_BYTES_MAX: u16 = 5840;

/// Smallest fragment size that a server agrees to, in bytes, whatever a client offers.
pub const FRAGMENT_BYTES_MIN: u16 = 2048;

/// Smallest receive size that a client accepts from a server, in bytes: `MustRecvFragSize` of C706 appendix K.
pub const PEER_FRAGMENT_BYTES_MIN: u16 = 1432;

/// Longest stub of one call, reassembled from its fragments, in either direction, in bytes.
pub const CALL_STUB_BYTES_MAX: usize = 64 * 1024;

/// The most presentation contexts in one bind or alter_context, and the most that one association keeps.
pub const PRESENTATION_CONTEXTS_MAX: usize = 32;

/// The most concurrent association groups on one node.
pub const ASSOCIATION_GROUPS_MAX: usize = 64 * 1024;

const _: () = {
    assert!(FRAGMENT_BYTES_MIN <= FRAGMENT_BYTES_MAX);
    assert!(PEER_FRAGMENT_BYTES_MIN <= FRAGMENT_BYTES_MIN);
    assert!(CALL_STUB_BYTES_MAX >= FRAGMENT_BYTES_MAX as usize);
    // A fragment carries at least one unit of stub, so splitting a stub into fragments ends.
    assert!(PEER_FRAGMENT_BYTES_MIN as usize >= pdu::CALL_HEADER_BYTES + pdu::STUB_FRAGMENT_ALIGNMENT_BYTES);
    // The answer to the largest bind fits the smallest fragment.
    assert!(pdu::bind_ack_bytes_max(PRESENTATION_CONTEXTS_MAX) <= FRAGMENT_BYTES_MIN as usize);
};

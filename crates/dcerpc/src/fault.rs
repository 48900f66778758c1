//! Status codes of fault PDUs (C706 appendix E; MS-RPCE section 2.2.1).

/// `nca_s_op_rng_error`: the interface has no such operation.
pub const OPERATION_RANGE: u32 = 0x1c01_0002;
/// `nca_s_unk_if`: the presentation context was never accepted on this association.
pub const UNKNOWN_INTERFACE: u32 = 0x1c01_0003;
/// `nca_s_proto_error`: the PDU, or its position in the sequence, violates the protocol.
pub const PROTOCOL_ERROR: u32 = 0x1c01_000b;
/// `nca_s_server_too_busy`: the call was not accepted; another server may accept it.
pub const SERVER_TOO_BUSY: u32 = 0x1c01_0014;
/// `nca_s_fault_remote_no_memory`: the call is longer than the server reassembles.
pub const REMOTE_NO_MEMORY: u32 = 0x1c00_001b;
/// `RPC_X_BAD_STUB_DATA`: the stub does not follow the operation's definition.
pub const BAD_STUB_DATA: u32 = 0x0000_06f7;
/// `ERROR_ACCESS_DENIED`: the request claims an authentication that this association does not have.
pub const ACCESS_DENIED: u32 = 0x0000_0005;

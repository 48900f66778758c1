//! Every limit of a client in one place, unit last in the name.

use std::time::Duration;

/// R1: where hosts listen.
pub const PORT_DEFAULT: u16 = 1688;
/// One address of a host.
pub const CONNECT_MS: u64 = 2_000;
/// The lookup of a host's name: a dead first server of the system's resolver takes seconds.
pub const LOOKUP_MS: u64 = 15_000;
/// From the bind to the last byte of the answer.
pub const EXCHANGE_MS: u64 = 5_000;
/// One request to a publisher's service: it may wait for its turn there, and every answer is on a disk first.
pub const PUBLISHING_MS: u64 = 40_000;
/// Addresses of one name that are tried: whoever answers for the name must not keep a client busy.
pub const ADDRESSES_MAX: usize = 8;
/// A host's name (RFC 1035 section 2.3.4, without the root's empty label).
pub const NAME_BYTES_MAX: usize = 253;
/// One label of it.
pub const LABEL_BYTES_MAX: usize = 63;
/// What is read from the socket at a time. An answer has at most 256 bytes.
pub const READ_BYTES: usize = 1_024;
/// The state file of a client machine.
pub const STATE_BYTES_MAX: u64 = 16 * 1024;

const _: () = assert!(CONNECT_MS <= EXCHANGE_MS);
const _: () = assert!(READ_BYTES >= activation::limits::PDU_BYTES_MAX);

/// How long a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For each address of the host. The lookup of its name has [`LOOKUP_MS`].
    pub connect: Duration,
    /// For [`activate`](crate::activate) from the bind to the answer; for a [`Session`](crate::Session) once for the
    /// bind and then for each exchange. Holds for the whole, so a host that drips bytes gains nothing.
    pub exchange: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { connect: Duration::from_millis(CONNECT_MS), exchange: Duration::from_millis(EXCHANGE_MS) }
    }
}

//! All limits of a client, with the unit last in the name.

use std::time::Duration;

/// R1: the default port of hosts.
pub const PORT_DEFAULT: u16 = 1688;
/// Deadline for the connection to one IP address of a host, in milliseconds.
pub const CONNECT_MS: u64 = 2_000;
/// Deadline for the lookup of a host's name, in milliseconds: where the first server of the system's resolver is
/// dead, a lookup takes seconds.
pub const LOOKUP_MS: u64 = 15_000;
/// Deadline from the bind to the last byte of the answer, in milliseconds.
pub const EXCHANGE_MS: u64 = 5_000;
/// Deadline for one request to a publisher's service, in milliseconds: the request may have to wait there, and the
/// service writes every answer to disk first.
pub const PUBLISHING_MS: u64 = 40_000;
/// The most IP addresses of one name that are tried, so that a malicious DNS server cannot keep a client busy.
pub const ADDRESSES_MAX: usize = 8;
/// The longest name of a host, in bytes (RFC 1035 section 2.3.4, without the root's empty label).
pub const NAME_BYTES_MAX: usize = 253;
/// The longest label of a name, in bytes.
pub const LABEL_BYTES_MAX: usize = 63;
/// How many bytes are read from the socket at a time. An answer has at most 256 bytes.
pub const READ_BYTES: usize = 1_024;
/// The longest state file of a client machine, in bytes.
pub const STATE_BYTES_MAX: u64 = 16 * 1024;

const _: () = assert!(CONNECT_MS <= EXCHANGE_MS);
const _: () = assert!(READ_BYTES >= activation::limits::PDU_BYTES_MAX);

/// The deadlines of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For the connection to each IP address of the host. The lookup of its name has [`LOOKUP_MS`].
    pub connect: Duration,
    /// For [`activate`](crate::activate) from the bind to the answer; for a [`Session`](crate::Session) once for the
    /// bind and then for each exchange. It covers the whole exchange, so a host that sends single bytes cannot
    /// extend it.
    pub exchange: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { connect: Duration::from_millis(CONNECT_MS), exchange: Duration::from_millis(EXCHANGE_MS) }
    }
}

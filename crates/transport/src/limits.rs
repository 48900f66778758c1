//! Every limit of this crate; each name ends in its unit.

use std::time::Duration;

/// Timeout of a TLS handshake, on both sides.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// Timeout of a TLS handshake on the accepting side, while connections without a known certificate use more than
/// one in [`PRESSURE_SHARE`] of their slots.
pub const PRESSED_HANDSHAKE_DEADLINE: Duration = Duration::from_secs(2);

/// Share of the slots from which handshakes have a shorter timeout; see [`PRESSED_HANDSHAKE_DEADLINE`].
pub const PRESSURE_SHARE: usize = 2;

/// Largest number of concurrent connections of one listener without a known certificate, including those in their
/// handshake: some 20 MB of memory.
pub const STRANGERS_MAX: usize = 512;
/// Largest number of concurrent connections without a known certificate from one source (an IPv4 address or an IPv6
/// /64).
pub const STRANGERS_PER_SOURCE_MAX: usize = 64;

/// Largest number of concurrent connections of one listener with a known certificate.
pub const KNOWN_MAX: usize = 512;
/// Largest number of concurrent connections with a known certificate from one source.
pub const KNOWN_PER_SOURCE_MAX: usize = 256;

/// Largest number of connections of one listener that were notified to close for new ones and are still open;
/// further new connections wait in the system's queue.
pub const CLOSING_MAX: usize = 64;
/// The number of connections being closed is also limited to one for this many connections that the port may have.
pub const CLOSING_SHARE: usize = 4;

/// Length of the system's queue of connections for a listener; the system's own limit is net.core.somaxconn.
pub const LISTEN_BACKLOG: i32 = 1024;

/// Largest number of log lines, within [`REFUSAL_LINES_WINDOW`], about connections that one listener refused or
/// that the system failed to accept.
pub const REFUSAL_LINES_MAX: u32 = 10;
/// Period in which at most [`REFUSAL_LINES_MAX`] such lines are logged.
pub const REFUSAL_LINES_WINDOW: Duration = Duration::from_secs(60);

/// How long a caller without a certificate may stay connected: long enough to get one.
pub const STRANGER_DEADLINE: Duration = Duration::from_secs(60);

/// Pause after the system failed to accept a connection (for example without free descriptors).
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a port may take to accept a connection before it is reported as unreachable.
pub const PORT_PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Lifetime of an authority's certificate.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_secs(20 * 365 * 86_400);

/// How long a replaced authority is still trusted beside the new one.
pub const AUTHORITY_OVERLAP: Duration = Duration::from_secs(30 * 86_400);

/// Lifetime of a node's certificate. It is renewed when a third of it is left.
pub const NODE_LIFETIME: Duration = Duration::from_secs(90 * 86_400);

/// Lifetime of a person's certificate. It is renewed when it is used while at most a third of it is left.
pub const PERSON_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// Certificates are valid from this long before they are issued: the clocks of other machines may be slow.
pub const CLOCK_SKEW: Duration = Duration::from_secs(86_400);

/// Longest name of a person, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Longest file with certificates or a key, in bytes.
pub const PEM_BYTES_MAX: u64 = 256 << 10;

/// Largest file with revocation lists of an organisation's authority, in bytes: about 100,000 certificates.
pub const REVOCATION_LISTS_BYTES_MAX: u64 = 4 << 20;

/// Timeout of the lookup of a node's name while no address of it is known: two attempts at a first DNS server that
/// is down, and one at the second.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(15);

/// Timeout of the lookup of a node's name while an earlier address is known: a connection to a peer must not wait
/// long, and the lookup continues in the background.
pub const LOOKUP_REFRESH_TIMEOUT: Duration = Duration::from_millis(100);

/// Timeout of the lookup of a name when ports are probed for an administrator.
pub const PORT_PROBE_LOOKUP_TIMEOUT: Duration = Duration::from_secs(6);

/// Largest number of node names whose addresses are kept.
pub const NAMES_MAX: usize = 1024;

/// Largest number of addresses of one name that are tried.
pub const ADDRESSES_MAX: usize = 8;

const _: () = assert!(CLOCK_SKEW.as_secs() < NODE_LIFETIME.as_secs() / 3);
const _: () = assert!(STRANGERS_PER_SOURCE_MAX < STRANGERS_MAX && KNOWN_PER_SOURCE_MAX < KNOWN_MAX);
const _: () = assert!(PRESSED_HANDSHAKE_DEADLINE.as_secs() < HANDSHAKE_DEADLINE.as_secs());

/// Length of the system's queue of connections for a private Unix socket.
pub const UNIX_BACKLOG: u32 = 64;

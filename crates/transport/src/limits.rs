//! Every bound of this crate, with its unit last in the name.

use std::time::Duration;

/// How long a handshake may take, on both sides.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// The same on the side that accepts, where connections without a known certificate take more than one in
/// [`PRESSURE_SHARE`] of their connections.
pub const PRESSED_HANDSHAKE_DEADLINE: Duration = Duration::from_secs(2);

/// See [`PRESSED_HANDSHAKE_DEADLINE`].
pub const PRESSURE_SHARE: usize = 2;

/// Connections at once of one listener without a known certificate, those in their handshake among them: some 20 MB,
pub const STRANGERS_MAX: usize = 512;
/// and of one source, an IPv4 address or an IPv6 /64.
pub const STRANGERS_PER_SOURCE_MAX: usize = 64;

/// Connections at once of one listener with a known certificate,
pub const KNOWN_MAX: usize = 512;
/// and of one source.
pub const KNOWN_PER_SOURCE_MAX: usize = 256;

/// Connections of one listener that were told to close for others and are not closed yet; further ones wait in the system's
/// queue.
pub const CLOSING_MAX: usize = 64;
/// One for so many connections that the port may have, where that is less.
pub const CLOSING_SHARE: usize = 4;

/// Connections that wait in the system's queue of a listener; the system's own limit is net.core.somaxconn.
pub const LISTEN_BACKLOG: i32 = 1024;

/// Lines of the log about connections that one listener refused, or that the system did not accept,
pub const REFUSAL_LINES_MAX: u32 = 10;
/// within so long a time.
pub const REFUSAL_LINES_WINDOW: Duration = Duration::from_secs(60);

/// How long a caller without a certificate may stay: enough to get one.
pub const STRANGER_DEADLINE: Duration = Duration::from_secs(60);

/// Pause after the system refused to accept a connection (out of descriptors, say).
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a port may take to accept a connection before it is reported as unreachable.
pub const PORT_PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an authority vouches.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_secs(20 * 365 * 86_400);

/// How long an authority that was replaced is believed beside the new one.
pub const AUTHORITY_OVERLAP: Duration = Duration::from_secs(30 * 86_400);

/// How long a node's certificate lasts. It is renewed when a third of it is left.
pub const NODE_LIFETIME: Duration = Duration::from_secs(90 * 86_400);

/// How long a person's certificate lasts. It is renewed when it is used with a third of that left.
pub const PERSON_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// Certificates begin this long before they are made: the clocks of those who see them may be behind.
pub const CLOCK_SKEW: Duration = Duration::from_secs(86_400);

/// Longest name of a person, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Longest file with certificates or a key, in bytes.
pub const PEM_BYTES_MAX: u64 = 256 << 10;

/// How long the lookup of a node's name may take where no address of it is known: two tries at a dead first DNS server, and
/// one at the second.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(15);

/// How long it is waited for where an address is known: a connection to a peer has little time, and the lookup goes on.
pub const LOOKUP_PATIENCE: Duration = Duration::from_millis(100);

/// How long the lookup of a name may take where ports are tried for an administrator, who waits for it.
pub const PORT_PROBE_LOOKUP_TIMEOUT: Duration = Duration::from_secs(6);

/// Names of nodes whose addresses are kept.
pub const NAMES_MAX: usize = 1024;

/// Addresses of one name that are tried.
pub const ADDRESSES_MAX: usize = 8;

const _: () = assert!(CLOCK_SKEW.as_secs() < NODE_LIFETIME.as_secs() / 3);
const _: () = assert!(STRANGERS_PER_SOURCE_MAX < STRANGERS_MAX && KNOWN_PER_SOURCE_MAX < KNOWN_MAX);
const _: () = assert!(PRESSED_HANDSHAKE_DEADLINE.as_secs() < HANDSHAKE_DEADLINE.as_secs());

/// Connections that wait in the system's queue of a private Unix socket.
pub const UNIX_BACKLOG: u32 = 64;

//! Every bound of this crate, with its unit last in the name.

use std::time::Duration;

use activation::{host_activation::FILE_BYTES_MAX, limits::CATALOG_TEXT_BYTES_MAX};

/// R31: hosts that a key activates, unless it was issued for another number.
pub const HOSTS_DEFAULT: u32 = 6;
/// R31: times that each of them may be activated again.
pub const REACTIVATIONS_DEFAULT: u32 = 9;

/// Hosts that a key can be issued for. All of them stand in the key's one record.
pub const HOSTS_MAX: u32 = 500;
/// Re-activations of each host that a key can be issued for.
pub const REACTIVATIONS_MAX: u32 = 1000;

/// Hosts that gave a key's place back, and whose re-activations it remembers. Above that the oldest is forgotten.
pub const FORMER_HOSTS_MAX: u32 = HOSTS_MAX;

/// R24: activations that a direct key can be issued for.
pub const DIRECT_ACTIVATIONS_MAX: u32 = 1_000_000;

/// A host in the record of its key.
const HOST_BYTES_MAX: usize = 64;
/// The record of a key without its hosts.
const KEY_BYTES_MAX: usize = 256;

/// A message to the service: a file of requests, with room for what carries it.
pub const MESSAGE_BYTES_MAX: usize = FILE_BYTES_MAX + 1024;
/// HTTP/2 headers of a request.
pub const HEADERS_BYTES_MAX: u32 = 8 << 10;
/// Connections that are open at once, and those of one source among them.
pub const CONNECTIONS_MAX: usize = 512;
/// See [`CONNECTIONS_MAX`].
pub const CONNECTIONS_PER_SOURCE_MAX: usize = 64;
/// Requests on one connection at once.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 32;
/// Requests of one source that are being decided at once; the others wait for their turn.
pub const REQUESTS_PER_SOURCE_MAX: usize = 32;
/// From the first byte of a connection to the end of the TLS handshake.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// From the head of a request to its answer.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// A connection without a request for this long is closed.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection is asked for a sign of life this often, and closed where none comes in time.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// See [`KEEP_ALIVE_INTERVAL`].
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open requests may take once the service is told to stop.
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// How long a certificate of the service is good for, and how long before now its time begins: clocks differ.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(30 * DAY_S);
/// See [`CERTIFICATE_LIFETIME`].
pub const CERTIFICATE_CLOCK_SKEW: Duration = Duration::from_secs(2 * DAY_S);
/// A certificate is replaced at this age.
pub const CERTIFICATE_RENEWAL: Duration = Duration::from_secs(10 * DAY_S);
const DAY_S: u64 = 24 * 60 * 60;

/// An operation that a command sends to the service of the same folder: a catalog's text, with room.
pub const OPERATION_BYTES_MAX: usize = 8 * CATALOG_TEXT_BYTES_MAX;
/// Commands that are served at once, and how long each may take.
pub const OPERATIONS_MAX: usize = 16;
/// See [`OPERATIONS_MAX`].
pub const OPERATION_DEADLINE: Duration = Duration::from_secs(60);
/// Longest path of a Unix socket, in bytes (`sun_path`, less the final zero).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// A passphrase, in UTF-8.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;
/// scrypt's cost: 2^14 rounds over blocks of 1 KiB (16 MiB of memory), in [`SCRYPT_LANES`] passes. More memory in one
/// pass would be as strong, but `openssl` refuses to read what needs more than 32 MiB.
pub const SCRYPT_LOG_ROUNDS: u8 = 14;
/// See [`SCRYPT_LOG_ROUNDS`].
pub const SCRYPT_LANES: u32 = 5;

/// A file that holds one private key, or the publisher's name.
pub const SMALL_FILE_BYTES_MAX: u64 = 4096;

const _: () = assert!(
    (HOSTS_MAX + FORMER_HOSTS_MAX) as usize * HOST_BYTES_MAX + KEY_BYTES_MAX <= storage::limits::VALUE_BYTES_MAX
);
const _: () = assert!(HOSTS_DEFAULT <= HOSTS_MAX && REACTIVATIONS_DEFAULT <= REACTIVATIONS_MAX);
const _: () = assert!(CONNECTIONS_PER_SOURCE_MAX * 4 <= CONNECTIONS_MAX);
const _: () = assert!(IDLE_TIMEOUT.as_secs() > REQUEST_DEADLINE.as_secs());
const _: () = assert!(CERTIFICATE_RENEWAL.as_secs() * 2 < CERTIFICATE_LIFETIME.as_secs());

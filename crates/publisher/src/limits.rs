//! Every limit of this crate, with its unit last in the name.

use std::time::Duration;

use activation::{host_activation::FILE_BYTES_MAX, limits::CATALOG_TEXT_BYTES_MAX};

/// R31: the number of hosts for which a key is issued by default.
pub const HOSTS_DEFAULT: u32 = 6;
/// R31: the number of reactivations of each host by default.
pub const REACTIVATIONS_DEFAULT: u32 = 9;

/// The most hosts for which a key can be issued. The key's single record holds all of them.
pub const HOSTS_MAX: u32 = 500;
/// The most reactivations of each host for which a key can be issued.
pub const REACTIVATIONS_MAX: u32 = 1000;

/// The most former hosts whose reactivations a key remembers. Beyond that the oldest is forgotten.
pub const FORMER_HOSTS_MAX: u32 = HOSTS_MAX;

/// R24: the most activations for which a direct key can be issued.
pub const DIRECT_ACTIVATIONS_MAX: u32 = 1_000_000;

/// The most bytes of one host in the record of its key.
const HOST_BYTES_MAX: usize = 64;
/// The most bytes of a key's record without its hosts.
const KEY_BYTES_MAX: usize = 256;

/// The longest message to the service, in bytes: a file of requests, with room for its envelope.
pub const MESSAGE_BYTES_MAX: usize = FILE_BYTES_MAX + 1024;
/// The longest HTTP/2 headers of a request, in bytes.
pub const HEADERS_BYTES_MAX: u32 = 8 << 10;
/// The most concurrent connections to the service.
pub const CONNECTIONS_MAX: usize = 512;
/// The most concurrent connections of one source, of [`CONNECTIONS_MAX`] in all.
pub const CONNECTIONS_PER_SOURCE_MAX: usize = 64;
/// The most concurrent requests on one connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 32;
/// The most requests of one source that are decided at once; further requests wait.
pub const REQUESTS_PER_SOURCE_MAX: usize = 32;
/// Deadline from the first byte of a connection to the end of the TLS handshake.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Deadline from the head of a request to its answer.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// A connection without a request for this long is closed.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the service sends an HTTP/2 keep-alive ping. It closes the connection if no reply arrives within
/// [`KEEP_ALIVE_TIMEOUT`].
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long the service waits for the reply to a keep-alive ping; see [`KEEP_ALIVE_INTERVAL`].
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open requests may continue after the service is stopped.
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// How long a certificate of the service is valid.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(30 * DAY_S);
/// How long before its issue a certificate's validity begins, because clocks differ.
pub const CERTIFICATE_CLOCK_SKEW: Duration = Duration::from_secs(2 * DAY_S);
/// The age at which a certificate is replaced.
pub const CERTIFICATE_RENEWAL: Duration = Duration::from_secs(10 * DAY_S);
const DAY_S: u64 = 24 * 60 * 60;

/// The longest operation that a command sends to the service of the same folder, in bytes: a catalog's text, with
/// room for its envelope.
pub const OPERATION_BYTES_MAX: usize = 8 * CATALOG_TEXT_BYTES_MAX;
/// The most commands that the service performs at once.
pub const OPERATIONS_MAX: usize = 16;
/// How long one command may take.
pub const OPERATION_DEADLINE: Duration = Duration::from_secs(60);
/// Longest path of a Unix socket, in bytes (`sun_path`, less the final zero).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The longest passphrase, in bytes of UTF-8.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;
/// scrypt's cost: 2^14 rounds over blocks of 1 KiB (16 MiB of memory), in [`SCRYPT_LANES`] passes. More memory in
/// one pass would be as strong, but `openssl` refuses a key that needs more than 32 MiB.
pub const SCRYPT_LOG_ROUNDS: u8 = 14;
/// The number of scrypt passes; see [`SCRYPT_LOG_ROUNDS`].
pub const SCRYPT_LANES: u32 = 5;

/// The longest file that holds one private key or the publisher's name, in bytes.
pub const SMALL_FILE_BYTES_MAX: u64 = 4096;

const _: () = assert!(
    (HOSTS_MAX + FORMER_HOSTS_MAX) as usize * HOST_BYTES_MAX + KEY_BYTES_MAX <= storage::limits::VALUE_BYTES_MAX
);
const _: () = assert!(HOSTS_DEFAULT <= HOSTS_MAX && REACTIVATIONS_DEFAULT <= REACTIVATIONS_MAX);
const _: () = assert!(CONNECTIONS_PER_SOURCE_MAX * 4 <= CONNECTIONS_MAX);
const _: () = assert!(IDLE_TIMEOUT.as_secs() > REQUEST_DEADLINE.as_secs());
const _: () = assert!(CERTIFICATE_RENEWAL.as_secs() * 2 < CERTIFICATE_LIFETIME.as_secs());

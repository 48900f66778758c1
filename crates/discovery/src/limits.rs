//! All limits of this crate.
//!
//! Each limits what a DNS server, a zone or a file can make this program hold, send or wait for.

use std::time::Duration;

/// The longest DNS message over TCP, in bytes, and so the most that one answer can make this program hold.
pub const MESSAGE_BYTES_MAX: usize = 65_535;

/// The most records of one type that are read from one answer. Six nodes and their neighbours need a few dozen.
pub const RECORDS_MAX: usize = 256;

/// The most queries and updates in one conversation with a primary.
pub const EXCHANGES_MAX: usize = 12;

/// Default deadline of one conversation with a primary, from the first connect to the last answer.
pub const CONVERSATION_TIMEOUT: Duration = Duration::from_secs(15);

/// The wait before the first retry of a failed conversation.
pub const RETRY_AFTER_MIN: Duration = Duration::from_secs(5);

/// The longest wait before a later retry: after a primary returns, its records are published within this time.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// How far a primary's clock may differ from the signing time, in seconds: RFC 8945 recommends 300 s.
pub const SIGNATURE_FUDGE_SECONDS: u16 = 300;

/// Deadline of one call of the Kerberos library, which asks one KDC after the other. Connecting may take half of a
/// conversation's time, so this must fit into the other half.
pub const TICKET_TIMEOUT: Duration = Duration::from_secs(5);

/// The lifetime that is requested for a security context: longer than any conversation.
pub const CONTEXT_LIFE: Duration = Duration::from_secs(60 * 60);

/// The longest key file, in bytes.
pub const KEY_FILE_BYTES_MAX: usize = 16 * 1024;

/// The longest decoded secret in a key file, in bytes.
pub const SECRET_BYTES_MAX: usize = 512;

/// The most addresses that one node publishes, and the most addresses of one host that are tried.
pub const ADDRESSES_MAX: usize = 16;

/// The most hosts that one search returns.
pub const HOSTS_MAX: usize = 64;

/// The most servers that are queried one after the other after a failure.
pub const SERVERS_MAX: usize = 4;

/// The most domains of a search list that are queried.
pub const SEARCH_DOMAINS_MAX: usize = 16;

/// The most aliases (CNAME) that are followed one after the other from the service's name.
pub const ALIASES_MAX: usize = 8;

/// The most bytes that are read of the system's resolver configuration.
pub const RESOLVER_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Deadline of one query to one DNS server during discovery.
pub const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);

/// Deadline of one search: all domains of the list, and the addresses of all hosts found.
pub const SEARCH_TIMEOUT: Duration = Duration::from_secs(20);

/// The delay between the starts of two connection attempts to one host (RFC 8305 section 5).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The longest answer over UDP, in bytes: it passes every usual network path in one piece.
pub const UDP_BYTES_MAX: usize = 1232;

/// The longest answer over UDP to clients that state no size, in bytes (RFC 1035).
pub const UDP_BYTES_MIN: usize = 512;

/// The longest query to the cluster's own zone, in bytes.
pub const QUESTION_BYTES_MAX: usize = 1232;

/// UDP answers per second to one network (a /24 of IPv4, a /56 of IPv6), once [`UDP_ANSWERS_BURST`] are used up.
pub const UDP_ANSWERS_PER_SECOND: u32 = 100;

/// How long a DNS cookie of the nodes' own server is valid (RFC 9018 section 4.3).
pub const COOKIE_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// The age from which on a valid DNS cookie is answered with a new one.
pub const COOKIE_RENEWAL: Duration = Duration::from_secs(30 * 60);

/// How long one secret makes DNS cookies. It stays known for as long again, which is longer than a cookie is valid.
pub const COOKIE_SECRET_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// UDP answers to one network in a burst.
pub const UDP_ANSWERS_BURST: u32 = 200;

/// The most concurrent connections to the cluster's own zone.
pub const CONNECTIONS_MAX: usize = 64;

/// The most queries on one connection.
pub const QUESTIONS_A_CONNECTION_MAX: usize = 32;

/// Deadline of one connection, with all its queries.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

const _: () = {
    assert!(COOKIE_RENEWAL.as_secs() < COOKIE_LIFETIME.as_secs());
    assert!(COOKIE_LIFETIME.as_secs() < COOKIE_SECRET_LIFETIME.as_secs());
    assert!(UDP_BYTES_MIN <= UDP_BYTES_MAX && UDP_BYTES_MAX <= MESSAGE_BYTES_MAX);
    assert!(HOSTS_MAX <= RECORDS_MAX);
    assert!(QUESTION_TIMEOUT.as_millis() < SEARCH_TIMEOUT.as_millis());
    assert!(RETRY_AFTER_MIN.as_secs() < RETRY_AFTER_MAX.as_secs());
    assert!(TICKET_TIMEOUT.as_millis() < CONVERSATION_TIMEOUT.as_millis() / 2);
    // The signing time of a conversation is taken once, so it must still be valid at its end.
    assert!(CONVERSATION_TIMEOUT.as_secs() < SIGNATURE_FUDGE_SECONDS as u64);
};

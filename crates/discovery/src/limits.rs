//! Every bound of this crate, in one place.
//!
//! Each is what a DNS server, a zone or a file can make this side hold, send or wait for.

use std::time::Duration;

/// Longest DNS message over TCP, and so the most that one answer can make this side hold.
pub const MESSAGE_BYTES_MAX: usize = 65_535;

/// Records of one type taken from one answer. Six nodes and their neighbours need a few dozen.
pub const RECORDS_MAX: usize = 256;

/// Queries and updates in one conversation with a primary.
pub const EXCHANGES_MAX: usize = 12;

/// Time of one conversation with a primary, from the first connect to the last answer, where the caller names none.
pub const CONVERSATION_TIMEOUT: Duration = Duration::from_secs(15);

/// Before the first repetition of a conversation that failed.
pub const RETRY_AFTER_MIN: Duration = Duration::from_secs(5);

/// Before any later one: a primary that comes back waits for its records no longer than this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// How far a primary's clock may differ from the signing time: RFC 8945 recommends 300 s.
pub const SIGNATURE_FUDGE_SECONDS: u16 = 300;

/// Time of one call of the Kerberos library, which asks one KDC after the other. Of a conversation's time, half goes to
/// connecting: this has to fit into the rest.
pub const TICKET_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a server is asked to keep a context: longer than any conversation.
pub const CONTEXT_LIFE: Duration = Duration::from_secs(60 * 60);

/// Longest key file.
pub const KEY_FILE_BYTES_MAX: usize = 16 * 1024;

/// Longest secret in a key file, decoded.
pub const SECRET_BYTES_MAX: usize = 512;

/// Addresses that one node publishes, and addresses of one host that are tried.
pub const ADDRESSES_MAX: usize = 16;

/// Hosts that one search gives.
pub const HOSTS_MAX: usize = 64;

/// Servers that are asked one after the other where one has failed.
pub const SERVERS_MAX: usize = 4;

/// Domains of a suffix search list that are asked.
pub const SEARCH_DOMAINS_MAX: usize = 16;

/// Aliases (CNAME) that are followed from the service's name, one behind the other.
pub const ALIASES_MAX: usize = 8;

/// Most that is read of the system's resolver configuration.
pub const RESOLVER_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Time of one question to one DNS server, while finding.
pub const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);

/// Time of one search: all domains of the list, and the addresses of all hosts found.
pub const SEARCH_TIMEOUT: Duration = Duration::from_secs(20);

/// Between the starts of two connection attempts to one host (RFC 8305 section 5).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Largest answer over UDP: what passes every usual path in one piece.
pub const UDP_BYTES_MAX: usize = 1232;

/// Largest answer over UDP to those who do not say what they take (RFC 1035).
pub const UDP_BYTES_MIN: usize = 512;

/// Longest question to the cluster's own zone.
pub const QUESTION_BYTES_MAX: usize = 1232;

/// Answers over UDP to one network (a /24 of IPv4, a /56 of IPv6) in a second, once [`UDP_ANSWERS_BURST`] are used up.
pub const UDP_ANSWERS_PER_SECOND: u32 = 100;

/// Answers over UDP to one network at once.
pub const UDP_ANSWERS_BURST: u32 = 200;

/// Connections to the cluster's own zone at once.
pub const CONNECTIONS_MAX: usize = 64;

/// Questions on one connection.
pub const QUESTIONS_A_CONNECTION_MAX: usize = 32;

/// Time of one connection, all its questions included.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

const _: () = {
    assert!(UDP_BYTES_MIN <= UDP_BYTES_MAX && UDP_BYTES_MAX <= MESSAGE_BYTES_MAX);
    assert!(HOSTS_MAX <= RECORDS_MAX);
    assert!(QUESTION_TIMEOUT.as_millis() < SEARCH_TIMEOUT.as_millis());
    assert!(RETRY_AFTER_MIN.as_secs() < RETRY_AFTER_MAX.as_secs());
    assert!(TICKET_TIMEOUT.as_millis() < CONVERSATION_TIMEOUT.as_millis() / 2);
    // The signing time of a conversation is taken once: it must still hold at its end.
    assert!(CONVERSATION_TIMEOUT.as_secs() < SIGNATURE_FUDGE_SECONDS as u64);
};

//! Every limit of this crate, in one place; each name ends in its unit.

use std::time::Duration;

/// Longest bind that is held for another attempt, with all its fragments, in bytes: one fragment of the largest size.
pub const BIND_BYTES_MAX: usize = 65_535;

/// Longest answer to a bind that is held until it is complete, in bytes.
pub const ANSWER_BYTES_MAX: usize = 65_535;

/// The most bytes that one read takes, and so the most that one direction of an association holds after its bind_ack.
pub const READ_BYTES: usize = 16 * 1024;

/// The most upstreams of all groups, with the targets of `srv:` names.
pub const UPSTREAMS_MAX: usize = 64;

/// The most groups.
pub const GROUPS_MAX: usize = 16;

/// The most interfaces, networks and manual choices of all groups, each.
pub const RULES_MAX: usize = 256;

/// Longest name of a group, in bytes.
pub const GROUP_NAME_BYTES_MAX: usize = 63;

/// Upstreams that one association tries at most.
pub const ATTEMPTS_MAX: usize = 4;

/// Default deadline for connecting to one upstream.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Default deadline from the connection to an upstream to the last byte of its answer to the bind.
pub const BIND_TIMEOUT: Duration = Duration::from_secs(3);

/// Deadline from a client's bind to an upstream's answer, over all attempts.
pub const BINDING_TIMEOUT: Duration = Duration::from_secs(12);

/// Default of the longest time without a byte between two PDUs.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Default of the longest time for one whole PDU, in either direction.
pub const PDU_TIMEOUT: Duration = Duration::from_secs(10);

/// How long associations with outstanding calls stay open when the node stops; with [`CLOSE_TIMEOUT`] at most 5 s.
pub const STOP_TIMEOUT: Duration = Duration::from_millis(4_500);

/// How long the last bytes for a side may take when the node stops.
pub const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Outstanding calls of one association that are known by number; further ones are only counted.
pub const CALLS_MAX: usize = 64;

/// Failed probes in a row that take an upstream out.
pub const PROBES_TO_FAIL: u32 = 3;

/// Time between two probes of one upstream, before jitter.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Largest jitter of [`PROBE_INTERVAL`], in either direction.
pub const PROBE_JITTER: Duration = Duration::from_millis(500);

/// Time before the next probe after one failed and the upstream is not out yet; also the shortest time between two
/// probes of one upstream, whatever asks for them.
pub const PROBE_RETRY: Duration = Duration::from_secs(1);

/// Shortest time between two changes of a group's preferred upstream that follow from health.
pub const CHANGE_INTERVAL: Duration = Duration::from_secs(10);

/// How long a better upstream must be well before it is preferred again.
pub const RETURN_AFTER: Duration = Duration::from_secs(60);

/// Age from which a node's report is not used any more.
pub const REPORT_LIFE: Duration = Duration::from_secs(30);

/// Shortest and longest time for which a name's addresses and targets are used without a new lookup.
pub const TTL_MIN: Duration = Duration::from_secs(5);
/// See [`TTL_MIN`].
pub const TTL_MAX: Duration = Duration::from_secs(300);

/// Deadline of one lookup.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses of one upstream that are tried.
pub const ADDRESSES_MAX: usize = 8;

/// Bytes of one association that are held for its mirrors.
pub const MIRROR_ASSOCIATION_BYTES_MAX: usize = 64 * 1024;

/// Bytes of all associations that are held for mirrors.
pub const MIRROR_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Requests of one association that wait for one mirror.
pub const MIRROR_QUEUE_MAX: usize = 64;

/// Concurrent associations with mirrors.
pub const MIRROR_ASSOCIATIONS_MAX: usize = 1024;

/// Longest answer to a bind or alter_context that a mirror may send, in bytes.
pub const MIRROR_ANSWER_BYTES_MAX: usize = 8 * 1024;

/// Deadline of each answer of a mirror.
pub const MIRROR_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a mirror's association may outlive its client's.
pub const MIRROR_LINGER: Duration = Duration::from_secs(30);

/// Association groups whose upstream is known.
pub const ISSUED_GROUPS_MAX: usize = 65_536;

/// Longest header of the PROXY protocol, in bytes.
pub const PROXY_HEADER_BYTES_MAX: usize = 4096;

const _: () = {
    assert!(STOP_TIMEOUT.as_millis() + CLOSE_TIMEOUT.as_millis() <= 5_000);
    assert!(MIRROR_ASSOCIATION_BYTES_MAX < MIRROR_BYTES_MAX);
    assert!(PROBE_JITTER.as_millis() < PROBE_INTERVAL.as_millis());
    assert!(PROBE_RETRY.as_millis() < PROBE_INTERVAL.as_millis());
    assert!(CONNECT_TIMEOUT.as_secs() + BIND_TIMEOUT.as_secs() < BINDING_TIMEOUT.as_secs());
    assert!(CHANGE_INTERVAL.as_secs() < RETURN_AFTER.as_secs());
    assert!(TTL_MIN.as_secs() < TTL_MAX.as_secs());
};

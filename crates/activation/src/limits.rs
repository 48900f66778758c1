//! All limits of the domain, with the unit last in the name, and the relations between them.

/// The longest request message on the wire, in bytes.
pub const REQUEST_BYTES_MAX: usize = 512;
/// The longest answer message on the wire, in bytes: with the headers of the transport it fits a PDU of
/// [`PDU_BYTES_MAX`].
pub const ANSWER_BYTES_MAX: usize = 512;
/// R2: the longest request and answer PDU for a machine name of 15 characters, in bytes.
pub const PDU_BYTES_MAX: usize = 256;

/// The longest command in the log, in bytes. The store must not receive an entry above 64 KiB.
pub const COMMAND_BYTES_MAX: usize = 60 * 1024;
/// The most records in one batch.
pub const BATCH_RECORDS_MAX: usize = 1024;
/// The offset of the last record in a full batch.
pub const OFFSET_MAX: u32 = 1023;
/// The longest signed catalog, encoded, in bytes: one command carries it.
pub const CATALOG_BYTES_MAX: usize = COMMAND_BYTES_MAX - 64;
/// The longest TOML text of a catalog, in bytes, before it is parsed.
pub const CATALOG_TEXT_BYTES_MAX: usize = 1024 * 1024;
/// The longest text of a trust file, in bytes; it may embed a catalog in base64.
pub const TRUST_TEXT_BYTES_MAX: usize = 128 * 1024;
/// The longest encoded outcome that nodes send to each other, in bytes.
pub const OUTCOME_BYTES_MAX: usize = 64;

pub const PRODUCTS_MAX: usize = 1000;
pub const APPLICATIONS_MAX: usize = 64;
pub const GROUPS_MAX: usize = 64;
pub const PLATFORMS_MAX: usize = 255;
pub const EDITIONS_MAX: usize = 32;
/// The most keys and certificates that a catalog blocks.
pub const BLOCKED_MAX: usize = 2000;
/// From this number of blocked keys and certificates on, signing a catalog warns that [`BLOCKED_MAX`] is near.
pub const BLOCKED_WARNING: usize = 1500;
/// The longest [`crate::catalog::Name`], in bytes.
pub const NAME_BYTES_MAX: usize = 48;
/// The longest title, edition name and publisher's name, in bytes.
pub const TITLE_BYTES_MAX: usize = 96;
pub const MACHINE_NAME_BYTES_MAX: usize = 63;

/// R9 has 5 and 25; this is the highest threshold that a catalog may have. It bounds the largest count of an answer,
/// which clients check, the cost of one application in memory, in snapshots and in each read of its count, and with
/// it [`CMIDS_MAX`]. Clients refuse an answer above their version's limit, and nodes refuse such a catalog: a node
/// of an older version would refuse a catalog that the others install, and its state would differ. So this value
/// never changes.
pub const THRESHOLD_MAX: u32 = 10_000;
/// R12: a cache keeps twice the threshold.
pub const CACHE_FACTOR: u32 = 2;
/// The most CMIDs one application remembers, and so the highest count.
pub const COUNT_MAX: u32 = CACHE_FACTOR * THRESHOLD_MAX;
/// The most CMIDs that a state remembers, in all applications of all publishers: 20,480,000.
pub const CMIDS_MAX: u64 = PUBLISHERS_MAX as u64 * APPLICATIONS_MAX as u64 * COUNT_MAX as u64;
/// The most bytes that one CMID takes in a snapshot, with the longest machine name and the largest numbers.
pub const SEEN_BYTES_MAX: usize = 139;
/// The most bytes that the rest of the state takes in a snapshot: catalogs, keys, certificates, the audit, outcomes,
/// settings.
pub const STATE_REST_BYTES_MAX: u64 = 64 << 20;
/// The largest state in a snapshot, in bytes: 2.9 GB.
pub const STATE_BYTES_MAX: u64 = CMIDS_MAX * SEEN_BYTES_MAX as u64 + STATE_REST_BYTES_MAX;

/// R36: range of both intervals.
pub const INTERVAL_MINUTES_MIN: u32 = 15;
pub const INTERVAL_MINUTES_MAX: u32 = 43_200;
/// R14: a client that is not activated asks again after two hours.
pub const ACTIVATION_INTERVAL_MINUTES_DEFAULT: u32 = 120;
/// R14: an activated client renews every seven days.
pub const RENEWAL_INTERVAL_MINUTES_DEFAULT: u32 = 10_080;

/// R10: a CMID is forgotten this long after its last request.
pub const CMID_LIFETIME_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// The longest encoded lifecycle of a client, in bytes.
pub const LIFECYCLE_BYTES_MAX: usize = 512;
/// How far a client's clock may differ from cluster time, in milliseconds; beyond that the host refuses with
/// 0xC004F06C.
pub const CLOCK_SKEW_MS_MAX: u64 = 4 * 60 * 60 * 1000;
/// Clock samples older than this, in milliseconds, are not used.
pub const CLOCK_SAMPLE_AGE_MS_MAX: u64 = 60 * 1000;
/// An unconfirmed jump that is larger than this raises an alarm. In formats 1 and 2 cluster time moves at most this
/// far beyond the elapsed time without [`CLOCK_CONFIRMATIONS_MIN`] samples.
pub const CLOCK_JUMP_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// Synchronised clocks that differ by more than this do not confirm each other, and cluster time that is further
/// ahead of the clocks raises an alarm.
pub const CLOCK_AGREEMENT_MS: u64 = 5 * 60 * 1000;
/// Formats 1 and 2: this number of samples confirms a jump of any size.
pub const CLOCK_CONFIRMATIONS_MIN: usize = 3;

/// The highest time on the wire and in the log: seven bytes as a varint, until the year 10889.
pub const TIME_MS_MAX: u64 = (1 << 48) - 1;
/// The highest log index on the wire: eight bytes as a varint.
pub const LOG_INDEX_MAX: u64 = (1 << 56) - 1;
/// The highest node id; the lowest is 1.
pub const NODE_ID_MAX: u64 = 65_535;

/// The most publishers, keys and certificates that a cluster holds.
pub const PUBLISHERS_MAX: usize = 16;
pub const KEYS_MAX: usize = 256;
pub const CERTIFICATES_MAX: usize = 1024;

/// The most nodes with an announcement.
pub const ANNOUNCEMENTS_MAX: usize = 64;
/// The number of audit entries that are kept, and the longest of their texts in bytes.
pub const AUDIT_ENTRIES_KEPT: usize = 1000;
pub const AUDIT_TEXT_BYTES_MAX: usize = 200;
/// The number of commands carried out once whose outcomes are remembered.
pub const OUTCOMES_KEPT: usize = 4096;
/// The most values of a code in the log.
pub const CODED_VALUES_MAX: usize = 16;
/// The most unused tokens.
pub const TOKENS_MAX: usize = 64;
/// The number of used tokens whose result is remembered, so that a bearer that did not receive the first reply gets
/// it again.
pub const SPENT_TOKENS_MAX: usize = 64;
/// The longest certificate of a node or a person, in bytes of DER.
pub const CERTIFICATE_BYTES_MAX: usize = 2_048;
/// The most registered keys of nodes and persons.
pub const REGISTRATIONS_MAX: usize = 2_000;
/// Maximum number of nodes that joined with a token and may still add themselves to the cluster.
pub const JOINING_MAX: usize = 64;
/// How long such a node may add itself after it used its token, in milliseconds: 24 hours.
pub const JOINING_MS: u64 = 24 * 60 * 60 * 1000;
/// The most keys that one command registers.
pub const REGISTRATIONS_AT_ONCE_MAX: usize = 64;
/// The most revocations that are kept, for clusters whose certificates an organisation's authority issues.
pub const REVOCATIONS_MAX: usize = 2_000;
/// The longest certificate of an authority, in bytes of DER.
pub const AUTHORITY_BYTES_MAX: usize = 4_096;
/// The longest serial number of a certificate, in bytes (RFC 5280, section 4.1.2.2).
pub const SERIAL_BYTES_MAX: usize = 20;
/// The longest name of a person, in bytes.
pub const PERSON_NAME_BYTES_MAX: usize = 64;
/// The most addresses that a node announces.
pub const ADDRESSES_MAX: usize = 16;
/// The most entries of the publish list (R26).
pub const DOMAINS_MAX: usize = 16;

/// The most upstreams of the gateway.
pub const UPSTREAMS_MAX: usize = 24;

/// The most groups of upstreams with a rule of their own.
pub const UPSTREAM_GROUPS_MAX: usize = 8;

/// The most interfaces that a group of upstreams lists.
pub const GROUP_INTERFACES_MAX: usize = 8;

/// The most client networks that a group of upstreams lists.
pub const GROUP_NETWORKS_MAX: usize = 32;

/// Largest replication lag, in log entries, at which a node still counts as caught up: about the entries of one busy
/// second. A learner with a larger lag gets no vote; a voter with a larger lag answers no client machines.
pub const LAG_ENTRIES_MAX: u64 = 1000;
/// The leader logs its state hash at every index that is a multiple of this.
pub const STATE_HASH_INTERVAL_ENTRIES: u64 = 1024;
/// The number of a node's own state hashes that are kept for comparison.
pub const STATE_HASHES_KEPT: usize = 8;

const _: () = assert!(COMMAND_BYTES_MAX <= 64 * 1024);
const _: () = assert!(OFFSET_MAX as usize + 1 == BATCH_RECORDS_MAX);
const _: () = assert!(CATALOG_BYTES_MAX < COMMAND_BYTES_MAX);
const _: () = assert!(REQUEST_BYTES_MAX >= PDU_BYTES_MAX && ANSWER_BYTES_MAX >= PDU_BYTES_MAX);
const _: () = assert!(INTERVAL_MINUTES_MIN <= ACTIVATION_INTERVAL_MINUTES_DEFAULT);
const _: () = assert!(RENEWAL_INTERVAL_MINUTES_DEFAULT <= INTERVAL_MINUTES_MAX);
// Certificates and release statements take less than 1 KiB each; an audit record has two codes, an outcome has one.
const _: () = assert!(
    ((PUBLISHERS_MAX * (CATALOG_BYTES_MAX + 2 * CERTIFICATES_MAX * 1024)
        + (2 * AUDIT_ENTRIES_KEPT + OUTCOMES_KEPT) * CODED_VALUES_MAX * AUDIT_TEXT_BYTES_MAX) as u64)
        < STATE_REST_BYTES_MAX
);
const _: () = assert!(CLOCK_AGREEMENT_MS < CLOCK_SKEW_MS_MAX);
const _: () = assert!(CLOCK_SKEW_MS_MAX < CLOCK_JUMP_MS_MAX && CLOCK_JUMP_MS_MAX < CMID_LIFETIME_MS);

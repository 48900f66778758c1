//! Every limit of the domain in one place, unit last in the name, and the relations between them.

/// A request message on the wire.
pub const REQUEST_BYTES_MAX: usize = 512;
/// An answer message on the wire: with the headers of the transport it fits a PDU of [`PDU_BYTES_MAX`].
pub const ANSWER_BYTES_MAX: usize = 512;
/// R2: request and answer PDU for a machine name of 15 characters.
pub const PDU_BYTES_MAX: usize = 256;

/// One command of the log. The store must not see an entry above 64 KiB.
pub const COMMAND_BYTES_MAX: usize = 60 * 1024;
/// Records in one batch.
pub const BATCH_RECORDS_MAX: usize = 1024;
/// Place of the last record in a batch.
pub const OFFSET_MAX: u32 = 1023;
/// A signed catalog, encoded: it travels in one command.
pub const CATALOG_BYTES_MAX: usize = COMMAND_BYTES_MAX - 64;
/// The TOML text of a catalog, before it is parsed.
pub const CATALOG_TEXT_BYTES_MAX: usize = 1024 * 1024;
/// The text of a trust file, which may embed a catalog in base64.
pub const TRUST_TEXT_BYTES_MAX: usize = 128 * 1024;
/// One outcome between nodes.
pub const OUTCOME_BYTES_MAX: usize = 64;

pub const PRODUCTS_MAX: usize = 1000;
pub const APPLICATIONS_MAX: usize = 64;
pub const GROUPS_MAX: usize = 64;
pub const PLATFORMS_MAX: usize = 255;
pub const EDITIONS_MAX: usize = 32;
/// Keys and certificates that a catalog blocks.
pub const BLOCKED_MAX: usize = 2000;
/// From so many on, signing a catalog warns that the room of [`BLOCKED_MAX`] ends.
pub const BLOCKED_WARNING: usize = 1500;
/// A [`crate::catalog::Name`].
pub const NAME_BYTES_MAX: usize = 48;
/// Titles, editions and the publisher's name: text for people.
pub const TITLE_BYTES_MAX: usize = 96;
pub const MACHINE_NAME_BYTES_MAX: usize = 63;

/// R9 has 5 and 25; this is the most a catalog may ask for. It bounds the largest count of an answer, which clients check; what
/// one application costs in memory, in snapshots and in each look at its count; and with it [`CMIDS_MAX`]. Clients refuse an
/// answer above their version's limit, and nodes a catalog: a node of an older version would refuse what the others install, and
/// its state would differ. So it stays what it is.
pub const THRESHOLD_MAX: u32 = 10_000;
/// R12: a cache keeps twice the threshold.
pub const CACHE_FACTOR: u32 = 2;
/// The most CMIDs one application remembers, and so the highest count.
pub const COUNT_MAX: u32 = CACHE_FACTOR * THRESHOLD_MAX;
/// The most CMIDs that a state remembers, in all applications of all publishers: 20,480,000.
pub const CMIDS_MAX: u64 = PUBLISHERS_MAX as u64 * APPLICATIONS_MAX as u64 * COUNT_MAX as u64;
/// What one CMID takes in a snapshot, with the longest machine name and the largest numbers.
pub const SEEN_BYTES_MAX: usize = 139;
/// What all else takes in a snapshot: catalogs, keys, certificates, the audit, outcomes, settings.
pub const STATE_REST_BYTES_MAX: u64 = 64 << 20;
/// The largest state in a snapshot: 2.9 GB.
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
/// A client's lifecycle as it is kept.
pub const LIFECYCLE_BYTES_MAX: usize = 512;
/// 0xC004F06C: a client's clock may differ by this much and no more.
pub const CLOCK_SKEW_MS_MAX: u64 = 4 * 60 * 60 * 1000;
/// A clock sample older than this says nothing.
pub const CLOCK_SAMPLE_AGE_MS_MAX: u64 = 60 * 1000;
/// An unconfirmed jump that is further is an alarm; in formats 1 and 2 cluster time moves at most this far beyond the elapsed
/// time without [`CLOCK_CONFIRMATIONS_MIN`] samples.
pub const CLOCK_JUMP_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// Synchronised clocks that differ by more do not confirm each other, and cluster time that is further ahead is an alarm.
pub const CLOCK_AGREEMENT_MS: u64 = 5 * 60 * 1000;
/// Formats 1 and 2: as many samples confirm a jump of any size.
pub const CLOCK_CONFIRMATIONS_MIN: usize = 3;

/// Times on the wire and in the log: seven bytes as a varint, until the year 10889.
pub const TIME_MS_MAX: u64 = (1 << 48) - 1;
/// Log indices on the wire: eight bytes as a varint.
pub const LOG_INDEX_MAX: u64 = (1 << 56) - 1;
/// Node ids: 1 to this.
pub const NODE_ID_MAX: u64 = 65_535;

/// Publishers, keys and certificates that a cluster holds.
pub const PUBLISHERS_MAX: usize = 16;
pub const KEYS_MAX: usize = 256;
pub const CERTIFICATES_MAX: usize = 1024;

/// Nodes that say where they are found.
pub const ANNOUNCEMENTS_MAX: usize = 64;
/// Entries of the audit that are kept, and bytes of each of their texts.
pub const AUDIT_ENTRIES_KEPT: usize = 1000;
pub const AUDIT_TEXT_BYTES_MAX: usize = 200;
/// Commands that are carried out once, and whose outcomes are remembered.
pub const OUTCOMES_KEPT: usize = 4096;
/// Values that belong to a code in the log.
pub const CODED_VALUES_MAX: usize = 16;
/// Join tokens that wait for their bearers.
pub const TOKENS_MAX: usize = 64;
/// Used join tokens that are answered again, to those who did not get the first reply.
pub const SPENT_TOKENS_MAX: usize = 64;
/// Longest certificate of a node or a person, in bytes of DER.
pub const CERTIFICATE_BYTES_MAX: usize = 2_048;
/// Keys of nodes and persons that may take part.
pub const REGISTRATIONS_MAX: usize = 2_000;
/// Keys that one command registers.
pub const REGISTRATIONS_AT_ONCE_MAX: usize = 64;
/// Revocations that are kept, for clusters whose certificates an organisation's authority issues.
pub const REVOCATIONS_MAX: usize = 2_000;
/// Longest certificate of an authority, in bytes of DER.
pub const AUTHORITY_BYTES_MAX: usize = 4_096;
/// Longest serial number of a certificate, in bytes (RFC 5280, section 4.1.2.2).
pub const SERIAL_BYTES_MAX: usize = 20;
/// Longest name of a person, in bytes.
pub const PERSON_NAME_BYTES_MAX: usize = 64;
/// Addresses that a node announces.
pub const ADDRESSES_MAX: usize = 16;
/// Entries of the publish list (R26).
pub const DOMAINS_MAX: usize = 16;

/// Largest replication lag, in log entries, at which a node still counts as caught up: what a busy second brings. A learner
/// that lags more gets no vote, a voter that does answers no clients.
pub const LAG_ENTRIES_MAX: u64 = 1000;
/// The leader logs its state hash at every index that is a multiple of this.
pub const STATE_HASH_INTERVAL_ENTRIES: u64 = 1024;
/// Own hashes kept for comparison.
pub const STATE_HASHES_KEPT: usize = 8;

const _: () = assert!(COMMAND_BYTES_MAX <= 64 * 1024);
const _: () = assert!(OFFSET_MAX as usize + 1 == BATCH_RECORDS_MAX);
const _: () = assert!(CATALOG_BYTES_MAX < COMMAND_BYTES_MAX);
const _: () = assert!(REQUEST_BYTES_MAX >= PDU_BYTES_MAX && ANSWER_BYTES_MAX >= PDU_BYTES_MAX);
const _: () = assert!(INTERVAL_MINUTES_MIN <= ACTIVATION_INTERVAL_MINUTES_DEFAULT);
const _: () = assert!(RENEWAL_INTERVAL_MINUTES_DEFAULT <= INTERVAL_MINUTES_MAX);
// Certificates, and releases of them, take less than 1 KiB each; a record of the audit has two codes, an outcome has one.
const _: () = assert!(
    ((PUBLISHERS_MAX * (CATALOG_BYTES_MAX + 2 * CERTIFICATES_MAX * 1024)
        + (2 * AUDIT_ENTRIES_KEPT + OUTCOMES_KEPT) * CODED_VALUES_MAX * AUDIT_TEXT_BYTES_MAX) as u64)
        < STATE_REST_BYTES_MAX
);
const _: () = assert!(CLOCK_AGREEMENT_MS < CLOCK_SKEW_MS_MAX);
const _: () = assert!(CLOCK_SKEW_MS_MAX < CLOCK_JUMP_MS_MAX && CLOCK_JUMP_MS_MAX < CMID_LIFETIME_MS);

//! Every limit of this crate; each name ends in its unit.

use std::time::Duration;

/// Longest value, in bytes. sled writes a page above a quarter of a segment to `blobs/`, without any sync.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Size of sled's log segments, in bytes.
pub const SEGMENT_BYTES: usize = 8 << 20;

/// Size of sled's page cache, in bytes. A node keeps what it reads often in memory itself.
pub const CACHE_BYTES: u64 = 32 << 20;

/// Largest number of writes in the queue for the next barrier. A caller that finds the queue full waits.
pub const QUEUED_WRITES_MAX: usize = 4096;

/// Largest number of writes that one barrier covers.
pub const WRITES_PER_BARRIER_MAX: usize = 1024;

/// Number of bytes that are copied at once while a store is opened.
pub const COPY_CHUNK_BYTES: usize = 1 << 20;

/// Number of records that are read between two reports while a store is opened.
pub const RECORDS_PER_REPORT: u64 = 4096;

/// How often the progress of opening a store is logged.
pub const OPENING_LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Longest time of a step of the opening that cannot report its progress, for each MiB of the database, in addition
/// to [`OPENING_STEP_MIN`].
pub const OPENING_STEP_PER_MIB: Duration = Duration::from_millis(250);
/// Longest time between two reports of an opening whose step reports its progress.
pub const OPENING_STEP_MIN: Duration = Duration::from_secs(60);

/// Free space that opening a store needs in addition to the space for the copy, in bytes: sled begins a new
/// segment.
pub const OPENING_ROOM_BYTES: u64 = SEGMENT_BYTES as u64;

/// How long sled may take to release a database that was closed.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The newest store format that this version reads, and the one that it writes.
pub const FORMAT: u32 = 1;

const _: () = assert!(SEGMENT_BYTES >= 8 << 20 && VALUE_BYTES_MAX <= SEGMENT_BYTES / 4 / 16);
const _: () = assert!(WRITES_PER_BARRIER_MAX <= QUEUED_WRITES_MAX);

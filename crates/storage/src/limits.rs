//! Every bound of this crate, with its unit last in the name.

use std::time::Duration;

/// Longest value, in bytes. sled writes a page above a quarter of a segment to `blobs/`, without any sync.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Size of sled's log segments, in bytes.
pub const SEGMENT_BYTES: usize = 8 << 20;

/// sled's page cache, in bytes. What a node reads often it keeps in memory itself.
pub const CACHE_BYTES: u64 = 32 << 20;

/// Writes that may wait for the next barrier before the callers are made to wait.
pub const QUEUED_WRITES_MAX: usize = 4096;

/// Writes that one barrier may cover.
pub const WRITES_PER_BARRIER_MAX: usize = 1024;

/// Bytes that are copied at once while a store is opened.
pub const COPY_CHUNK_BYTES: usize = 1 << 20;

/// Records that are read between two reports while a store is opened.
pub const RECORDS_PER_REPORT: u64 = 4096;

/// How often the log says how far the opening of a store is.
pub const OPENING_LOG_INTERVAL: Duration = Duration::from_secs(5);

/// How long the steps of an opening that cannot report take at most, for each MiB of the database,
pub const OPENING_STEP_PER_MIB: Duration = Duration::from_millis(250);
/// and besides.
pub const OPENING_STEP_MIN: Duration = Duration::from_secs(60);

/// Free space that opening a store needs besides that for the copy, in bytes: sled begins a new segment.
pub const OPENING_ROOM_BYTES: u64 = SEGMENT_BYTES as u64;

/// How long sled may take to let go of a database that was closed.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The newest store format that this binary reads, and the one it writes.
pub const FORMAT: u32 = 1;

const _: () = assert!(SEGMENT_BYTES >= 8 << 20 && VALUE_BYTES_MAX <= SEGMENT_BYTES / 4 / 16);
const _: () = assert!(WRITES_PER_BARRIER_MAX <= QUEUED_WRITES_MAX);

//! Every bound of this crate, with its unit last in the name.

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

/// The newest store format that this binary reads, and the one it writes.
pub const FORMAT: u32 = 1;

const _: () = assert!(SEGMENT_BYTES >= 8 << 20 && VALUE_BYTES_MAX <= SEGMENT_BYTES / 4 / 16);
const _: () = assert!(WRITES_PER_BARRIER_MAX <= QUEUED_WRITES_MAX);

//! Thresholds of the checks, with their unit last in the name. A clock fails at
//! [`activation::limits::CLOCK_SKEW_MS_MAX`]; a node lags from [`activation::limits::LAG_ENTRIES_MAX`] on.

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A clock that is off by more than this is reported, in milliseconds.
pub const CLOCK_WARNING_MS: u64 = 60_000;

/// fsync latency below this, in microseconds, means that the disk does not wait for its medium.
pub const SYNC_US_MIN: u64 = 5;

/// Largest fsync latency that is not reported, in microseconds.
pub const SYNC_US_MAX: u64 = 50_000;

/// Open files are reported from this share of the limit on, in percent.
pub const DESCRIPTORS_PERCENT_MAX: u64 = 90;

/// A certificate is reported this long before it ends, in milliseconds.
pub const CERTIFICATE_WARNING_MS: u64 = 14 * DAY_MS;

/// A count is reported this long before it is expected to fall below a threshold, in milliseconds.
pub const COUNT_WARNING_MS: u64 = 7 * DAY_MS;

/// Up to this number of new machines within an hour, which no count remembered, is never reported: half of the cache
/// limit for a threshold of 25.
pub const NEW_CMIDS_MIN: u64 = 25;

/// More new machines are reported where they are at least this many times the usual number.
pub const NEW_CMIDS_FACTOR: u64 = 3;

/// Smallest share of an application's count, in percent, from which on machines that did not renew are reported.
pub const UNRENEWED_PERCENT_MIN: u32 = 40;

/// Largest number of machines that did not renew which is never reported: half of the cache limit for a threshold
/// of 25.
pub const UNRENEWED_MIN: u32 = 25;

/// A client's licence with less time left than this, in minutes, was not renewed for long: a licence lasts 180 days
/// and is renewed every 7 days.
pub const LICENCE_WARNING_MINUTES: u64 = 30 * 24 * 60;

const _: () = assert!(CLOCK_WARNING_MS < activation::limits::CLOCK_SKEW_MS_MAX);
const _: () = assert!(SYNC_US_MIN < SYNC_US_MAX);

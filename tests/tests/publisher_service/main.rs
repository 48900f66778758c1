//! The publisher's service as a process: what it gave outlives kills, strangers and other publishers get nothing, and
//! commands go on working beside it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod beside;
mod house;
mod kills;
mod strangers;

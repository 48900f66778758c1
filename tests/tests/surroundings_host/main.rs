//! A host under adverse conditions: logs that are not read, signals, few descriptors, full disks, moved folders.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod addresses;
mod descriptors;
mod folders;
mod forming;
mod health;
mod logs;
mod signals;
mod version;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const PRODUCT: &str = "server-standard-2";

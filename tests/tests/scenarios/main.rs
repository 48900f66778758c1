//! What befalls a cluster, while machines ask all the time: real processes, each node in a network namespace of its own.
//!
//! Minutes in all, so they are left out of the usual run: `cargo xtask test cluster` runs them and prints a table of the
//! figures. Each ends with every answer looked up by its log index in every log, and with one state on all nodes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod disks;
mod divergence;
mod faults;
mod links;
mod members;
mod scene;
mod surroundings;
mod upgrades;

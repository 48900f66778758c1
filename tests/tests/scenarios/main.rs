//! Faults and changes of a cluster while machines ask all the time: real processes, each node in its own network
//! namespace.
//!
//! They take minutes, so the usual run leaves them out. `cargo xtask test cluster` runs them and prints a table of
//! the figures. Each scenario ends by looking up every answer by its log index in every log, and by checking that all
//! nodes have the same state.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod disks;
mod divergence;
mod faults;
mod links;
mod members;
mod scene;
mod surroundings;
mod upgrades;

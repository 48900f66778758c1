//! The publisher's service as a process: its certificates outlive kills, requests from strangers and for other
//! publishers are refused, and commands work while it runs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod beside;
mod house;
mod kills;
mod strangers;

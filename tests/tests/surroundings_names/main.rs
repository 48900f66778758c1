//! Names and addresses around a node that fail, change, or differ from the node's own: DNS servers, resolver
//! configuration, key files, addresses of nodes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod addresses;
mod console;
mod keys;
mod members;
mod port_1688;
mod published;
mod resolver;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");

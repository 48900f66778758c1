//! This crate's side of openraft's interfaces: types, log, state machine, snapshot file, network.

pub(crate) mod consensus;
pub(crate) mod incoming;
pub(crate) mod lease;
pub(crate) mod log;
pub(crate) mod network;
pub(crate) mod sending;
pub(crate) mod snapshot_file;
pub(crate) mod state_machine;
pub(crate) mod types;
pub(crate) mod wire;

#[cfg(test)]
mod suite;

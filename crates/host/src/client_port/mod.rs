//! Port 1688: connections of client machines, limited in total and per source, and the signed answers to their
//! requests.

pub(crate) mod answer;
mod connection;
pub(crate) mod decider;
pub(crate) mod foreign;
pub(crate) mod server;

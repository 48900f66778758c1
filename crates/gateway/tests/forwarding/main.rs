//! The gateway with real sockets on loopback.

mod bed;
mod bytes;
mod failures;
mod hostile;
mod mirror;
mod pdus;
mod upstreams;

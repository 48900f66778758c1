//! The gateway with real sockets on loopback.

#![cfg(test)]

mod bed;
mod bytes;
mod failures;
mod hostile;
mod mirror;
mod pdus;
mod upstreams;

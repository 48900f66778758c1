//! Publishing and finding against a real `named`, and against malicious servers.

#![cfg(test)]

mod finding;
mod hostile;
mod named;
mod publishing;
mod refused;
mod serving;

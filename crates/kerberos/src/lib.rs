//! The system's Kerberos library, as far as a service account needs it that signs messages: a ticket from a keytab, a
//! context with one service, and signatures (MICs) in it.
//!
//! Without the feature `system` the crate is empty: the library is the system's, and not every system has it.
//!
//! Every call but [`Context::sign`] and [`Context::verify`] may speak with a KDC and wait for it: they belong on a thread
//! that may wait.
//!
//! Invariant: never reads or changes the process's environment, and never leaves a ticket in a file: each account has its
//! own cache, in memory.

#![cfg(feature = "system")]

mod account;
mod context;
mod credential;
mod diagnosis;
mod error;

pub use account::Account;
pub use context::{Context, Stage};
pub use error::KerberosError;

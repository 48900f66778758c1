//! The part of the system's Kerberos library that a service account needs to sign messages: a ticket from a keytab,
//! a context with one service, and signatures (MICs) in it.
//!
//! Without the feature `system` the crate is empty, because not every system has the library.
//!
//! Every call except [`Context::sign`] and [`Context::verify`] may wait for a KDC, so make it on a thread that may
//! block.
//!
//! ```
//! use kerberos::{Account, KerberosError};
//!
//! let folder = tempfile::tempdir()?;
//! let keytab = folder.path().join("quorate.keytab");
//! let missing = Account::new(keytab.clone(), Some("quorate@EXAMPLE.TEST".to_owned()));
//! assert!(matches!(missing, Err(KerberosError::Keytab { path, .. }) if path == keytab));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Invariant: never reads or changes the process's environment, and never leaves a ticket in a file: each account
//! has its own cache, in memory.

#![cfg(feature = "system")]

mod account;
mod context;
mod credential;
mod diagnosis;
mod error;

pub use account::Account;
pub use context::{Context, Stage};
pub use error::KerberosError;

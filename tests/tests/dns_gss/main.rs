//! Updates signed with a Kerberos context (GSS-TSIG), against a BIND with a KDC of MIT's and against Samba's directory.
//!
//! They stand for what `docs/dns.md` says of Active Directory: one service account, its keytab, a zone that takes only
//! secure updates, and what a second account meets there. What is said there of Windows' own commands is not run here.
//!
//! Each test runs itself again on a machine of its own (a network and a set of processes): directories answer on fixed
//! ports, and Kerberos is configured for a whole process.

#![cfg(feature = "gss-tsig")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bind;
mod machine;
mod samba;

//! Updates signed with a Kerberos context (GSS-TSIG), against BIND with an MIT KDC and against Samba's directory.
//!
//! They test what `docs/dns.md` says of Active Directory: one service account, its keytab, a zone that accepts only
//! secure updates, and the errors of a second account. Windows' own commands in that document are not tested here.
//!
//! Each test runs itself again on an isolated machine (its own network and processes), because directories use fixed
//! ports and Kerberos is configured for a whole process.

#![cfg(feature = "gss-tsig")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bind;
mod machine;
mod samba;

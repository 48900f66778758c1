//! A host's DNS records: published by dynamic update, watched, and found (R16 to R18, R25 to R29).
//!
//! Two halves share the words of [`DnsName`] and [`Srv`]:
//!
//! - **publishing**: what a node wants to stand in DNS ([`Desired`]) is compared with what stands there, and the difference
//!   is one RFC 2136 update over TCP ([`RecordPublisher`]). What stands there is judged against the membership by [`classify`].
//! - **finding**: SRV records are looked up and ordered by RFC 2782 ([`Finder`], [`order`]), one host is tried after the
//!   other ([`Preferred`]), its addresses as RFC 8305 says ([`connect`]).
//!
//! And a third, small one, **serving**: the cluster answers for a zone of its own ([`serve`]).
//!
//! Signing time and randomness are parameters; the deadlines run on tokio's clock.
//!
//! Invariant: never removes or changes a record that is not the caller's own or, for a dead member, that member's SRV
//! record; never sends an update unsigned unless told so by name; never lets a DNS server decide how much memory or time
//! an exchange takes.

#![forbid(unsafe_code)]

mod finding;
pub mod limits;
mod name;
mod publishing;
mod record;
mod serving;

pub use finding::{
    AskedName, ConnectAttempt, ConnectError, FindError, Finder, FixedHost, FixedHostError, FoundHost, NameAnswer,
    NextStep, Preferred, Search, connect, interleave, order,
};
pub use name::{DnsName, NameError};
pub use publishing::{
    Addresses, Algorithm, AnswerSignatures, ChangeReport, Credentials, Desired, Domain, JudgedRecord, KeyFileError,
    MemberRecord, Neighbours, PresentRecords, Primary, PrimaryError, PublishError, RecordChange, RecordPublisher,
    RecordState, RefusedChange, Schedule, TsigKey, Update, classify, delegation_lines, difference, update_policy,
    withdrawal, zone_lines,
};
#[cfg(feature = "gss-tsig")]
pub use publishing::{GssKey, KerberosError};
pub use record::{AddressRecord, Srv, SrvRecord};
pub use serving::{Delegated, DelegatedError, Snapshot, serve};

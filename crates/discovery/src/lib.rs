//! A host's DNS records: published by dynamic update, watched, and discovered (R16 to R18, R25 to R29).
//!
//! Two parts share the types [`DnsName`] and [`Srv`]:
//!
//! - **publishing**: a node's records ([`Desired`]) are compared with the records in DNS, and the difference is one
//!   RFC 2136 update over TCP ([`RecordPublisher`]). [`classify`] compares the records in DNS with the membership.
//! - **finding**: SRV records are looked up and ordered by RFC 2782 ([`Finder`], [`order`]), hosts are tried one
//!   after the other ([`Preferred`]), and the addresses of each by RFC 8305 ([`connect`]).
//!
//! A third, small part is **serving**: the cluster is the DNS server of its own zone ([`serve`]).
//!
//! ```
//! use discovery::{Desired, Domain, Neighbours, PresentRecords, RecordChange, difference};
//!
//! let desired = Desired {
//!     service: Desired::SERVICE.to_owned(),
//!     domain: Domain { name: "example.test".parse()?, priority: 0, weight: 60 },
//!     target: "node1.example.test".parse()?,
//!     port: 1688,
//!     ttl_seconds: Desired::TTL_SECONDS,
//!     addresses: Vec::new(),
//! };
//! let present = PresentRecords { srv: Vec::new(), addresses: None };
//! let update = difference(&desired, &present, &Neighbours::default())?;
//! assert_eq!(update.service_name.to_string(), "_vlmcs._tcp.example.test.");
//! assert_eq!(update.changes, [RecordChange::AddSrv { srv: desired.srv(), ttl_seconds: 300 }]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Signing time and randomness are parameters; deadlines use tokio's clock.
//!
//! Invariant: never removes or changes a record that is not the caller's own or, for a dead member, that member's
//! SRV record; never sends an unsigned update unless the configuration requires it explicitly; never lets a DNS
//! server decide how much memory or time an exchange takes.

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

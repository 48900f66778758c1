//! What administrators read, shared by the daemon (console) and the command line.
//!
//! | module | subject |
//! |---|---|
//! | `finding` | what a check reports: verdict, text, remedy |
//! | `remedy` | what to do about a finding, and the commands in it |
//! | `cluster` | an observation of a whole cluster, and its checks |
//! | `client` | an observation of one client machine, and its checks |
//! | `time_text` | times as text, in UTC |
//! | `printable` | untrusted text, made safe to print |
//! | `wire` | the enums of `admin.proto`: texts, and messages of earlier versions |
//! | `limits` | the thresholds of all checks |
//!
//! ```
//! use admin::{Verdict, client::{ClientObservation, HostProbe, MachineObservation, ProbeResult, check}};
//!
//! let silent = ProbeResult::NoConnection("connection refused".to_owned());
//! let observation = ClientObservation {
//!     fixed_host: Some("node1.example.test:1688".to_owned()),
//!     named_hosts: None,
//!     hosts: vec![HostProbe { target: "node1.example.test".to_owned(), port: 1688, result: silent }],
//!     machine: MachineObservation::NotRequested,
//!     now_ms: 1_790_000_000_000,
//! };
//! let failed = check(&observation).into_iter().find(|finding| finding.verdict == Verdict::Failure);
//! assert_eq!(failed.map(|finding| finding.check), Some("hosts"));
//! ```
//!
//! Invariant: never does I/O and never reads a clock: observations and times are arguments.

pub mod client;
pub mod cluster;
mod finding;
pub mod limits;
mod printable;
mod remedy;
pub mod time_text;
pub mod wire;

pub use finding::{Finding, Verdict};
pub use printable::printable;
pub use remedy::Remedy;

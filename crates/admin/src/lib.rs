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

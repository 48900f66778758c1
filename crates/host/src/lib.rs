//! The daemon of one node.
//!
//! [`Config`] says what it is told, [`Node`] is what runs: port 1688 for clients, the peer service, the administration
//! socket. Clocks, randomness and sockets enter here and are handed down.
//!
//! Invariant: never decides a count, nor a refusal but that of its own changed machine: it asks the replica, signs what
//! comes back, and bounds what comes in.

mod activations;
mod admin;
mod answer;
mod clients;
mod cluster_status;
pub mod config;
mod connection;
mod console;
mod credentials;
mod desk;
mod distinct;
mod dns;
pub mod doctor;
mod drain;
mod duplicates;
mod examine;
mod hardware;
pub mod identity;
pub mod init;
mod inquiry;
mod invariants;
mod leave;
pub mod limits;
mod live;
mod log_limit;
pub mod metrics;
pub mod moment;
mod node;
mod peers;
mod printable;
mod question;
pub mod rescue;
mod seen;
pub mod settings;
mod sources;
mod surroundings;
mod test_hooks;

pub use admin::AdminError;
pub use answer::Answers;
pub use config::{Config, ConfigError, Overrides};
pub use leave::{HasLeft, LeaveError};
pub use log_limit::{LogLimit, lines_left_out};
pub use node::{Node, Start, StartError, Timing};
pub use printable::printable;
pub use surroundings::SystemClock;

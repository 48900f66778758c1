//! The daemon of one node.
//!
//! [`Config`] is the configuration of a node, [`Node`] is a running node: port 1688 for clients, the services for
//! other nodes, the administration socket. Clocks, randomness and sockets enter in this crate and are passed to the
//! others.
//!
//! | folder | subject |
//! |---|---|
//! | `config` | the configuration: file, variables, flags |
//! | `node` | one running node: how its parts are opened, started and stopped |
//! | `client_port` | port 1688: connections, requests, signed answers |
//! | `peers` | communication between nodes: port of the peer and node services, client of the node service |
//! | `lifecycle` | readiness, drain, leaving, settings that take effect while the node runs, rescue of a data folder |
//! | `credentials` | private keys for answers, the node's certificate, the machine's identity |
//! | `records` | records beside the count: activation log, shared CMIDs, distinct machines |
//! | `dns` | the node's DNS records and its own zone |
//! | `admin_service` | the administration service and its rights |
//! | `observation` | the reports of all nodes, gathered by one of them |
//! | `diagnosis` | examination of a node's own machine: disk, certificate |
//! | `http` | port 9688: metrics, health, console |
//! | `tasks` | the names of all tasks and threads, and the end of the process when one panics |
//!
//! ```
//! use host::{Config, Overrides};
//!
//! let text = "node = 1\ndata = \"/var/lib/quorate\"\n[peers]\nmembers = [\"1=node1.example.test:1689\"]\n";
//! let config = Config::parse(text, "node.toml", &Overrides::default())?;
//! assert_eq!(config.clients.listen.to_string(), "[::]:1688"); // the default
//!
//! let unknown = Config::parse("node = 1\nport = 1688\n", "node.toml", &Overrides::default());
//! assert!(unknown.is_err_and(|error| error.to_string().contains("port: unknown key")));
//! # Ok::<(), host::ConfigError>(())
//! ```
//!
//! With the feature `fault-injection` the module `simulated` offers the parts that decide on requests, for a
//! simulation.
//!
//! Invariant: never decides a count, nor a refusal except that of its own changed machine: it submits requests to
//! the replica, signs the outcome, and limits incoming connections and requests.

mod admin_service;
mod client_port;
pub mod config;
mod credentials;
mod diagnosis;
mod dns;
mod environment;
mod forwarding;
mod http;
mod lifecycle;
pub mod limits;
mod node;
mod observation;
mod peers;
mod records;
#[cfg(feature = "fault-injection")]
pub mod simulated;
mod tasks;
mod test_hooks;

pub use admin_service::{AUDIT_TARGET, AdminError};
pub use client_port::answer::Answers;
pub use config::{Config, ConfigError, LogLevel, OldName, Overrides, init, settings};
pub use credentials::identity;
pub use environment::SystemClock;
pub use http::metrics;
pub use lifecycle::{
    descriptors::raise_descriptor_limit,
    draining::Then,
    joining,
    leave::{HasLeft, LeaveError},
    rescue,
};
pub use node::{Node, Start, StartError, Timing};
pub use records::{
    log_limit::{LogLimit, lines_left_out},
    log_queue::{LogQueue, flush_log, lines_dropped},
};
pub use tasks::{HostTask, panic::end_process_on_panic};

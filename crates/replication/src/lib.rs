//! The replicated log and its state machine.
//!
//! openraft 0.10, seen only here, runs on [`storage`] and talks to other nodes over tonic. A request that reaches any
//! node is recorded by the leader, together with all that wait at that moment, in one entry; [`activation::state`]
//! applies the entry on every node. Clocks, randomness and the network come in as parameters ([`Surroundings`]), so that
//! a simulation can drive a cluster.
//!
//! Invariant: never interprets a command beyond the format that it needs, and never answers before a majority has it on
//! stable storage.

mod backup;
mod batcher;
mod bootstrap;
mod format;
mod forward;
#[cfg(feature = "fault-injection")]
mod kept_entries;
mod leader_clock;
mod leading;
mod legacy;
pub mod limits;
mod log;
mod machine;
mod member;
mod membership;
mod network;
mod node_calls;
mod observer;
mod peers;
mod replica;
mod service;
mod settings;
mod snapshot_file;
mod types;
mod voters;
mod wire;

#[cfg(test)]
mod suite;

pub use backup::{Backup, BackupError, BeginError, Begun, recover};
pub use batcher::Recorded;
pub use bootstrap::BootstrapError;
pub use leader_clock::Clock;
pub use legacy::LegacyQuestions;
pub use log::LogDamaged;
#[cfg(feature = "fault-injection")]
pub use log::read_commands;
pub use machine::{Progress, StateDamaged};
pub use member::{ReadPoint, Unavailable};
pub use observer::Observer;
pub use peers::{Connect, FROM, Introduction, NoChannel, PeerChannel};
pub use replica::{ClusterView, Follower, Health, ProposeError, Replica, StartError, Surroundings, WeakReplica};
pub use service::PeerService;
pub use settings::{Pace, RaftSettings, SettingsError};
pub use snapshot_file::{SNAPSHOT_FILE, SnapshotDamaged};
pub use types::Member;

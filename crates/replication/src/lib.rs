//! The replicated log and its state machine.
//!
//! This is the only crate that uses openraft (version 0.10). openraft runs on [`storage`] and calls other nodes
//! over tonic. A request may reach any node; the leader writes it to the log, in one entry together with all
//! requests that wait at that moment. [`activation::state`] applies the entry on every node. A replica gets its
//! clock, its randomness and its network at its start ([`Environment`]).
//!
//! Invariant: never interprets a command beyond the format that it needs, and never answers before a majority has
//! it on stable storage.

mod backup;
mod environment;
mod gate;
mod leader;
mod legacy;
pub mod limits;
mod observer;
mod peers;
mod planted;
mod raft;
mod replica;
mod settings;
mod warnings;

pub use backup::{Backup, BackupError, BeginError, Begun, recover};
pub use environment::{Clock, Computations, Connect, Environment, ReplicaTask, Tasks};
pub use leader::{batcher::Recorded, membership::Follower};
pub use legacy::LegacyRequests;
pub use observer::{AppliedEntry, Observer};
pub use peers::{
    channels::{FROM, Introduction, NoChannel, PeerChannel},
    service::PeerService,
};
#[cfg(feature = "fault-injection")]
pub use planted::Bug;
pub use planted::Planted;
#[cfg(feature = "fault-injection")]
pub use raft::log::read_commands;
pub use raft::{
    log::LogDamaged,
    snapshot_file::SnapshotDamaged,
    state_machine::{Progress, StateDamaged},
    types::Member,
};
pub use replica::{
    Failure, Health, Replica, WeakReplica,
    administration::ProposeError,
    bootstrap::BootstrapError,
    reads::ClusterView,
    running::{ReadPoint, Unavailable},
    start::StartError,
};
pub use settings::{Pace, RaftSettings, SettingsError, election_times};
pub use storage::SNAPSHOT_FILE;

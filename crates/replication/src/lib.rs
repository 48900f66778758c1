//! The replicated log and its state machine.
//!
//! This is the only crate that uses openraft (version 0.10). openraft runs on [`storage`] and calls other nodes
//! over tonic. A request may reach any node; the leader writes it to the log, in one entry together with all
//! requests that wait at that moment. [`activation::state`] applies the entry on every node. A replica gets its
//! clock, its randomness and its network at its start ([`Environment`]).
//!
//! ```
//! use std::{collections::BTreeMap, sync::Arc, time::Duration};
//! use replication::{Environment, RaftSettings, Replica};
//! # use storage::{Kind, Owner, SledDisk, Store};
//! # struct SystemClock(std::time::Instant);
//! # impl replication::Clock for SystemClock {
//! #     fn wall_ms(&self) -> u64 { 1_790_000_000_000 + self.0.elapsed().as_millis() as u64 }
//! #     fn is_synchronised(&self) -> bool { true }
//! #     fn monotonic(&self) -> Duration { self.0.elapsed() }
//! # }
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let clock = Arc::new(SystemClock(std::time::Instant::now()));
//! # let owner = Owner { kind: Kind::Node, number: 1, store_if_new: uuid::Uuid::from_u128(1) };
//! # let store = Arc::new(Store::open(&folder.path().join("store"), owner)?);
//!
//! let disk = Arc::new(SledDisk::start(store, folder.path(), |_| {})?);
//! let connect = Arc::new(|_: &str| unreachable!("a cluster of one node connects to no other"));
//! let environment = Environment::new(clock, connect, (1, 1), Arc::new(()));
//! let replica = Replica::start(disk, &RaftSettings::default(), environment).await?;
//! let members = BTreeMap::from([(1, "127.0.0.1:1689".to_owned())]);
//! replica.bootstrap(&members, Duration::from_secs(30)).await?;
//! assert_eq!(replica.cluster().leader, Some(1));
//! replica.shutdown().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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

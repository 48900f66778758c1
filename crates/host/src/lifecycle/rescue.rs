//! Begins a new cluster of one node while that node is stopped: from a backup, or from the node's own data.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use replication::{Backup, BackupError, BeginError, Begun};
use storage::{DiskError, Kind, OpenError, Owner, SledDisk, Store};
use uuid::Uuid;

use crate::{
    config::Config,
    environment::random,
    lifecycle::leave::{self, HasLeft},
};

/// Why no cluster was begun. The content of the data folder is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum RescueError {
    /// The backup file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not a backup.
    #[error("{}: {source}", path.display())]
    Backup {
        /// The path of the file.
        path: PathBuf,
        /// What is wrong with the content.
        source: BackupError,
    },
    /// The data folder holds a node's store already.
    #[error("{} holds a node's store already: restore into an empty data folder", path.display())]
    Occupied {
        /// The path of the store.
        path: PathBuf,
    },
    /// The data folder holds no store.
    #[error(
        "{} holds no store: there is nothing to recover; `quorate cluster restore` forms a new cluster from a backup",
        path.display()
    )]
    Nothing {
        /// The path at which the store is expected.
        path: PathBuf,
    },
    /// The node left its cluster.
    #[error(transparent)]
    Left(#[from] HasLeft),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The writer of the store cannot be started, or the folder for snapshots cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The cluster cannot be begun.
    #[error(transparent)]
    Begin(#[from] BeginError),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(io::Error),
}

/// Begins a cluster of this node alone from a backup, in a data folder without a store.
pub async fn restore(config: &Config, file: &Path) -> Result<Begun, RescueError> {
    let content = std::fs::read(file).map_err(|source| RescueError::Read { path: file.to_owned(), source })?;
    let backup = Backup::read(&content).map_err(|source| RescueError::Backup { path: file.to_owned(), source })?;
    leave::check(&config.data)?;
    let path = store_of(config);
    if path.exists() {
        return Err(RescueError::Occupied { path });
    }
    let address = peer_address(config);
    Ok(backup.restore(open(config)?, &address).await?)
}

/// Begins a cluster of this node alone from all data that it holds, for a cluster that has lost a majority of its
/// voters permanently.
pub async fn recover(config: &Config) -> Result<Begun, RescueError> {
    leave::check(&config.data)?;
    let path = store_of(config);
    if !path.exists() {
        return Err(RescueError::Nothing { path });
    }
    let address = peer_address(config);
    Ok(replication::recover(open(config)?, &address).await?)
}

fn store_of(config: &Config) -> PathBuf {
    config.data.join("store")
}

fn snapshots_of(config: &Config) -> PathBuf {
    config.data.join("snapshots")
}

fn open(config: &Config) -> Result<Arc<SledDisk>, RescueError> {
    let store_if_new = Uuid::from_bytes(random().map_err(RescueError::Randomness)?);
    let owner = Owner { kind: Kind::Node, number: config.node, store_if_new };
    let store = Arc::new(Store::open(&store_of(config), owner)?);
    Ok(Arc::new(SledDisk::start(store, &snapshots_of(config), |_| {})?))
}

/// The address under which other nodes will reach this node.
fn peer_address(config: &Config) -> String {
    config.peers.members.get(&config.node).cloned().unwrap_or_else(|| config.peers.listen.to_string())
}

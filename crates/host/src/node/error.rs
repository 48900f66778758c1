//! Why a node did not start.

use std::{io, net::SocketAddr, path::PathBuf};

use replication::{BootstrapError, StartError as ReplicaError};
use storage::OpenError;

use crate::{
    admin_service::AdminError, config::ConfigError, credentials::identity::IdentityError, lifecycle::leave::HasLeft,
};

/// Why a node did not start. What its data folder held is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It left its cluster.
    #[error(transparent)]
    Left(#[from] HasLeft),
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// What is in it.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// No cluster was formed.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The administration socket.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// An address to listen on.
    #[error("{key}: cannot listen on {address}: {source}; stop what uses it or choose another address")]
    Listen {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// What it shows to the other nodes.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The node's private keys.
    #[error("cannot use the keys in {}: {source}", path.display())]
    Keys {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it notes of machines that ask.
    #[error("cannot use the activation log in {}: {source}; make it readable for the daemon, or move it away", path.display())]
    Activations {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The list of its DNS records.
    #[error("cannot read the list of this node's DNS records in {}: {source}; restore dns-records.toml there", path.display())]
    Records {
        /// The data folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The operating system.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(io::Error),
}

//! Why a node did not start.

use std::{io, net::SocketAddr, path::PathBuf};

use activation::{hresult, status::Status};
use replication::{BootstrapError, StartError as ReplicaError};
use storage::{DiskError, OpenError};

use crate::{
    admin_service::AdminError, config::ConfigError, credentials::identity::IdentityError, lifecycle::leave::HasLeft,
    limits::DESCRIPTORS_MIN,
};

/// Why a node did not start. The content of its data folder is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The node left its cluster.
    #[error(transparent)]
    Left(#[from] HasLeft),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The writer of the store cannot be started, or the folder for snapshots cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The replica cannot be started from the content of the store.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// No cluster was formed.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The administration socket cannot be created.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// An address cannot be listened on.
    #[error("{key}: cannot listen on {address}: {source}; stop what uses it or choose another address")]
    Listen {
        /// The key of the setting.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The node has no usable certificate to present to the other nodes.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The node's private keys cannot be used.
    #[error("cannot use the keys in {}: {source}", path.display())]
    Keys {
        /// The folder of the keys.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The activation log cannot be used.
    #[error("cannot use the activation log in {}: {source}; make it readable for the daemon, or move it away", path.display())]
    Activations {
        /// The folder of the activation log.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The list of the node's DNS records cannot be read.
    #[error("cannot read the list of this node's DNS records in {}: {source}; restore dns-records.toml there", path.display())]
    Records {
        /// The data folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The limit of open files is too low.
    #[error(
        "only {limit} files may be open, and a node needs {DESCRIPTORS_MIN}: raise LimitNOFILE of its unit, or `ulimit -n`"
    )]
    Descriptors {
        /// The limit (`RLIMIT_NOFILE`).
        limit: u64,
    },
    /// A file in the data folder belongs to another account, as after a run as root.
    #[error(
        "{} belongs to another account (uid {owner}), and this one (uid {account}) may not use it, as after a run as root: give \
         all of it to the account that runs the node, with  chown -R {account} {}",
        path.display(), data.display()
    )]
    ForeignFile {
        /// The first such file.
        path: PathBuf,
        /// The data folder.
        data: PathBuf,
        /// The user id of its owner.
        owner: u32,
        /// The user id of this process.
        account: u32,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(io::Error),
}

impl StartError {
    /// The status of event 12291.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Config(_) => hresult::INVALID_ARGUMENT,
            Self::Left(_) => hresult::WRONG_STATE,
            Self::Store(error) => store_status(error),
            Self::Disk(DiskError::Writer(source) | DiskError::Folder { source, .. }) => hresult::of_io(source),
            Self::Replica(error) => replica_status(error),
            Self::Bootstrap(BootstrapError::AlreadyInitialised { .. }) => hresult::WRONG_STATE,
            Self::Bootstrap(_) => Status::FAILED,
            Self::Admin(AdminError::PathTooLong { .. }) => hresult::INVALID_ARGUMENT,
            Self::Identity(error) => error.status(),
            Self::Randomness(_) => hresult::NO_ENTROPY,
            Self::Descriptors { .. } => Status::FAILED,
            Self::ForeignFile { .. } => hresult::of_io(&io::ErrorKind::PermissionDenied.into()),
            Self::Admin(AdminError::Io { source, .. })
            | Self::Listen { source, .. }
            | Self::Keys { source, .. }
            | Self::Activations { source, .. }
            | Self::Records { source, .. } => hresult::of_io(source),
        }
    }
}

fn store_status(error: &OpenError) -> Status {
    match error {
        OpenError::InUse { .. } | OpenError::OtherOwner { .. } => hresult::IN_USE,
        OpenError::NewerFormat { .. } => hresult::NEWER_FORMAT,
        OpenError::Damaged { .. } => hresult::INVALID_DATA,
        OpenError::NoRoom { .. } => hresult::DISK_FULL,
        OpenError::Io { source, .. } => hresult::of_io(source),
    }
}

fn replica_status(error: &ReplicaError) -> Status {
    match error {
        ReplicaError::Settings(_) => hresult::INVALID_ARGUMENT,
        ReplicaError::Log(_) | ReplicaError::State(_) | ReplicaError::Gap { .. } => hresult::INVALID_DATA,
        ReplicaError::Newer { .. } => hresult::NEWER_FORMAT,
        ReplicaError::Write(failed) => hresult::of_io(&failed.to_io()),
        ReplicaError::Raft(_) => Status::FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_12291_has_the_status_of_its_reason() {
        let folder = || PathBuf::from("store");
        let io = |kind: io::ErrorKind| OpenError::Io { action: "open", path: folder(), source: kind.into() };
        let listen = |kind: io::ErrorKind| StartError::Listen {
            key: "clients.listen",
            address: SocketAddr::from(([127, 0, 0, 1], 1688)),
            source: kind.into(),
        };
        let table = [
            (listen(io::ErrorKind::AddrInUse), 0x8007_2740),
            (listen(io::ErrorKind::AddrNotAvailable), 0x8007_2741),
            (listen(io::ErrorKind::PermissionDenied), 0x8007_0005),
            (OpenError::InUse { folder: folder() }.into(), 0x8007_0020),
            (OpenError::NewerFormat { folder: folder(), found: 9 }.into(), 0x8007_051A),
            (OpenError::Damaged { folder: folder(), what: "it is cut".into() }.into(), 0x8007_000D),
            (io(io::ErrorKind::StorageFull).into(), 0x8007_0070),
            (ReplicaError::Newer { index: 7 }.into(), 0x8007_051A),
            (ReplicaError::Gap { purged: 9, snapshot: 7, path: "snapshot".into() }.into(), 0x8007_000D),
            (BootstrapError::AlreadyInitialised { node: 1 }.into(), 0x8007_139F),
            (ReplicaError::Raft("it stopped".into()).into(), 0x8000_4005),
            (IdentityError::Expired { file: folder() }.into(), 0x800B_0101),
            (StartError::Randomness(io::ErrorKind::Other.into()), 0x8009_0020),
        ];
        for (error, status) in table {
            assert_eq!(error.status(), Status(status), "{error}");
        }
    }
}

//! Why there is no service.

use std::{io, path::PathBuf};

use crate::{credential::CredentialError, limits::SOCKET_PATH_BYTES_MAX};

/// Why there is no service.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Nothing could be signed.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// There is nothing to go by.
    #[error("no catalog was signed yet: sign one first, it names groups and platforms")]
    NoCatalog,
    /// It could not be made, or is not what it should be.
    #[error("the certificate of the service: {0}")]
    Certificate(String),
    /// The system's limit.
    #[error("the path of the socket for commands, {}, is longer than {SOCKET_PATH_BYTES_MAX} bytes", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// The system's refusal.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
}

//! Errors at the start of the service.

use std::{io, path::PathBuf};

use crate::{credential::CredentialError, limits::SOCKET_PATH_BYTES_MAX};

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The activation key is not available.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// No catalog was signed yet, so groups and platform classes are not defined.
    #[error(
        "no catalog was signed yet, so groups and platforms are unknown: sign one with `quorate publisher catalog sign`"
    )]
    NoCatalog,
    /// The service's certificate could not be issued, or is invalid.
    #[error("the certificate of the service: {0}")]
    Certificate(String),
    /// The path of the command socket exceeds the operating system's limit.
    #[error("the path of the socket for commands, {}, is longer than {SOCKET_PATH_BYTES_MAX} bytes", path.display())]
    PathTooLong {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The operating system refused to listen.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address, or the path of the socket.
        address: String,
        /// The operating system's error.
        source: io::Error,
    },
}

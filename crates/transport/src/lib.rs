//! Who speaks: the cluster's authority, certificates, roles, and TLS channels that know the caller.
//!
//! Every cluster has a certification authority of its own ([`Authority`]), or uses an organisation's. A certificate says
//! who its holder is ([`Subject`]): a node by its number, or a person by name and [`Role`]. What a node or a person shows
//! is an [`Identity`], held in [`Own`], where a renewed one takes its place for the next handshake. [`listen`] gives
//! connections that know their [`Caller`], [`connector`] opens those of the other side. Who has no certificate yet comes
//! with a [`Token`], and knows the cluster by the fingerprint in it ([`pinned`]).
//!
//! TLS 1.3 only, without resumption: every connection proves anew who speaks.
//!
//! Invariant: never knows what is said over its channels, and never lets anybody pass whom an authority of its own does
//! not vouch for at that moment.

mod authority;
mod connection;
mod connector;
mod files;
mod identity;
pub mod limits;
mod listener;
mod port_probe;
mod subject;
mod token;
mod trust;

#[cfg(test)]
mod tests;

pub use authority::{Authority, SigningRequest};
pub use connection::{Caller, Connection};
pub use connector::{Connecting, Connector, connector, pinned};
pub use files::{Folder, is_private_key_encrypted, read_private};
pub use identity::{Identity, Own};
pub use listener::{Audience, listen};
pub use port_probe::unreachable_ports;
pub use subject::{Role, Subject};
pub use token::{MalformedToken, Token};

/// Why there is no certificate, or none of use.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// PEM that holds something else.
    #[error("{what} holds no {expected} in PEM")]
    NotPem {
        /// The file.
        what: String,
        /// A certificate, or a private key.
        expected: &'static str,
    },
    /// It cannot be read or written.
    #[error("cannot use {what}: {source}")]
    Io {
        /// The file.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A certificate that says neither which node nor which person it is for.
    #[error(
        "a certificate whose subject is {found:?} names no node and no person: it needs O=quorate, \
         OU=node|administrator|operator|reader and CN=number or name"
    )]
    Subject {
        /// What it says.
        found: String,
    },
    /// A request for a certificate.
    #[error("the request for a certificate is malformed, or is not signed by its key")]
    Request,
    /// Certificates and keys that do not belong together, or cannot be made.
    #[error("{0}")]
    Certificate(String),
}

impl From<rcgen::Error> for TransportError {
    fn from(error: rcgen::Error) -> Self {
        Self::Certificate(error.to_string())
    }
}

impl From<tokio_rustls::rustls::Error> for TransportError {
    fn from(error: tokio_rustls::rustls::Error) -> Self {
        Self::Certificate(error.to_string())
    }
}

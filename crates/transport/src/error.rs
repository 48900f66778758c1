//! Why a certificate, a key or a request is of no use.

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

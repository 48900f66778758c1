//! Errors of certificates, keys and requests.

/// Why there is no usable certificate, key or request.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The PEM does not hold what was expected.
    #[error("{what} contains no {expected} in PEM")]
    NotPem {
        /// Path or description of the PEM.
        what: String,
        /// What was expected: a certificate, a private key, or text.
        expected: &'static str,
    },
    /// A file cannot be read or written.
    #[error("cannot use {what}: {source}")]
    Io {
        /// Path of the file.
        what: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The certificate's subject names neither a node nor a person.
    #[error(
        "a certificate with the subject {found:?} names neither a node nor a person: it needs O=quorate, \
         OU=node|administrator|operator|reader and CN=number or name"
    )]
    Subject {
        /// The subject in the certificate.
        found: String,
    },
    /// A certificate signing request is malformed, or its signature is wrong.
    #[error("the request for a certificate is malformed, or is not signed by its key")]
    Request,
    /// A certificate and a key do not belong together, or cannot be created.
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

//! Why the records cannot be read or written.

/// The records cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// Another process has the records open, or they are damaged.
    #[error(transparent)]
    Open(#[from] storage::OpenError),
    /// The writing thread did not start, or no random numbers were available for the store's identity.
    #[error("cannot open the records: {0}")]
    Start(std::io::Error),
    /// The disk failed to read.
    #[error(transparent)]
    Read(#[from] storage::ReadError),
    /// The disk failed to write. Whether the write is there after a restart is unknown.
    #[error(transparent)]
    Write(#[from] storage::WriteFailed),
    /// A record is larger than the store's limit.
    #[error(transparent)]
    TooLarge(#[from] storage::ValueTooLarge),
    /// The writing thread ended before it reported the outcome.
    #[error("writing the records failed earlier: restart the service")]
    Stopped,
    /// A record cannot be decoded.
    #[error("the records are damaged ({what}): restore them from a backup")]
    Damaged {
        /// The record, and its malformed part.
        what: &'static str,
    },
}

pub(super) fn damaged(what: &'static str) -> RecordsError {
    RecordsError::Damaged { what }
}

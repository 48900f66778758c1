//! Why the records cannot be read or written.

/// The records cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// Another process has them open, or they are damaged.
    #[error(transparent)]
    Open(#[from] storage::OpenError),
    /// The writing thread did not start, or there were no random numbers for the store's identity.
    #[error("cannot open the records: {0}")]
    Start(std::io::Error),
    /// The disk refused a read.
    #[error(transparent)]
    Read(#[from] storage::ReadError),
    /// The disk refused a write. Whether it is there after a restart is unknown.
    #[error(transparent)]
    Write(#[from] storage::WriteFailed),
    /// A record became too large.
    #[error(transparent)]
    TooLarge(#[from] storage::ValueTooLarge),
    /// The writing thread ended before it reported.
    #[error("the records stopped being written: start again")]
    Stopped,
    /// A record is not as it was written.
    #[error("the records are damaged ({what}): restore them from a backup")]
    Damaged {
        /// The record, and what of it.
        what: &'static str,
    },
}

pub(super) fn damaged(what: &'static str) -> RecordsError {
    RecordsError::Damaged { what }
}

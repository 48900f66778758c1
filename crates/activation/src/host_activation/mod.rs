//! The exchange of a host key for node certificates (R30, R31): the requests of nodes, and the publisher's answers.
//!
//! A request is signed by the node key that is to be certified, so a node cannot obtain a certificate for another
//! node's key. Its random id makes it repeatable: the same id receives the same certificate and uses no further
//! activation slot. One file carries the requests of all members of a cluster and the slots that they give back, one
//! file the answers.
//!
//! Invariant: the private node key never leaves its node; everything that is sent is public except for the typed
//! host key.

mod answers;
mod release;
mod request;

use bytes::Bytes;
use prost::Message;
use thiserror::Error;

pub use self::answers::{ActivationAnswer, ActivationAnswers, KeyStanding, NotSignedByPublisher, SignedAnswers};
pub use self::release::ReleaseStatement;
pub use self::request::{ActivationRequests, HostActivation, HostActivationRequest, IdentityKind, NodeKeys};
use crate::proto;

/// The format that this version writes, and the newest that it reads.
pub const ACTIVATION_FORMAT: u32 = 1;
/// The most requests and releases, or answers, in one file.
pub const REQUESTS_MAX: usize = 64;
/// The longest signed fields of one request, in bytes, with room for fields of newer versions.
pub const FIELDS_BYTES_MAX: usize = 320;
/// The longest file of requests or of answers, in bytes.
pub const FILE_BYTES_MAX: usize = 32 * 1024;

const _: () = assert!(REQUESTS_MAX * (FIELDS_BYTES_MAX + 160) < FILE_BYTES_MAX);
const _: () = assert!(FILE_BYTES_MAX < crate::limits::COMMAND_BYTES_MAX);

/// The bytes are not the expected file. The error never repeats them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ActivationFileError {
    #[error("the file has format {found}; this version reads up to {ACTIVATION_FORMAT}: run a newer version")]
    Newer { found: u32 },
    #[error("the file is damaged or is not an activation file: {0}")]
    Malformed(&'static str),
}

use ActivationFileError::Malformed;

/// The request or statement is not signed by the node key in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not signed by the node key in it")]
pub struct NotSignedByNode;

/// Checks the file's length, and then its format number before any other content.
fn check_format(bytes: &[u8]) -> Result<Bytes, ActivationFileError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Malformed("too long"));
    }
    match proto::ActivationFormat::decode(bytes).map_err(|_| Malformed("encoding"))?.format {
        0 => Err(Malformed("format")),
        1..=ACTIVATION_FORMAT => Ok(Bytes::copy_from_slice(bytes)),
        found => Err(ActivationFileError::Newer { found }),
    }
}

fn check_length(length: usize) -> Result<(), ActivationFileError> {
    if (1..=REQUESTS_MAX).contains(&length) { Ok(()) } else { Err(Malformed("1 to 64 entries")) }
}

fn check_distinct<T: Ord>(entries: impl Iterator<Item = T>) -> Result<(), ActivationFileError> {
    let mut seen = std::collections::BTreeSet::new();
    for entry in entries {
        if !seen.insert(entry) {
            return Err(Malformed("one node has two entries"));
        }
    }
    Ok(())
}

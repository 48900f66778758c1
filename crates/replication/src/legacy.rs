//! Questions between nodes as the version before this one asks them: bytes inside the peer service's `Ask` call, whose
//! content is known to the daemon only.
//!
//! Served so that nodes of both versions work together during a rolling upgrade. Remove this module, the `Ask` call
//! and `Replica::legacy_ask` one version after the node service was introduced.

use bytes::Bytes;
use futures::future::BoxFuture;
use tonic::Status;

/// Answers the questions of nodes that run the version before; use the node service for everything else.
pub trait LegacyQuestions: Send + Sync + 'static {
    /// The encoded answer to an encoded question. A refusal is `FAILED_PRECONDITION`, with the reason as its message: that
    /// is what nodes of the version before expect.
    fn answer(&self, question: Bytes) -> BoxFuture<'_, Result<Bytes, Status>>;
}

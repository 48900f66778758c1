//! Calls between nodes in the encoding of the previous version: bytes inside the peer service's `Ask` call, whose
//! content only the daemon interprets.
//!
//! Served so that nodes of both versions work together during a rolling upgrade. Remove this module, the `Ask` call
//! and `Replica::legacy_ask` one version after the node service was introduced.

use bytes::Bytes;
use futures::future::BoxFuture;
use tonic::Status;

/// Answers the `Ask` calls of nodes that run the previous version; use the node service for everything else.
pub trait LegacyRequests: Send + Sync + 'static {
    /// The encoded answer to an encoded request. A refusal is `FAILED_PRECONDITION` with the reason as its message,
    /// as nodes of the previous version expect.
    fn answer(&self, question: Bytes) -> BoxFuture<'_, Result<Bytes, Status>>;
}

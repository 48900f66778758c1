//! A file of requests with verified signatures. Verification reads no records, so it needs no turn.

use activation::host_activation::{ActivationRequests, HostActivationRequest, NodeKeys, ReleaseStatement};

use crate::refusal::{Reason, Refusal, Refusals};

/// The entries of a file, each signed by the node key in it.
#[derive(Debug)]
pub(crate) struct Verified<'a> {
    /// The requests, in the order of the file.
    pub(crate) requests: Vec<VerifiedRequest<'a>>,
    /// The release statements, in the order of the file.
    pub(crate) releases: &'a [ReleaseStatement],
}

/// A request, and the public keys that signed it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VerifiedRequest<'a> {
    pub(crate) request: &'a HostActivationRequest,
    pub(crate) keys: NodeKeys,
}

impl<'a> Verified<'a> {
    /// Verifies up to two signatures of each request and one of each release statement. The refusals name every node
    /// whose entry has an invalid signature.
    pub(crate) fn of(file: &'a ActivationRequests) -> Result<Self, Refusals> {
        let mut refusals = Vec::new();
        for statement in &file.releases {
            if statement.verify().is_err() {
                refusals.push(Refusal { node: statement.node, reason: Reason::ReleaseSignature });
            }
        }
        let mut requests = Vec::with_capacity(file.requests.len());
        for request in &file.requests {
            match request.verify() {
                Ok(keys) => requests.push(VerifiedRequest { request, keys }),
                Err(_) => refusals.push(Refusal { node: request.asked().node, reason: Reason::Signature }),
            }
        }
        if refusals.is_empty() { Ok(Self { requests, releases: &file.releases }) } else { Err(Refusals(refusals)) }
    }
}

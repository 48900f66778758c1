//! The record of one answered activation request.

use ::activation::{
    certificate::NodeCertificate,
    id::{MachineDigest, NodeId},
};

/// The result of an activation request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Activation {
    pub(crate) request_id: [u8; 16],
    /// Digest of everything that the node signed. The same id with another digest is another request.
    pub(crate) request_digest: [u8; 32],
    pub(crate) node: NodeId,
    pub(crate) machine: MachineDigest,
    pub(crate) activated_ms: u64,
    pub(crate) certificate: NodeCertificate,
}

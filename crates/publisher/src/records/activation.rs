//! The record of one answered activation request.

use ::activation::{
    certificate::NodeCertificate,
    id::{MachineDigest, NodeId},
};

/// What an activation request got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Activation {
    pub(crate) request_id: [u8; 16],
    /// Of everything the node signed: the same id with another content is another request.
    pub(crate) request_digest: [u8; 32],
    pub(crate) node: NodeId,
    pub(crate) machine: MachineDigest,
    pub(crate) activated_ms: u64,
    pub(crate) certificate: NodeCertificate,
}

//! A node's statement that it gives back an activation slot (R31).

use bytes::Bytes;
use ed25519_dalek::SigningKey;

use super::ActivationFileError::{self, Malformed};
use super::NotSignedByNode;
use crate::id::{KeyId, NodeId, PublisherId, node_id};
use crate::proto;
use crate::signature::{public_key, sign, verifies};

const PURPOSE: &str = "quorate/release/1";

/// A node's statement that it gives up its certificate and destroys its key. The publisher can then grant the
/// activation slot to another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseStatement {
    pub publisher: PublisherId,
    pub key: KeyId,
    pub node: NodeId,
    pub node_key: [u8; 32],
    signature: [u8; 64],
}

impl ReleaseStatement {
    #[must_use]
    pub fn sign(publisher: PublisherId, key: KeyId, node: NodeId, node_key: &SigningKey) -> Self {
        let public = node_key.verifying_key().to_bytes();
        let mut statement = Self { publisher, key, node, node_key: public, signature: [0; 64] };
        statement.signature = sign(node_key, PURPOSE, &[&statement.signed()]);
        statement
    }

    pub fn verify(&self) -> Result<(), NotSignedByNode> {
        let node_key = public_key(&self.node_key).ok_or(NotSignedByNode)?;
        if verifies(&node_key, PURPOSE, &[&self.signed()], &self.signature) { Ok(()) } else { Err(NotSignedByNode) }
    }

    /// The signed fields, each of fixed length.
    fn signed(&self) -> Vec<u8> {
        let node = self.node.to_be_bytes();
        let parts: [&[u8]; 4] = [&self.publisher.0, &self.key.0, &node, &self.node_key];
        parts.concat()
    }

    pub(crate) fn to_proto(&self) -> proto::ReleaseStatement {
        proto::ReleaseStatement {
            publisher: Bytes::copy_from_slice(&self.publisher.0),
            key: Bytes::copy_from_slice(&self.key.0),
            node: u32::try_from(self.node).unwrap_or(u32::MAX),
            node_key: Bytes::copy_from_slice(&self.node_key),
            signature: Bytes::copy_from_slice(&self.signature),
        }
    }

    pub(crate) fn from_proto(raw: &proto::ReleaseStatement) -> Result<Self, ActivationFileError> {
        Ok(Self {
            publisher: PublisherId::try_from(raw.publisher.as_ref()).map_err(|_| Malformed("publisher"))?,
            key: KeyId::try_from(raw.key.as_ref()).map_err(|_| Malformed("key id"))?,
            node: node_id(raw.node.into()).map_err(|_| Malformed("node"))?,
            node_key: raw.node_key.as_ref().try_into().map_err(|_| Malformed("node key"))?,
            signature: raw.signature.as_ref().try_into().map_err(|_| Malformed("signature"))?,
        })
    }

    /// Encodes one statement, as a node sends it to another node.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        prost::Message::encode_to_vec(&self.to_proto())
    }

    /// Decodes a statement. Does not verify the signature: see [`Self::verify`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ActivationFileError> {
        if bytes.len() > super::FIELDS_BYTES_MAX {
            return Err(Malformed("too long"));
        }
        let raw = <proto::ReleaseStatement as prost::Message>::decode(bytes).map_err(|_| Malformed("encoding"))?;
        Self::from_proto(&raw)
    }
}

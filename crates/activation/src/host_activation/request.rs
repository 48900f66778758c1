//! The activation requests of nodes.

use bytes::Bytes;
use ed25519_dalek::{SigningKey, VerifyingKey};
use prost::Message;

use super::ActivationFileError::{self, Malformed};
use super::{
    ACTIVATION_FORMAT, FIELDS_BYTES_MAX, NotSignedByNode, ReleaseStatement, check_distinct, check_format, check_length,
};
use crate::catalog::Name;
use crate::id::{MachineDigest, NodeId, node_id};
use crate::key::TypedKey;
use crate::proto;
use crate::signature::{hash, public_key, sign, verifies};

const PURPOSE: &str = "quorate/activate/1";
const AGAIN_PURPOSE: &str = "quorate/activate-again/1";

/// A node's statement about itself in its request for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostActivation {
    /// Random. A retry has the same id; a reactivation (R31) has a new one.
    pub request_id: [u8; 16],
    pub node: NodeId,
    pub key: TypedKey,
    /// The node's platform class, as the publisher's catalog names it (R34).
    pub platform: Name,
    /// The digest that identifies this host: to the publisher, two nodes with one digest are one host.
    pub machine: MachineDigest,
    pub identity: IdentityKind,
}

/// What identifies a host, and so what must change before the host needs another activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdentityKind {
    /// All the factors of its machine (R23).
    #[default]
    Machine,
    /// Some factors of its machine.
    Factors,
    /// Its data folder: a copy of the folder is a copy of the host.
    File,
}

impl IdentityKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Factors => "factors",
            Self::File => "file",
        }
    }

    fn to_proto(self) -> proto::IdentityKind {
        match self {
            // Encoded as versions before did, so the bytes of their requests and of requests by machine do not
            // change.
            Self::Machine => proto::IdentityKind::Unspecified,
            Self::Factors => proto::IdentityKind::Factors,
            Self::File => proto::IdentityKind::File,
        }
    }

    fn from_proto(raw: i32) -> Result<Self, ActivationFileError> {
        match proto::IdentityKind::try_from(raw) {
            Ok(proto::IdentityKind::Unspecified | proto::IdentityKind::Machine) => Ok(Self::Machine),
            Ok(proto::IdentityKind::Factors) => Ok(Self::Factors),
            Ok(proto::IdentityKind::File) => Ok(Self::File),
            Err(_) => Err(Malformed("identity")),
        }
    }
}

/// A request with its signatures. [`Self::verify`] verifies them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostActivationRequest {
    asked: HostActivation,
    node_key: [u8; 32],
    previous: Option<Previous>,
    /// The signed bytes of the fields: a newer node may have signed fields that this version does not know.
    signed: Bytes,
    signature: [u8; 64],
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Previous {
    node_key: [u8; 32],
    signature: [u8; 64],
}

/// The public keys whose private keys the node holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeKeys {
    /// The key to be certified.
    pub current: VerifyingKey,
    /// The key that was certified before the machine changed; it proves that this is the same host (R31).
    pub previous: Option<VerifyingKey>,
}

impl HostActivationRequest {
    /// Signs a request with the key that is to be certified, and also with the `previous` key of the same host if
    /// there was one.
    #[must_use]
    pub fn sign(asked: HostActivation, node_key: &SigningKey, previous: Option<&SigningKey>) -> Self {
        let public = |key: &SigningKey| key.verifying_key().to_bytes();
        let signed = proto::HostActivationFields {
            request_id: Bytes::copy_from_slice(&asked.request_id),
            // The conversion loses nothing: as in a record, every parser refuses a larger node id.
            node: u32::try_from(asked.node).unwrap_or(u32::MAX),
            key: asked.key.to_string(),
            platform: asked.platform.to_string(),
            machine: Bytes::copy_from_slice(&asked.machine.0),
            node_key: Bytes::copy_from_slice(&public(node_key)),
            identity: asked.identity.to_proto().into(),
            previous_key: previous.map(|key| Bytes::copy_from_slice(&public(key))).unwrap_or_default(),
        };
        let signed: Bytes = signed.encode_to_vec().into();
        let signature = sign(node_key, PURPOSE, &[&signed]);
        let previous =
            previous.map(|key| Previous { node_key: public(key), signature: sign(key, AGAIN_PURPOSE, &[&signed]) });
        Self { asked, node_key: public(node_key), previous, signed, signature }
    }

    /// Verifies the signatures, which prove that the node holds the private keys, and returns the public keys.
    pub fn verify(&self) -> Result<NodeKeys, NotSignedByNode> {
        let verified = |bytes: &[u8; 32], purpose, signature| {
            public_key(bytes).filter(|key| verifies(key, purpose, &[&self.signed], signature)).ok_or(NotSignedByNode)
        };
        let current = verified(&self.node_key, PURPOSE, &self.signature)?;
        let previous = self.previous.as_ref();
        let previous = previous.map(|previous| verified(&previous.node_key, AGAIN_PURPOSE, &previous.signature));
        Ok(NodeKeys { current, previous: previous.transpose()? })
    }

    #[must_use]
    pub fn asked(&self) -> &HostActivation {
        &self.asked
    }

    /// Whether the request names an earlier key of the same host, from before its machine changed: the publisher
    /// counts a reactivation.
    #[must_use]
    pub fn has_previous_key(&self) -> bool {
        self.previous.is_some()
    }

    /// The node's public key in the request.
    #[must_use]
    pub fn node_key(&self) -> &[u8; 32] {
        &self.node_key
    }

    /// SHA-256 of the signed bytes: equal for a retry, different for another request with the same id.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        hash(PURPOSE, &[&self.signed])
    }

    fn to_proto(&self) -> proto::HostActivationRequest {
        let previous = self.previous.as_ref();
        proto::HostActivationRequest {
            fields: self.signed.clone(),
            signature: Bytes::copy_from_slice(&self.signature),
            previous_signature: previous
                .map(|previous| Bytes::copy_from_slice(&previous.signature))
                .unwrap_or_default(),
        }
    }

    fn from_proto(raw: proto::HostActivationRequest) -> Result<Self, ActivationFileError> {
        if raw.fields.len() > FIELDS_BYTES_MAX {
            return Err(Malformed("fields"));
        }
        let signature = raw.signature.as_ref().try_into().map_err(|_| Malformed("signature"))?;
        let fields = proto::HostActivationFields::decode(raw.fields.clone()).map_err(|_| Malformed("fields"))?;
        let asked = HostActivation {
            request_id: fields.request_id.as_ref().try_into().map_err(|_| Malformed("request id"))?,
            node: node_id(fields.node.into()).map_err(|_| Malformed("node"))?,
            key: fields.key.parse().map_err(|_| Malformed("key"))?,
            platform: fields.platform.parse().map_err(|_| Malformed("platform"))?,
            machine: MachineDigest::try_from(fields.machine.as_ref()).map_err(|_| Malformed("machine"))?,
            identity: IdentityKind::from_proto(fields.identity)?,
        };
        let node_key = fields.node_key.as_ref().try_into().map_err(|_| Malformed("node key"))?;
        let previous = match (fields.previous_key.as_ref(), raw.previous_signature.as_ref()) {
            ([], []) => None,
            (key, signature) => Some(Previous {
                node_key: key.try_into().map_err(|_| Malformed("previous key"))?,
                signature: signature.try_into().map_err(|_| Malformed("previous signature"))?,
            }),
        };
        Ok(Self { asked, node_key, previous, signed: raw.fields, signature })
    }
}

/// A cluster's requests to one publisher: certificates for members, and activation slots that members give back.
/// Together 1 to [`super::REQUESTS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivationRequests {
    pub requests: Vec<HostActivationRequest>,
    pub releases: Vec<ReleaseStatement>,
}

impl ActivationRequests {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let requests = self.requests.iter().map(HostActivationRequest::to_proto).collect();
        let releases = self.releases.iter().map(ReleaseStatement::to_proto).collect();
        proto::ActivationRequests { format: ACTIVATION_FORMAT, requests, releases }.encode_to_vec()
    }

    /// Decodes requests, and checks that no node has two. Does not verify the signatures: see
    /// [`HostActivationRequest::verify`] and [`ReleaseStatement::verify`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ActivationFileError> {
        let bytes = check_format(bytes)?;
        let raw = proto::ActivationRequests::decode(bytes).map_err(|_| Malformed("encoding"))?;
        check_length(raw.requests.len() + raw.releases.len())?;
        let requests = raw.requests.into_iter().map(HostActivationRequest::from_proto);
        let requests: Vec<_> = requests.collect::<Result<_, _>>()?;
        let releases = raw.releases.iter().map(ReleaseStatement::from_proto);
        let releases: Vec<_> = releases.collect::<Result<_, _>>()?;
        check_distinct(requests.iter().map(|request| (request.asked.key.key_id(), request.asked.node)))?;
        check_distinct(releases.iter().map(|release| (release.key, release.node_key)))?;
        Ok(Self { requests, releases })
    }
}

//! The exchange of a host key for node certificates (R30, R31): what nodes ask of a publisher, and what they get.
//!
//! A request is signed by the node key that is to be certified, so nobody can have a certificate issued for a key that
//! is not theirs. Its random id makes it repeatable: the same id gets the same certificate and spends nothing. One file
//! carries the requests of all members of a cluster, one file the answers, one certificate each.
//!
//! Invariant: the private node key never leaves its node; what travels is public except for the typed host key.

use std::collections::BTreeSet;

use bytes::Bytes;
use ed25519_dalek::{SigningKey, VerifyingKey};
use prost::Message;
use thiserror::Error;

use crate::catalog::Name;
use crate::certificate::NodeCertificate;
use crate::id::{KeyId, MachineDigest, NodeId, PublisherId, node_id};
use crate::key::TypedKey;
use crate::proto;
use crate::signature::{hash, public_key, sign, verifies};

const PURPOSE: &str = "quorate/activate/1";

/// The format that this version writes, and the newest that it reads.
pub const ACTIVATION_FORMAT: u32 = 1;
/// Requests or answers in one file.
pub const REQUESTS_MAX: usize = 64;
/// The signed fields of one request, with what newer versions may add.
pub const FIELDS_BYTES_MAX: usize = 256;
/// A file of requests or of answers.
pub const FILE_BYTES_MAX: usize = 32 * 1024;

const _: () = assert!(REQUESTS_MAX * (FIELDS_BYTES_MAX + 128) < FILE_BYTES_MAX);

/// Bytes that are not the file they should be. Never repeats them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ActivationFileError {
    #[error("the file has format {found}; this version reads up to {ACTIVATION_FORMAT}: run a newer version")]
    Newer { found: u32 },
    #[error("the file is damaged, or is not what it should be: {0}")]
    Malformed(&'static str),
}

use ActivationFileError::Malformed;

/// What a node says about itself when it asks for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostActivation {
    /// Random. A retry keeps it; a re-activation (R31) draws a new one.
    pub request_id: [u8; 16],
    pub node: NodeId,
    pub key: TypedKey,
    /// The platform class it runs on, as the publisher's catalog names it (R34).
    pub platform: Name,
    /// What makes it this host and no other: two nodes with one digest are one host to the publisher.
    pub machine: MachineDigest,
}

/// A request with its signature, which [`Self::verify`] checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostActivationRequest {
    asked: HostActivation,
    node_key: [u8; 32],
    /// The fields as they were signed: a newer node may have signed more than this version knows.
    signed: Bytes,
    signature: [u8; 64],
}

/// The request is not signed by the node key in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the request is not signed by the node key in it")]
pub struct NotSignedByNode;

impl HostActivationRequest {
    /// Signs with the key that is to be certified.
    #[must_use]
    pub fn sign(asked: HostActivation, node_key: &SigningKey) -> Self {
        let public = node_key.verifying_key().to_bytes();
        let signed = proto::HostActivationFields {
            request_id: Bytes::copy_from_slice(&asked.request_id),
            // As in a record: no parser lets a larger node id through.
            node: u32::try_from(asked.node).unwrap_or(u32::MAX),
            key: asked.key.to_string(),
            platform: asked.platform.to_string(),
            machine: Bytes::copy_from_slice(&asked.machine.0),
            node_key: Bytes::copy_from_slice(&public),
        };
        let signed: Bytes = signed.encode_to_vec().into();
        let signature = sign(node_key, PURPOSE, &[&signed]);
        Self { asked, node_key: public, signed, signature }
    }

    /// The node's public key, once it is sure that the node holds the private one.
    pub fn verify(&self) -> Result<VerifyingKey, NotSignedByNode> {
        let node_key = public_key(&self.node_key).ok_or(NotSignedByNode)?;
        if verifies(&node_key, PURPOSE, &[&self.signed], &self.signature) { Ok(node_key) } else { Err(NotSignedByNode) }
    }

    #[must_use]
    pub fn asked(&self) -> &HostActivation {
        &self.asked
    }

    /// The node's public key, as it stands in the request.
    #[must_use]
    pub fn node_key(&self) -> &[u8; 32] {
        &self.node_key
    }

    /// SHA-256 of everything that was signed: equal for a retry, different for another request under the same id.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        hash(PURPOSE, &[&self.signed])
    }

    fn to_proto(&self) -> proto::HostActivationRequest {
        proto::HostActivationRequest { fields: self.signed.clone(), signature: Bytes::copy_from_slice(&self.signature) }
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
        };
        let node_key = fields.node_key.as_ref().try_into().map_err(|_| Malformed("node key"))?;
        Ok(Self { asked, node_key, signed: raw.fields, signature })
    }
}

/// The requests of all members that are to be activated: 1 to [`REQUESTS_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationRequests(pub Vec<HostActivationRequest>);

impl ActivationRequests {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let requests = self.0.iter().map(HostActivationRequest::to_proto).collect();
        proto::ActivationRequests { format: ACTIVATION_FORMAT, requests }.encode_to_vec()
    }

    /// Parses, and checks that no node asks twice; says nothing about the signatures: see
    /// [`HostActivationRequest::verify`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ActivationFileError> {
        let bytes = check_format(bytes)?;
        let raw = proto::ActivationRequests::decode(bytes).map_err(|_| Malformed("encoding"))?;
        check_length(raw.requests.len())?;
        let requests = raw.requests.into_iter().map(HostActivationRequest::from_proto);
        let requests: Vec<_> = requests.collect::<Result<_, _>>()?;
        check_distinct(requests.iter().map(|request| (request.asked.key.key_id(), request.asked.node)))?;
        Ok(Self(requests))
    }
}

/// What one node gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationAnswer {
    /// Of the request that is answered.
    pub request_id: [u8; 16],
    pub node: NodeId,
    pub certificate: NodeCertificate,
}

/// What a publisher gives in exchange for [`ActivationRequests`], in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationAnswers {
    pub publisher: PublisherId,
    pub answers: Vec<ActivationAnswer>,
}

impl ActivationAnswers {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let answers = self.answers.iter().map(|answer| proto::ActivationAnswer {
            request_id: Bytes::copy_from_slice(&answer.request_id),
            node: u32::try_from(answer.node).unwrap_or(u32::MAX),
            key: Bytes::copy_from_slice(&answer.certificate.key.0),
            certificate: answer.certificate.encode().into(),
        });
        proto::ActivationAnswers {
            format: ACTIVATION_FORMAT,
            publisher: Bytes::copy_from_slice(&self.publisher.0),
            answers: answers.collect(),
        }
        .encode_to_vec()
    }

    /// Parses, and checks that every certificate is of the named publisher and key and that no node has two. Whether the
    /// publisher signed them is checked by [`NodeCertificate::verify`], with the keys of an installed catalog.
    pub fn decode(bytes: &[u8]) -> Result<Self, ActivationFileError> {
        let bytes = check_format(bytes)?;
        let raw = proto::ActivationAnswers::decode(bytes).map_err(|_| Malformed("encoding"))?;
        check_length(raw.answers.len())?;
        let publisher = PublisherId::try_from(raw.publisher.as_ref()).map_err(|_| Malformed("publisher"))?;
        let answers: Vec<_> =
            raw.answers.iter().map(|answer| decode_answer(publisher, answer)).collect::<Result<_, _>>()?;
        check_distinct(answers.iter().map(|answer| (answer.certificate.key, answer.node)))?;
        Ok(Self { publisher, answers })
    }
}

fn decode_answer(
    publisher: PublisherId,
    raw: &proto::ActivationAnswer,
) -> Result<ActivationAnswer, ActivationFileError> {
    let certificate = NodeCertificate::decode(&raw.certificate).map_err(|_| Malformed("certificate"))?;
    let key = KeyId::try_from(raw.key.as_ref()).map_err(|_| Malformed("key id"))?;
    if (certificate.publisher, certificate.key) != (publisher, key) {
        return Err(Malformed("a certificate of another publisher or key"));
    }
    Ok(ActivationAnswer {
        request_id: raw.request_id.as_ref().try_into().map_err(|_| Malformed("request id"))?,
        node: node_id(raw.node.into()).map_err(|_| Malformed("node"))?,
        certificate,
    })
}

/// Bounds the file and reads its format number before anything else of it.
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

fn check_distinct(nodes: impl Iterator<Item = (KeyId, NodeId)>) -> Result<(), ActivationFileError> {
    let mut seen = BTreeSet::new();
    for node in nodes {
        if !seen.insert(node) {
            return Err(Malformed("one node has two entries"));
        }
    }
    Ok(())
}

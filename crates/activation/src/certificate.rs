//! Node certificates: a publisher allows a node's key to answer for one product group.
//!
//! The publisher signs, with either of its two activation keys, "quorate/node/1" and then publisher id, key id,
//! group, platform class, time of issue and the node's public key. An answer does not carry the publisher id: a
//! client inserts the id of the publisher that it trusts, so a certificate of another publisher does not verify.

use bytes::Bytes;
use ed25519_dalek::{SigningKey, VerifyingKey};
use prost::Message;
use thiserror::Error;

use crate::id::{CertificateId, KeyId, PublisherId};
use crate::signature::{public_key, short_hash, sign, verifies};
use crate::{limits, proto};

const PURPOSE: &str = "quorate/node/1";

/// Length of [`NodeCertificate::fields`], in bytes.
pub const FIELDS_BYTES: usize = 14;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCertificate {
    pub publisher: PublisherId,
    /// The host key for which the certificate was issued.
    pub key: KeyId,
    /// Code of the product group, as in the publisher's catalog.
    pub group: u8,
    /// Code of the platform class that the node stated.
    pub platform: u8,
    /// Time of issue, in minutes since the Unix epoch.
    pub issued_minutes: u32,
    pub node_key: [u8; 32],
    pub signature: [u8; 64],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    #[error("the certificate is malformed: {0}")]
    Malformed(&'static str),
    #[error("the certificate is not signed by this publisher")]
    Signature,
}

impl NodeCertificate {
    /// Signs a certificate for `node_key` with one of the publisher's activation keys.
    #[must_use]
    pub fn issue(
        publisher: PublisherId,
        key: KeyId,
        group: u8,
        platform: u8,
        issued_minutes: u32,
        node_key: &VerifyingKey,
        activation_key: &SigningKey,
    ) -> Self {
        let node_key = node_key.to_bytes();
        let mut certificate = Self { publisher, key, group, platform, issued_minutes, node_key, signature: [0; 64] };
        certificate.signature =
            sign(activation_key, PURPOSE, &[&publisher.0, &certificate.fields(), &certificate.node_key]);
        certificate
    }

    /// Verifies that one of the publisher's two activation keys signed the certificate, and that the node key is
    /// usable.
    pub fn verify(&self, activation_keys: &[VerifyingKey; 2]) -> Result<(), CertificateError> {
        public_key(&self.node_key).ok_or(CertificateError::Malformed("node key"))?;
        let fields = self.fields();
        let parts: [&[u8]; 3] = [&self.publisher.0, &fields, &self.node_key];
        let signed = activation_keys.iter().any(|key| verifies(key, PURPOSE, &parts, &self.signature));
        if signed { Ok(()) } else { Err(CertificateError::Signature) }
    }

    /// The id with which a catalog blocks this certificate and no other certificate of the same key.
    #[must_use]
    pub fn id(&self) -> CertificateId {
        CertificateId(short_hash("quorate/certificate/1", &[&self.publisher.0, &self.fields(), &self.node_key]))
    }

    /// The fixed layout that an answer carries: key id 8, group 1, platform 1, issue time 4, big-endian.
    #[must_use]
    pub fn fields(&self) -> [u8; FIELDS_BYTES] {
        let mut fields = [0; FIELDS_BYTES];
        let bytes = self.key.0.into_iter().chain([self.group, self.platform]).chain(self.issued_minutes.to_be_bytes());
        fields.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        fields
    }

    /// Builds a certificate from the bytes that [`Self::fields`] returned, the node key and the signature.
    pub fn from_parts(
        publisher: PublisherId,
        fields: &[u8],
        node_key: [u8; 32],
        signature: [u8; 64],
    ) -> Result<Self, CertificateError> {
        let malformed = CertificateError::Malformed("fields");
        let fields: &[u8; FIELDS_BYTES] = fields.try_into().map_err(|_| malformed)?;
        let (key, rest) = fields.split_first_chunk::<8>().ok_or(malformed)?;
        let (&[group, platform], issued) = rest.split_first_chunk::<2>().ok_or(malformed)?;
        let issued_minutes = u32::from_be_bytes(issued.try_into().map_err(|_| malformed)?);
        Ok(Self { publisher, key: KeyId(*key), group, platform, issued_minutes, node_key, signature })
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        proto::NodeCertificate {
            publisher: Bytes::copy_from_slice(&self.publisher.0),
            fields: Bytes::copy_from_slice(&self.fields()),
            node_key: Bytes::copy_from_slice(&self.node_key),
            signature: Bytes::copy_from_slice(&self.signature),
        }
        .encode_to_vec()
    }

    /// Decodes a certificate. Does not verify the signature: see [`Self::verify`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > limits::REQUEST_BYTES_MAX {
            return Err(CertificateError::Malformed("too long"));
        }
        let raw = proto::NodeCertificate::decode(bytes).map_err(|_| CertificateError::Malformed("encoding"))?;
        let publisher =
            PublisherId::try_from(raw.publisher.as_ref()).map_err(|_| CertificateError::Malformed("publisher"))?;
        let node_key = raw.node_key.as_ref().try_into().map_err(|_| CertificateError::Malformed("node key"))?;
        let signature = raw.signature.as_ref().try_into().map_err(|_| CertificateError::Malformed("signature"))?;
        Self::from_parts(publisher, &raw.fields, node_key, signature)
    }
}

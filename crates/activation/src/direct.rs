//! Direct activation (R24): a machine exchanges a direct key with the publisher for its own certificate.
//!
//! No host and no count takes part. The certificate is bound to product, CMID and machine, and lasts until a setup
//! key makes the machine a volume client again.

use bytes::Bytes;
use ed25519_dalek::{SigningKey, VerifyingKey};
use prost::Message;
use thiserror::Error;

use crate::certificate::CertificateError;
use crate::id::{Cmid, KeyId, MachineDigest, ProductId, PublisherId};
use crate::key::TypedKey;
use crate::proto;
use crate::signature::{hash, sign, verifies};

const PURPOSE: &str = "quorate/direct/1";
const REQUEST_PURPOSE: &str = "quorate/direct-request/1";

/// The longest encoded request or certificate, in bytes.
pub const DIRECT_BYTES_MAX: usize = 512;

/// Bytes that are not a request. Holds the name of the malformed field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the request is malformed: {0}")]
pub struct MalformedDirectRequest(pub &'static str);

use MalformedDirectRequest as Malformed;

/// A machine's request to its publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectRequest {
    /// Random; a retry has the same id.
    pub request_id: [u8; 16],
    pub key: TypedKey,
    pub product: ProductId,
    pub cmid: Cmid,
    pub machine: MachineDigest,
}

impl DirectRequest {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        proto::DirectRequest {
            request_id: Bytes::copy_from_slice(&self.request_id),
            key: self.key.to_string(),
            product: Bytes::copy_from_slice(&self.product.0),
            cmid: Bytes::copy_from_slice(&self.cmid.0),
            machine: Bytes::copy_from_slice(&self.machine.0),
        }
        .encode_to_vec()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedDirectRequest> {
        if bytes.len() > DIRECT_BYTES_MAX {
            return Err(Malformed("too long"));
        }
        let raw = proto::DirectRequest::decode(bytes).map_err(|_| Malformed("encoding"))?;
        Ok(Self {
            request_id: raw.request_id.as_ref().try_into().map_err(|_| Malformed("request id"))?,
            key: raw.key.parse().map_err(|_| Malformed("key"))?,
            product: ProductId::try_from(raw.product.as_ref()).map_err(|_| Malformed("product"))?,
            cmid: Cmid::try_from(raw.cmid.as_ref()).map_err(|_| Malformed("CMID"))?,
            machine: MachineDigest::try_from(raw.machine.as_ref()).map_err(|_| Malformed("machine"))?,
        })
    }

    /// SHA-256 of the encoded request: equal for a retry, different for another request with the same id.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        hash(REQUEST_PURPOSE, &[&self.encode()])
    }
}

/// The publisher's certificate that one machine may use one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectCertificate {
    pub publisher: PublisherId,
    /// The direct key for which the certificate was issued.
    pub key: KeyId,
    pub product: ProductId,
    pub cmid: Cmid,
    pub machine: MachineDigest,
    /// Time of issue, in minutes since the Unix epoch.
    pub issued_minutes: u32,
    pub signature: [u8; 64],
}

impl DirectCertificate {
    /// Issues a certificate for a request, signed with one of the publisher's activation keys.
    #[must_use]
    pub fn issue(
        publisher: PublisherId,
        request: &DirectRequest,
        issued_minutes: u32,
        activation_key: &SigningKey,
    ) -> Self {
        let DirectRequest { product, cmid, machine, .. } = *request;
        let key = request.key.key_id();
        let mut certificate = Self { publisher, key, product, cmid, machine, issued_minutes, signature: [0; 64] };
        certificate.signature = sign(activation_key, PURPOSE, &[&certificate.signed()]);
        certificate
    }

    /// Verifies that one of the publisher's two activation keys signed the certificate.
    pub fn verify(&self, activation_keys: &[VerifyingKey; 2]) -> Result<(), CertificateError> {
        let signed = self.signed();
        let verified = activation_keys.iter().any(|key| verifies(key, PURPOSE, &[&signed], &self.signature));
        if verified { Ok(()) } else { Err(CertificateError::Signature) }
    }

    /// Whether the certificate was issued for this product on this machine.
    #[must_use]
    pub fn is_for(&self, product: ProductId, cmid: Cmid, machine: MachineDigest) -> bool {
        (self.product, self.cmid, self.machine) == (product, cmid, machine)
    }

    /// The signed fields: every field except the signature, each of fixed length.
    fn signed(&self) -> Vec<u8> {
        let issued = self.issued_minutes.to_be_bytes();
        let parts: [&[u8]; 6] =
            [&self.publisher.0, &self.key.0, &self.product.0, &self.cmid.0, &self.machine.0, &issued];
        parts.concat()
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        proto::DirectCertificate {
            publisher: Bytes::copy_from_slice(&self.publisher.0),
            key: Bytes::copy_from_slice(&self.key.0),
            product: Bytes::copy_from_slice(&self.product.0),
            cmid: Bytes::copy_from_slice(&self.cmid.0),
            machine: Bytes::copy_from_slice(&self.machine.0),
            issued_minutes: self.issued_minutes,
            signature: Bytes::copy_from_slice(&self.signature),
        }
        .encode_to_vec()
    }

    /// Decodes a certificate. Does not verify the signature: see [`Self::verify`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CertificateError> {
        let malformed = CertificateError::Malformed;
        if bytes.len() > DIRECT_BYTES_MAX {
            return Err(malformed("too long"));
        }
        let raw = proto::DirectCertificate::decode(bytes).map_err(|_| malformed("encoding"))?;
        Ok(Self {
            publisher: PublisherId::try_from(raw.publisher.as_ref()).map_err(|_| malformed("publisher"))?,
            key: KeyId::try_from(raw.key.as_ref()).map_err(|_| malformed("key id"))?,
            product: ProductId::try_from(raw.product.as_ref()).map_err(|_| malformed("product"))?,
            cmid: Cmid::try_from(raw.cmid.as_ref()).map_err(|_| malformed("CMID"))?,
            machine: MachineDigest::try_from(raw.machine.as_ref()).map_err(|_| malformed("machine"))?,
            issued_minutes: raw.issued_minutes,
            signature: raw.signature.as_ref().try_into().map_err(|_| malformed("signature"))?,
        })
    }
}

//! Node certificates: a publisher allows a node's key to answer for one product group.
//!
//! The publisher signs, with either of its two activation keys, "quorate/node/1" and then publisher id, key id,
//! group, platform class, time of issue, the lifetime if there is one, and the node's public key. An answer does
//! not carry the publisher id: a client inserts the id of the publisher that it trusts, so a certificate of another
//! publisher does not verify.
//!
//! A certificate does not expire unless the publisher's catalog limits its lifetime (R6). The lifetime makes the fixed
//! layout two bytes longer, so earlier versions reject the certificate as malformed.

use std::num::NonZeroU16;

use bytes::Bytes;
use ed25519_dalek::{SigningKey, VerifyingKey};
use prost::Message;
use thiserror::Error;

use crate::id::{CertificateId, KeyId, PublisherId};
use crate::signature::{public_key, short_hash, sign, verifies};
use crate::{limits, proto};

const PURPOSE: &str = "quorate/node/1";

/// Length of [`NodeCertificate::fields`] of a certificate that does not expire, in bytes.
pub const FIELDS_BYTES: usize = 14;

/// How long after its expiry a certificate can be renewed without a reactivation, in milliseconds: 30 days.
pub const RENEWAL_AFTER_END_MS: u64 = 30 * DAY_MS;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const MINUTE_MS: u64 = 60 * 1000;

/// When a certificate was issued, and how long it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Time of issue, in minutes since the Unix epoch.
    pub issued_minutes: u32,
    /// The lifetime from the time of issue on, in days; `None` if the certificate does not expire.
    pub days: Option<NonZeroU16>,
}

impl Validity {
    fn issued_ms(self) -> u64 {
        u64::from(self.issued_minutes) * MINUTE_MS
    }

    fn lifetime_ms(self) -> Option<u64> {
        self.days.map(|days| u64::from(days.get()) * DAY_MS)
    }

    /// When the certificate expires, in milliseconds since the Unix epoch; `None` if it does not expire.
    #[must_use]
    pub fn ends_ms(self) -> Option<u64> {
        self.lifetime_ms().map(|lifetime_ms| self.issued_ms() + lifetime_ms)
    }

    /// Whether the certificate has expired at this time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn has_ended_at(self, time_ms: u64) -> bool {
        self.ends_ms().is_some_and(|ends_ms| time_ms >= ends_ms)
    }

    /// From when on a cluster requests the next certificate, in milliseconds since the Unix epoch: the last third of
    /// the lifetime. `None` if the certificate does not expire.
    #[must_use]
    pub fn due_ms(self) -> Option<u64> {
        self.lifetime_ms().map(|lifetime_ms| self.issued_ms() + lifetime_ms / 3 * 2)
    }

    /// Whether a cluster requests the next certificate at this time: in the last third of the lifetime, and after
    /// the expiry.
    #[must_use]
    pub fn is_due_at(self, time_ms: u64) -> bool {
        self.due_ms().is_some_and(|due_ms| time_ms >= due_ms)
    }

    /// Whether the publisher renews the certificate at this time without a reactivation: from the middle of its
    /// lifetime until [`RENEWAL_AFTER_END_MS`] after its expiry.
    #[must_use]
    pub fn may_be_renewed_at(self, time_ms: u64) -> bool {
        self.lifetime_ms().is_some_and(|lifetime_ms| {
            let (begins_ms, ends_ms) = (self.issued_ms() + lifetime_ms / 2, self.issued_ms() + lifetime_ms);
            (begins_ms..ends_ms + RENEWAL_AFTER_END_MS).contains(&time_ms)
        })
    }
}

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
    /// The lifetime from the time of issue on, in days; `None` if the certificate does not expire (R6).
    pub days: Option<NonZeroU16>,
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
    /// Signs a certificate for `node_key`, which does not expire, with one of the publisher's activation keys.
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
        let validity = Validity { issued_minutes, days: None };
        Self::issue_for(publisher, key, (group, platform), validity, node_key, activation_key)
    }

    /// Signs a certificate for `node_key` with this validity, for a product group and a platform class, with one of
    /// the publisher's activation keys.
    #[must_use]
    pub fn issue_for(
        publisher: PublisherId,
        key: KeyId,
        (group, platform): (u8, u8),
        Validity { issued_minutes, days }: Validity,
        node_key: &VerifyingKey,
        activation_key: &SigningKey,
    ) -> Self {
        let (node_key, signature) = (node_key.to_bytes(), [0; 64]);
        let mut certificate = Self { publisher, key, group, platform, issued_minutes, days, node_key, signature };
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

    #[must_use]
    pub fn validity(&self) -> Validity {
        Validity { issued_minutes: self.issued_minutes, days: self.days }
    }

    /// The fixed layout that an answer carries: key id 8, group 1, platform 1, issue time 4, big-endian; then the
    /// lifetime in days 2, if the certificate expires.
    #[must_use]
    pub fn fields(&self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(FIELDS_BYTES + 2);
        fields.extend_from_slice(&self.key.0);
        fields.extend_from_slice(&[self.group, self.platform]);
        fields.extend_from_slice(&self.issued_minutes.to_be_bytes());
        if let Some(days) = self.days {
            fields.extend_from_slice(&days.get().to_be_bytes());
        }
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
        let (key, rest) = fields.split_first_chunk::<8>().ok_or(malformed)?;
        let (&[group, platform], rest) = rest.split_first_chunk::<2>().ok_or(malformed)?;
        let (issued, rest) = rest.split_first_chunk::<4>().ok_or(malformed)?;
        let days = match *rest {
            [] => None,
            // A lifetime of 0 days is malformed, so that a certificate without expiry has one encoding only.
            [high, low] => Some(NonZeroU16::new(u16::from_be_bytes([high, low])).ok_or(malformed)?),
            _ => return Err(malformed),
        };
        let issued_minutes = u32::from_be_bytes(*issued);
        Ok(Self { publisher, key: KeyId(*key), group, platform, issued_minutes, days, node_key, signature })
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        proto::NodeCertificate {
            publisher: Bytes::copy_from_slice(&self.publisher.0),
            fields: self.fields().into(),
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

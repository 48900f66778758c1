//! The content of a certificate, in the terms of this crate.

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::parse_x509_certificate;

use crate::{error::TransportError, subject::Subject};

/// The content of a certificate. Reading it does not verify it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The holder of the certificate.
    pub subject: Subject,
    /// SHA-256 of the public key, as SubjectPublicKeyInfo in DER. A renewed certificate for the same key has the same
    /// value.
    pub key: [u8; 32],
    /// The serial number, big-endian (RFC 5280, section 4.1.2.2).
    pub serial: Vec<u8>,
    /// SHA-256 of the issuer's name in DER; it differs between all authorities of a cluster.
    pub issuer: [u8; 32],
    /// When the validity begins, in milliseconds since 1970.
    pub begins_ms: u64,
    /// When the validity ends, in milliseconds since 1970.
    pub ends_ms: u64,
}

impl Certificate {
    /// Reads the first certificate in PEM.
    pub fn from_pem(pem: &str) -> Result<Self, TransportError> {
        Self::of(&CertificateDer::from(Self::der_of(pem)?))
    }

    /// The first certificate in PEM, converted to DER.
    pub fn der_of(pem: &str) -> Result<Vec<u8>, TransportError> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes());
        let not_pem = |_| TransportError::NotPem { what: "the certificate".into(), expected: "certificate" };
        Ok(der.map_err(not_pem)?.to_vec())
    }

    /// A certificate in DER, converted to PEM (RFC 7468).
    #[must_use]
    pub fn pem_of(der: &[u8]) -> String {
        pem("CERTIFICATE", der)
    }

    /// The certificates in a PEM text, each as PEM, in their order; other text between them is ignored.
    pub fn all_in_pem(pem: &str) -> Result<Vec<String>, TransportError> {
        let all = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
        let not_pem = |_| TransportError::NotPem { what: "the text".into(), expected: "certificate" };
        Ok(all.map_err(not_pem)?.iter().map(|der| Self::pem_of(der)).collect())
    }

    pub(crate) fn of(der: &CertificateDer<'_>) -> Result<Self, TransportError> {
        let (_, parsed) = parse_x509_certificate(der)
            .map_err(|_| TransportError::Certificate("a certificate is malformed".into()))?;
        let ms = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0).saturating_mul(1000);
        Ok(Self {
            subject: Subject::of(der)?,
            key: Sha256::digest(parsed.public_key().raw).into(),
            serial: parsed.raw_serial().to_vec(),
            issuer: Sha256::digest(parsed.issuer().as_raw()).into(),
            begins_ms: ms(parsed.validity().not_before),
            ends_ms: ms(parsed.validity().not_after),
        })
    }

    /// Whether at most a third of the lifetime is left at `now_ms`, so that the certificate must be renewed.
    pub fn is_in_last_third_at(&self, now_ms: u64) -> bool {
        let life_ms = self.ends_ms.saturating_sub(self.begins_ms);
        self.ends_ms.saturating_sub(now_ms) <= life_ms / 3
    }

    /// Whether the certificate is valid at `now_ms`, in milliseconds since 1970.
    pub fn is_valid_at(&self, now_ms: u64) -> bool {
        (self.begins_ms..=self.ends_ms).contains(&now_ms)
    }
}

/// DER with this label in PEM (RFC 7468).
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(der);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

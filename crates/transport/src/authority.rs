//! The cluster's own certification authority.

use std::time::Duration;

use data_encoding::HEXLOWER;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, pem::PemObject};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer};
use zeroize::Zeroizing;

use crate::{
    certificate::pem,
    error::TransportError,
    limits::{AUTHORITY_LIFETIME, CLOCK_SKEW},
    subject::Subject,
};

/// The DNS name in every node's certificate, independent of the node's address.
pub(crate) const NODE_NAME: &str = "node.quorate";

/// The certification authority of one cluster: certifies its nodes and persons.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &HEXLOWER.encode(&self.fingerprint())).finish_non_exhaustive()
    }
}

impl Authority {
    /// A new authority, with a new key.
    pub fn create(now_ms: u64) -> Result<Self, TransportError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, "quorate");
        // Unique for every cluster, so that an administrator can distinguish their certificates.
        subject.push(DnType::CommonName, format!("Quorate cluster {}", HEXLOWER.encode(&random::<8>()?)));
        params.distinguished_name = subject;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = period(now_ms, AUTHORITY_LIFETIME)?;
        params.serial_number = Some(serial_number()?);
        let certificate = params.self_signed(&key)?;
        Self::from_pem(&certificate.pem(), &key.serialize_pem())
    }

    /// An existing authority, from its certificate and its key in PEM.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, TransportError> {
        let not_pem = |expected| TransportError::NotPem { what: "the authority".into(), expected };
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| not_pem("certificate"))?;
        let key = KeyPair::from_pem(key).map_err(|_| not_pem("private key"))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| not_pem("certificate"))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
            return Err(TransportError::Certificate("the authority's key does not belong to its certificate".into()));
        }
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        Ok(Self { issuer, certificate: der, certificate_pem: certificate.to_owned() })
    }

    /// SHA-256 of an authority's certificate; the certificate is given in PEM.
    pub fn fingerprint_of(certificate_pem: &str) -> Result<[u8; 32], TransportError> {
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes());
        let not_pem = |_| TransportError::NotPem { what: "the authority".into(), expected: "certificate" };
        Ok(fingerprint(&der.map_err(not_pem)?))
    }

    /// SHA-256 of the name (in DER) of the authority whose certificate is given in PEM. Certificates issued by it
    /// have the same value in [`crate::Certificate::issuer`].
    pub fn name_of(certificate_pem: &str) -> Result<[u8; 32], TransportError> {
        let not_pem = || TransportError::NotPem { what: "the authority".into(), expected: "certificate" };
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|_| not_pem())?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| not_pem())?;
        Ok(Sha256::digest(parsed.subject().as_raw()).into())
    }

    /// The first authority's certificate in PEM, converted to DER.
    pub fn der_of(certificate_pem: &str) -> Result<Vec<u8>, TransportError> {
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes());
        let not_pem = |_| TransportError::NotPem { what: "the authority".into(), expected: "certificate" };
        Ok(der.map_err(not_pem)?.to_vec())
    }

    /// The authority's certificate in DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The authority's certificate in PEM, which is public.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's private key in PEM, which only nodes may have.
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// SHA-256 of the authority's certificate.
    pub fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.certificate)
    }

    /// A certificate in PEM for `subject`, with the key that signed the request. Everything else in the request is
    /// ignored.
    pub fn issue(
        &self,
        request: &SigningRequest,
        subject: &Subject,
        now_ms: u64,
        lifetime: Duration,
    ) -> Result<String, TransportError> {
        self.sign(&request.0.public_key, subject, now_ms, lifetime)
    }

    /// A certificate for `subject` with a new key; both in PEM.
    pub fn issue_with_key(
        &self,
        subject: &Subject,
        now_ms: u64,
        lifetime: Duration,
    ) -> Result<(String, Zeroizing<String>), TransportError> {
        let key = KeyPair::generate()?;
        let certificate = self.sign(&key, subject, now_ms, lifetime)?;
        Ok((certificate, Zeroizing::new(key.serialize_pem())))
    }

    /// A new certificate for `subject` with its existing key; both in PEM.
    pub fn renew(
        &self,
        subject: &Subject,
        key_pem: &str,
        now_ms: u64,
        lifetime: Duration,
    ) -> Result<String, TransportError> {
        let not_a_key = |_| TransportError::NotPem { what: "the key".into(), expected: "private key" };
        self.sign(&KeyPair::from_pem(key_pem).map_err(not_a_key)?, subject, now_ms, lifetime)
    }

    fn sign(
        &self,
        key: &impl PublicKeyData,
        subject: &Subject,
        now_ms: u64,
        lifetime: Duration,
    ) -> Result<String, TransportError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject.distinguished_name();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if let Subject::Node(_) = subject {
            let name = NODE_NAME.try_into()?;
            params.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial_number()?);
        (params.not_before, params.not_after) = period(now_ms, lifetime)?;
        Ok(params.signed_by(key, &self.issuer)?.pem())
    }
}

/// A certificate signing request: a public key, and the proof that the requester has the private key.
pub struct SigningRequest(CertificateSigningRequestParams);

impl SigningRequest {
    /// Creates a key and a request for it: the request in DER, the key in PEM.
    pub fn create() -> Result<(Vec<u8>, Zeroizing<String>), TransportError> {
        let key = KeyPair::generate()?;
        let request = CertificateParams::default().serialize_request(&key)?;
        Ok((request.der().to_vec(), Zeroizing::new(key.serialize_pem())))
    }

    /// A request in DER for an existing key in PEM, to renew a certificate.
    pub fn with_key(key_pem: &str) -> Result<Vec<u8>, TransportError> {
        let not_a_key = |_| TransportError::NotPem { what: "the key".into(), expected: "private key" };
        let key = KeyPair::from_pem(key_pem).map_err(not_a_key)?;
        Ok(CertificateParams::default().serialize_request(&key)?.der().to_vec())
    }

    /// A request in DER for a node's existing key in PEM. Its subject has the node's number.
    pub fn of_node(node: u64, key_pem: &str) -> Result<Vec<u8>, TransportError> {
        let not_a_key = |_| TransportError::NotPem { what: "the key".into(), expected: "private key" };
        let key = KeyPair::from_pem(key_pem).map_err(not_a_key)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = Subject::Node(node).distinguished_name();
        Ok(params.serialize_request(&key)?.der().to_vec())
    }

    /// The subject of a request in DER. Error: the request is malformed, or has no valid subject.
    pub fn subject_of(der: &[u8]) -> Result<Subject, TransportError> {
        let (_, request) = X509CertificationRequest::from_der(der).map_err(|_| TransportError::Request)?;
        Subject::of_name(&request.certification_request_info.subject)
    }

    /// A request in DER, converted to PEM.
    pub fn pem_of(der: &[u8]) -> String {
        pem("CERTIFICATE REQUEST", der)
    }

    /// The first request in PEM, converted to DER.
    pub fn der_of(pem: &[u8]) -> Result<Vec<u8>, TransportError> {
        let der = CertificateSigningRequestDer::from_pem_slice(pem);
        let not_pem = |_| TransportError::NotPem { what: "the file".into(), expected: "certificate signing request" };
        Ok(der.map_err(not_pem)?.to_vec())
    }

    /// A new key in PEM.
    pub fn new_key() -> Result<Zeroizing<String>, TransportError> {
        Ok(Zeroizing::new(KeyPair::generate()?.serialize_pem()))
    }

    /// Reads a request in DER, and verifies its signature.
    pub fn from_der(der: &[u8]) -> Result<Self, TransportError> {
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der));
        request.map(Self).map_err(|_| TransportError::Request)
    }
}

pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

/// The period of validity, which begins [`CLOCK_SKEW`] before `now_ms` and ends `lifetime` after it. A short
/// lifetime, as in tests, therefore counts from now.
fn period(now_ms: u64, lifetime: Duration) -> Result<(OffsetDateTime, OffsetDateTime), TransportError> {
    let now = i64::try_from(now_ms / 1000).ok().and_then(|now| OffsetDateTime::from_unix_timestamp(now).ok());
    let now = now.ok_or_else(|| TransportError::Certificate("the clock shows no valid date".into()))?;
    let skew = time::Duration::try_from(CLOCK_SKEW).unwrap_or_default();
    let lifetime = time::Duration::try_from(lifetime).unwrap_or_default();
    Ok((now.saturating_sub(skew), now.saturating_add(lifetime)))
}

/// Positive and unique (RFC 5280, section 4.1.2.2).
fn serial_number() -> Result<SerialNumber, TransportError> {
    let mut bytes = random::<16>()?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7F | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], TransportError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| TransportError::Certificate(format!("no randomness: {error}")))?;
    Ok(bytes)
}

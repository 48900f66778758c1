//! The certificate that the service presents to its clients (TLS 1.3).
//!
//! Unless the publisher has an ordinary certificate, an activation key signs one, as a certification authority
//! would, for a key pair that exists only in memory. Clients have both activation keys from the trust file, so they
//! need nothing else to verify the service.
//!
//! One key may sign both X.509 certificates and node certificates, because bytes signed for one purpose can never be
//! taken for the other. What the domain signs begins with the text `quorate/` and its purpose; what X.509 signs is
//! an ASN.1 sequence and begins with the byte 0x30. Also, no client influences the signed bytes: name, public key
//! and times are chosen by the service. The certificate names the publisher, is not an authority, and is valid for
//! servers only, so it cannot be used to certify anything else.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use activation::{SigningKey, id::PublisherId};
use ed25519_dalek::Signer;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ED25519, PublicKeyData, SignatureAlgorithm,
};
use time::OffsetDateTime;
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};

use super::error::ServeError;
use crate::{
    clock,
    limits::{CERTIFICATE_CLOCK_SKEW, CERTIFICATE_LIFETIME},
};

/// An ordinary certificate with its private key.
pub struct OrdinaryCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl OrdinaryCertificate {
    /// Reads a certificate chain, the server's own certificate first, and the private key, both in PEM.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, ServeError> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or(ServeError::Certificate("the certificate file holds no certificate in PEM".into()))?;
        let key = PrivateKeyDer::from_pem_slice(key);
        let key = key.map_err(|_| ServeError::Certificate("the key file holds no private key in PEM".into()))?;
        Ok(Self { chain, key })
    }
}

/// The certificate that the service presents now.
pub(super) struct Shown {
    now: RwLock<Arc<CertifiedKey>>,
    is_renewed: bool,
}

impl Shown {
    /// The publisher's ordinary certificate, which is not renewed automatically.
    pub(super) fn ordinary(certificate: OrdinaryCertificate) -> Result<Self, ServeError> {
        Ok(Self { now: RwLock::new(certified(certificate)?), is_renewed: false })
    }

    /// A certificate that the activation key signs.
    pub(super) fn signed(publisher: PublisherId, activation_key: &SigningKey) -> Result<Self, ServeError> {
        Ok(Self { now: RwLock::new(Arc::new(issue(publisher, activation_key)?)), is_renewed: true })
    }

    /// Replaces the ordinary certificate. Returns `false` where the activation key signs the certificate; then
    /// nothing is replaced.
    pub(super) fn replace(&self, certificate: OrdinaryCertificate) -> Result<bool, ServeError> {
        if self.is_renewed {
            return Ok(false);
        }
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = certified(certificate)?;
        Ok(true)
    }

    /// Whether the certificate must be replaced by [`Self::renew`] at intervals.
    pub(super) fn is_renewed(&self) -> bool {
        self.is_renewed
    }

    /// Replaces the certificate that [`Self::signed`] issued by a new one.
    pub(super) fn renew(&self, publisher: PublisherId, activation_key: &SigningKey) -> Result<(), ServeError> {
        let certified = Arc::new(issue(publisher, activation_key)?);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(())
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Pairs certificate and private key.
///
/// Errors: the private key does not belong to the certificate.
fn certified(certificate: OrdinaryCertificate) -> Result<Arc<CertifiedKey>, ServeError> {
    let OrdinaryCertificate { chain, key } = certificate;
    let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
    certified.map(Arc::new).map_err(|error| ServeError::Certificate(error.to_string()))
}

/// A server configuration for TLS 1.3 and HTTP/2 only.
pub(super) fn server_config(shown: Arc<Shown>) -> Result<ServerConfig, ServeError> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
    let config = config.map_err(|error| ServeError::Certificate(error.to_string()))?;
    let mut config = config.with_no_client_auth().with_cert_resolver(shown);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// The activation key as the signing authority.
struct Authority<'a>(&'a SigningKey);

impl PublicKeyData for Authority<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.as_ref().as_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl rcgen::SigningKey for Authority<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.sign(message).to_vec())
    }
}

fn issue(publisher: PublisherId, activation_key: &SigningKey) -> Result<CertifiedKey, ServeError> {
    let error = |error: rcgen::Error| ServeError::Certificate(error.to_string());
    let mut authority = CertificateParams::default();
    authority.distinguished_name = named(format!("Quorate publisher {publisher}"));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuer = Issuer::new(authority, Authority(activation_key));

    let name = format!("{publisher}.publisher.quorate.invalid");
    let mut leaf = CertificateParams::new([name.clone()]).map_err(error)?;
    leaf.distinguished_name = named(name);
    leaf.is_ca = IsCa::ExplicitNoCa;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = i64::try_from(clock::now_ms() / 1000).unwrap_or(i64::MAX);
    let now = OffsetDateTime::from_unix_timestamp(now);
    let now = now.map_err(|error| ServeError::Certificate(format!("the clock shows no date: {error}")))?;
    leaf.not_before = now.saturating_sub(CERTIFICATE_CLOCK_SKEW.try_into().unwrap_or_default());
    leaf.not_after = now.saturating_add(CERTIFICATE_LIFETIME.try_into().unwrap_or_default());

    let key_pair = KeyPair::generate_for(&PKCS_ED25519).map_err(error)?;
    let certificate = leaf.signed_by(&key_pair, &issuer).map_err(error)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_pair.serialize_der()));
    CertifiedKey::from_der(vec![certificate.der().clone()], key, &ring::default_provider())
        .map_err(|error| ServeError::Certificate(error.to_string()))
}

fn named(common_name: String) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_certificate_replaces_the_previous_one() {
        let (publisher, key) = (PublisherId([1; 16]), SigningKey::from_bytes(&[2; 32]));
        let shown = Shown::signed(publisher, &key).unwrap();
        let now = || shown.now.read().unwrap().cert.clone();
        let before = now();
        shown.renew(publisher, &key).unwrap();
        assert_ne!(now(), before, "a key pair of its own");
    }

    #[test]
    fn what_an_activation_key_signs_for_tls_cannot_be_anything_else_of_ours() {
        let certified = issue(PublisherId([1; 16]), &SigningKey::from_bytes(&[2; 32])).unwrap();
        // Certificate ::= SEQUENCE { tbsCertificate, ... }, with a length of two bytes each (RFC 5280, section 4.1).
        let signed = certified.cert[0].as_ref().get(4..).unwrap();
        assert!(signed.starts_with(&[0x30, 0x82]), "what is signed begins as a sequence");
        assert!(!signed.starts_with(b"quorate/"));
    }
}

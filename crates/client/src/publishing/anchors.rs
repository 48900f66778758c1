//! The trust anchors against which TLS verifies the publisher's service.
//!
//! The publisher's two activation keys are trust anchors, as certification authorities are for a browser, and there
//! are no others. The usual verification does the rest: one of them must have signed the certificate, it must be
//! valid now and for a server, and it must have the name that only this publisher has. An activation key also signs
//! node certificates; those begin with the text `quorate/`, X.509 ones with the byte 0x30, so neither is accepted as
//! the other.

use std::sync::Arc;

use activation::VerifyingKey;
use activation::id::PublisherId;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, Der, ServerName, TrustAnchor};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::error::PublishingError;
use crate::address::HostAddress;

/// A client configuration for TLS 1.3 and HTTP/2 to this publisher only, and the name that its certificate must
/// have.
pub(super) fn of_publisher(
    publisher: PublisherId,
    activation_keys: &[VerifyingKey; 2],
) -> Result<(ClientConfig, ServerName<'static>), PublishingError> {
    let subject = common_name(&format!("Quorate publisher {publisher}"));
    let anchors = activation_keys.iter().map(|key| TrustAnchor {
        subject: Der::from(subject.clone()),
        subject_public_key_info: Der::from(ed25519(key)),
        name_constraints: None,
    });
    let name = ServerName::try_from(format!("{publisher}.publisher.quorate.invalid"));
    let name = name.map_err(|_| PublishingError::Certificates("the publisher has no name"))?;
    Ok((config(RootCertStore { roots: anchors.collect() })?, name))
}

/// A client configuration for a publisher with an ordinary certificate, of an authority in the PEM file
/// `authorities`.
pub(super) fn of_authorities(
    address: &HostAddress,
    authorities: &[u8],
) -> Result<(ClientConfig, ServerName<'static>), PublishingError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities) {
        let certificate = certificate.map_err(|_| PublishingError::Certificates("not PEM"))?;
        roots.add(certificate).map_err(|_| PublishingError::Certificates("a certificate is damaged"))?;
    }
    if roots.is_empty() {
        return Err(PublishingError::Certificates("it holds none"));
    }
    let name = ServerName::try_from(address.host().trim_end_matches('.').to_owned());
    Ok((config(roots)?, name.map_err(|_| PublishingError::Certificates("no certificate can name this address"))?))
}

fn config(roots: RootCertStore) -> Result<ClientConfig, PublishingError> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
    let config = config.map_err(|_| PublishingError::Certificates("TLS 1.3 is missing"))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// An X.501 name of one common name (RFC 5280, section 4.1.2.4), without its outer tag and length.
fn common_name(text: &str) -> Vec<u8> {
    let oid = [0x06, 0x03, 0x55, 0x04, 0x03];
    let attribute = [&oid[..], &tagged(0x0C, text.as_bytes())].concat();
    tagged(0x31, &tagged(0x30, &attribute))
}

/// SubjectPublicKeyInfo of an Ed25519 key (RFC 8410, section 4), without its outer tag and length.
fn ed25519(key: &VerifyingKey) -> Vec<u8> {
    let algorithm = [0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70];
    // A bit string without unused bits.
    let bits = [&[0][..], key.as_bytes()].concat();
    [&algorithm[..], &tagged(0x03, &bits)].concat()
}

/// DER: tag, length, content. The content is shorter than 128 bytes here, so that its length is one byte.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    debug_assert!(length < 128, "a length of more than one byte");
    [&[tag, length], content].concat()
}

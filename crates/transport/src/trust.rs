//! Verification of the other side: by which authorities, and by which name.

use std::{sync::Arc, time::Duration};

use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature},
    pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime},
    server::{
        ClientCertVerifierBuilder, NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};

use crate::{
    authority::{NODE_NAME, fingerprint},
    certificate::Certificate,
    error::TransportError,
    known::KnownKeys,
    subject::Subject,
};

/// Which callers may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Callers with a certificate of one of the authorities, even if it has ended: a node that was off for a year
    /// returns and renews it. Services that grant more rights must check the end of the certificate.
    Certified,
    /// In addition, callers without a certificate, for a short time, so that they can request one. An invalid
    /// certificate is refused here too.
    Anybody,
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub(crate) fn roots(authorities: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, TransportError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone())?;
    }
    Ok(Arc::new(roots))
}

/// A TLS 1.3 configuration for HTTP/2. Handshakes are never resumed, so that the certificate is verified each time.
pub(crate) fn server_config(
    roots: Arc<RootCertStore>,
    shown: Arc<CertifiedKey>,
    audience: Audience,
    (known, lists): (KnownKeys, &[CertificateRevocationListDer<'static>]),
) -> Result<ServerConfig, TransportError> {
    let callers = callers(roots, lists);
    let callers = match audience {
        Audience::Certified => callers.build(),
        Audience::Anybody => callers.allow_unauthenticated().build(),
    };
    let callers = callers.map_err(|error| TransportError::Certificate(error.to_string()))?;
    let callers = Arc::new(Callers { by_authority: callers, known, audience });
    let config = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    let mut config =
        config.with_client_cert_verifier(callers).with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Verifies callers with the authorities and their revocation lists. A list stays in force after it has expired. A
/// certificate counts as not revoked if there is no list of its authority.
fn callers(roots: Arc<RootCertStore>, lists: &[CertificateRevocationListDer<'static>]) -> ClientCertVerifierBuilder {
    let callers = WebPkiClientVerifier::builder_with_provider(roots, provider());
    callers.with_crls(lists.iter().cloned()).allow_unknown_revocation_status()
}

/// Verifies that the authorities which certified this chain signed their lists. With a list that they did not sign,
/// every caller would be refused.
pub(crate) fn check_lists(
    roots: Arc<RootCertStore>,
    lists: &[CertificateRevocationListDer<'static>],
    chain: &[CertificateDer<'static>],
) -> Result<(), TransportError> {
    let Some((own, between)) = chain.split_first().filter(|_| !lists.is_empty()) else { return Ok(()) };
    let verifier = callers(roots, lists).build();
    let verifier = verifier.map_err(|error| TransportError::Certificate(format!("the revocation list: {error}")))?;
    match verifier.verify_client_cert(own, between, UnixTime::now()) {
        Err(error @ Error::InvalidCertRevocationList(_)) => {
            Err(TransportError::Certificate(format!("the revocation list: {error}")))
        }
        // The certificate itself is verified elsewhere.
        _ => Ok(()),
    }
}

/// Verifies callers: known keys independent of the authority that certified them, all others by the authorities.
#[derive(Debug)]
struct Callers {
    by_authority: Arc<dyn ClientCertVerifier>,
    known: KnownKeys,
    audience: Audience,
}

impl ClientCertVerifier for Callers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.by_authority.root_hint_subjects()
    }

    fn offer_client_auth(&self) -> bool {
        self.by_authority.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.by_authority.client_auth_mandatory()
    }

    /// Between nodes a certificate that has ended is verified as of its end.
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let malformed = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
        let shown = Certificate::of(end_entity).map_err(malformed)?;
        let now_ms = now.as_secs().saturating_mul(1000);
        let (is_known, then_s) = match self.audience {
            Audience::Certified => (self.known.is_node(&shown.key), now.as_secs().min(shown.ends_ms / 1000)),
            Audience::Anybody => {
                let is_known = self.known.is_node(&shown.key) || self.known.is_person(&shown.key, shown.ends_ms);
                (is_known && shown.is_valid_at(now_ms), now.as_secs())
            }
        };
        if is_known {
            // The handshake proves that the caller has the private key.
            return Ok(ClientCertVerified::assertion());
        }
        let then = UnixTime::since_unix_epoch(Duration::from_secs(then_s));
        self.by_authority.verify_client_cert(end_entity, intermediates, then)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authority.supported_verify_schemes()
    }
}

/// The client's configuration for [`server_config`]; without `shown`, the client presents no certificate.
pub(crate) fn client_config(
    nodes: Arc<Nodes>,
    shown: Option<Arc<CertifiedKey>>,
) -> Result<ClientConfig, TransportError> {
    let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    let config = config.dangerous().with_custom_certificate_verifier(nodes);
    let mut config = match shown {
        Some(shown) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown))),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Accepts only nodes of the cluster as servers.
#[derive(Debug)]
pub(crate) enum Nodes {
    /// One of these authorities certified the node, or its key is known.
    Of(Arc<WebPkiServerVerifier>, KnownKeys),
    /// The authority with this SHA-256 certified the node, which sends the authority's certificate along.
    Pinned([u8; 32]),
}

impl Nodes {
    pub(crate) fn of(
        roots: Arc<RootCertStore>,
        known: KnownKeys,
        lists: &[CertificateRevocationListDer<'static>],
    ) -> Result<Self, TransportError> {
        Ok(Self::Of(verifier(roots, lists).map_err(|error| TransportError::Certificate(error.to_string()))?, known))
    }
}

fn is_known_node(end_entity: &CertificateDer<'_>, known: &KnownKeys) -> bool {
    let shown = Certificate::of(end_entity);
    shown.is_ok_and(|shown| matches!(shown.subject, Subject::Node(_)) && known.is_node(&shown.key))
}

fn verifier(
    roots: Arc<RootCertStore>,
    lists: &[CertificateRevocationListDer<'static>],
) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider());
    let verifier = verifier.with_crls(lists.iter().cloned()).allow_unknown_revocation_status().build();
    verifier.map_err(|error| Error::General(error.to_string()))
}

impl ServerCertVerifier for Nodes {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        address: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier = match self {
            Self::Of(_, known) if is_known_node(end_entity, known) => {
                // The handshake proves that the node has the private key.
                return Ok(ServerCertVerified::assertion());
            }
            Self::Of(verifier, _) => Arc::clone(verifier),
            Self::Pinned(expected) => {
                let authority = intermediates.iter().find(|certificate| fingerprint(certificate) == *expected);
                let authority = authority.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
                let mut roots = RootCertStore::empty();
                roots.add(authority.clone().into_owned())?;
                verifier(Arc::new(roots), &[])?
            }
        };
        let verify =
            |name: &ServerName<'_>| verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        let node = ServerName::try_from(NODE_NAME).map_err(|error| Error::General(error.to_string()))?;
        let verified = match verify(&node) {
            // An organisation's authority issues certificates with the machine's name: then the address must be that
            // name.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => verify(address)?,
            verified => verified?,
        };
        // Such an authority certifies many machines, so the subject must name a node.
        match Subject::of(end_entity) {
            Ok(Subject::Node(_)) => Ok(verified),
            _ => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is supported".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

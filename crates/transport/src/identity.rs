//! The certificate that a node or a person presents, and the authorities that it trusts.

use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::rustls::{
    ClientConfig, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use crate::{
    certificate::Certificate,
    error::TransportError,
    known::KnownKeys,
    revocation_list::RevocationLists,
    subject::Subject,
    trust::{Audience, Nodes, check_lists, client_config, provider, roots, server_config},
};

/// A certificate with its chain and key, and the trusted authorities. Ready for handshakes.
#[derive(Debug)]
pub struct Identity {
    certificate: Certificate,
    certified: Arc<ServerConfig>,
    anybody: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    lists: Option<RevocationLists>,
}

impl Identity {
    /// From PEM: in `chain` the own certificate first, then those between it and the authority; the key; the
    /// trusted authorities.
    pub fn from_pem(chain: &[u8], key: &[u8], authorities: &[u8]) -> Result<Self, TransportError> {
        Self::from_pem_knowing(chain, key, authorities, &KnownKeys::default())
    }

    /// Like [`Self::from_pem`]; in addition, holders of the known keys are trusted, whichever authority certified
    /// them.
    pub fn from_pem_knowing(
        chain: &[u8],
        key: &[u8],
        authorities: &[u8],
        known: &KnownKeys,
    ) -> Result<Self, TransportError> {
        Self::from_pem_with((chain, key, authorities), known, None)
    }

    /// Like [`Self::from_pem_knowing`]; in addition, certificates that are in the revocation lists are refused. The PEM
    /// is the chain, the key and the authorities.
    pub(crate) fn from_pem_with(
        (chain, key, authorities): (&[u8], &[u8], &[u8]),
        known: &KnownKeys,
        lists: Option<RevocationLists>,
    ) -> Result<Self, TransportError> {
        let mut chain = certificates("the certificate", chain)?;
        let authorities = certificates("the authority", authorities)?;
        // The authorities are sent along, so that a caller that knows only a fingerprint can verify the chain.
        chain.extend(authorities.iter().filter(|authority| !chain.contains(authority)).cloned().collect::<Vec<_>>());
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| TransportError::NotPem { what: "the key".into(), expected: "private key" })?;
        let own =
            chain.first().ok_or(TransportError::NotPem { what: "the certificate".into(), expected: "certificate" })?;
        let certificate = Certificate::of(own)?;
        let shown = Arc::new(CertifiedKey::from_der(chain, key, &provider())?);
        let roots = roots(&authorities)?;
        let revoked = lists.as_ref().map(RevocationLists::der).unwrap_or_default();
        check_lists(Arc::clone(&roots), revoked, &shown.cert)?;
        let server = |audience| {
            server_config(Arc::clone(&roots), Arc::clone(&shown), audience, (known.clone(), revoked)).map(Arc::new)
        };
        let (certified, anybody) = (server(Audience::Certified)?, server(Audience::Anybody)?);
        let client = Arc::new(client_config(Arc::new(Nodes::of(roots, known.clone(), revoked)?), Some(shown))?);
        Ok(Self { certificate, certified, anybody, client, lists })
    }

    /// The holder of the certificate.
    pub fn subject(&self) -> &Subject {
        &self.certificate.subject
    }

    /// The parsed certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The revocation lists of an organisation's authority; `None` where there are none.
    pub fn revocation_lists(&self) -> Option<&RevocationLists> {
        self.lists.as_ref()
    }

    /// When the certificate ends, in milliseconds since 1970.
    pub fn ends_ms(&self) -> u64 {
        self.certificate.ends_ms
    }

    /// Whether the certificate is valid at `now_ms`, in milliseconds since 1970.
    pub fn is_valid_at(&self, now_ms: u64) -> bool {
        self.certificate.is_valid_at(now_ms)
    }

    pub(crate) fn server(&self, audience: Audience) -> Arc<ServerConfig> {
        Arc::clone(match audience {
            Audience::Certified => &self.certified,
            Audience::Anybody => &self.anybody,
        })
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.ok().filter(|certificates| !certificates.is_empty());
    certificates.ok_or_else(|| TransportError::NotPem { what: what.into(), expected: "certificate" })
}

/// The identity presented in TLS handshakes. Renewing a certificate replaces it; the next handshake uses the new one.
#[derive(Debug)]
pub struct PresentedIdentity(RwLock<Arc<Identity>>);

impl PresentedIdentity {
    /// Presents `identity` until it is replaced.
    pub fn new(identity: Identity) -> Self {
        Self(RwLock::new(Arc::new(identity)))
    }

    /// Presents `identity` from now on. Open connections stay open.
    pub fn replace(&self, identity: Identity) {
        // The only change is this assignment, so the value is consistent even if the lock is poisoned.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
    }

    /// The identity presented now.
    pub fn now(&self) -> Arc<Identity> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

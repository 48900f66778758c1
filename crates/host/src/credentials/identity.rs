//! The certificate that a node presents to the other nodes. It is made when the node is initialised, and renewed
//! automatically.
//!
//! Usually the cluster has its own authority, whose key the voters hold (`DATA/tls/`, see [`transport::Folder`]).
//! The first node makes the authority; a node with its key renews its own certificate, and the others have a node
//! with the key certify them. An organisation's own authority may be used instead (`tls.authority`,
//! `tls.certificate`, `tls.key`): the organisation then maintains the files, and the node reads them again when they
//! change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use activation::{hresult, state::ClusterAuthority, status::Status};
use replication::Clock;
use sha2::{Digest, Sha256};
use tokio::{sync::Notify, time::timeout};
use transport::{
    Authority, Certificate, Folder, Identity, KnownKeys, PresentedIdentity, RevocationLists, SigningRequest, Subject,
    TransportError, limits::NODE_LIFETIME, read_private,
};

use crate::{
    config::Config,
    environment::SystemClock,
    limits::{CERTIFICATE_LOOK_INTERVAL, CERTIFICATE_RETRY_PAUSE, ORGANISATION_LOOK_INTERVAL},
    tasks::{self, HostTask},
    test_hooks,
};

/// Why a node has no certificate to present.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The certificate was never created, or the data folder is from a version without certificates.
    #[error(
        "this node has no certificate in {}: create one with `quorate host init --renew-identity --config FILE`, which \
         also creates an authority; add `--join` if the cluster exists already; or, if `host init --request` was \
         used, store the issued certificate with `quorate host init --config FILE --certificate CERTIFICATE`",
        folder.display()
    )]
    Missing {
        /// The folder in which the certificate is expected.
        folder: PathBuf,
    },
    /// A certificate exists already.
    #[error("there is a certificate in {} already; it was not changed", folder.display())]
    Made {
        /// The folder that holds it.
        folder: PathBuf,
    },
    /// A certificate or key file cannot be read, written or used.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The file was not written by `cluster certify`.
    #[error("it must contain a node's certificate, followed by that of the authority that issued it, in PEM")]
    NoAnswer,
    /// There is no key for which a certificate could have been requested.
    #[error(
        "there is no key in {}: use the certificate on the node that wrote its request (`quorate host init --request`)",
        folder.display()
    )]
    NoRequest {
        /// The folder in which the key is expected.
        folder: PathBuf,
    },
    /// No node that holds the authority's key certified this node's key.
    #[error("no node that holds the authority's key issued a certificate for this node's key: {0}")]
    NotCertified(String),
    /// The certificate belongs to another node or person.
    #[error("the certificate in {} belongs to {found}, not to node {node}: give each node its own data folder", place.display())]
    OfAnother {
        /// The node's folder, or the certificate file.
        place: PathBuf,
        /// The subject that the certificate names.
        found: Subject,
        /// The number of this node.
        node: u64,
    },
    /// An organisation's certificate has expired, or is not valid yet.
    #[error("the certificate in {} has expired, or is not valid yet: renew it, or set this machine's clock", file.display())]
    Expired {
        /// The certificate file.
        file: PathBuf,
    },
}

impl IdentityError {
    /// The status of event 12292, and of event 12291 where the node does not start for this reason.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Missing { .. } | Self::NoRequest { .. } => hresult::NOT_INSTALLED,
            Self::NoAnswer => hresult::INVALID_DATA,
            Self::Made { .. } => hresult::WRONG_STATE,
            Self::Transport(TransportError::Io { source, .. }) => hresult::of_io(source),
            Self::Transport(_) => hresult::INVALID_DATA,
            Self::OfAnother { .. } => hresult::IN_USE,
            Self::Expired { .. } | Self::NotCertified(_) => hresult::CERTIFICATE_EXPIRED,
        }
    }
}

/// Certifies a node's key, on this node or on another one.
pub(crate) trait Certifies: Send + Sync + 'static {
    /// A certificate in PEM for `node` and the key that signed this request (PKCS #10, in DER). Error: why no
    /// certificate was issued.
    fn certify(&self, node: u64, request: Vec<u8>) -> impl Future<Output = Result<String, String>> + Send;
}

/// The source of a node's certificate.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The cluster's own authority; a node that holds its key signs its own certificate.
    Cluster {
        folder: Folder,
        node: u64,
        /// Keys of holders that are recognised whatever authority certified them.
        known: KnownKeys,
        /// Notified when the cluster's authority was replaced.
        authority_changed: Arc<Notify>,
    },
    /// An organisation's authority, with the node's files.
    Organisation { authority: PathBuf, certificate: PathBuf, key: PathBuf, crl: Option<PathBuf>, node: u64 },
}

impl Source {
    pub(crate) fn of(config: &Config) -> Self {
        let node = config.node;
        match (&config.tls.authority, &config.tls.certificate, &config.tls.key) {
            (Some(authority), Some(certificate), Some(key)) => Self::Organisation {
                authority: authority.clone(),
                certificate: certificate.clone(),
                key: key.clone(),
                crl: config.tls.crl.clone(),
                node,
            },
            _ => Self::Cluster {
                folder: folder(config),
                node,
                known: KnownKeys::default(),
                authority_changed: Arc::default(),
            },
        }
    }

    /// The cluster's authority with its key; `None` where this node does not hold the key, or an organisation's
    /// authority is used.
    pub(crate) fn authority(&self) -> Result<Option<Authority>, TransportError> {
        match self {
            Self::Cluster { folder, .. } if folder.holds_authority_key() => folder.authority().map(Some),
            Self::Cluster { .. } | Self::Organisation { .. } => Ok(None),
        }
    }

    /// The certificate of the cluster's authority, in PEM; `None` where an organisation's authority is used.
    pub(crate) fn authority_pem(&self) -> Result<Option<String>, TransportError> {
        match self {
            Self::Cluster { folder, .. } => Ok(Some(folder.authority_pem()?.to_string())),
            Self::Organisation { .. } => Ok(None),
        }
    }

    /// Whether this node holds the key of the cluster's authority; `None` where an organisation's authority is used.
    pub(crate) fn holds_authority(&self) -> Option<bool> {
        match self {
            Self::Cluster { folder, .. } => Some(folder.holds_authority_key()),
            Self::Organisation { .. } => None,
        }
    }

    /// Stores the key of the cluster's authority on this node.
    pub(crate) fn hold_authority(&self, key_pem: &str) -> Result<(), TransportError> {
        match self {
            Self::Cluster { folder, .. } if folder.holds_authority_key() => Ok(()),
            Self::Cluster { folder, .. } => folder.write_authority_key(key_pem),
            Self::Organisation { .. } => {
                Err(TransportError::Certificate("this node uses an organisation's authority (tls.authority)".into()))
            }
        }
    }

    /// The keys of holders that are recognised whatever authority certified them; `None` where an organisation's
    /// authority is used.
    pub(crate) fn known(&self) -> Option<&KnownKeys> {
        match self {
            Self::Cluster { known, .. } => Some(known),
            Self::Organisation { .. } => None,
        }
    }

    /// Stores the key of an authority that is about to replace the present one.
    pub(crate) fn stage_authority(&self, authority: &Authority) -> Result<(), TransportError> {
        match self {
            Self::Cluster { folder, .. } => folder.stage_authority(authority),
            Self::Organisation { .. } => Ok(()),
        }
    }

    /// Switches to the cluster's present authority. While `overlaps` is true, the previous authority is trusted,
    /// too. Returns whether anything changed.
    pub(crate) fn follow_authority(
        &self,
        authority: &ClusterAuthority,
        overlaps: bool,
    ) -> Result<bool, TransportError> {
        let Self::Cluster { folder, authority_changed, .. } = self else { return Ok(false) };
        let previous = Some(authority.previous.as_ref()).filter(|previous| overlaps && !previous.is_empty());
        let is_changed = folder.follow_authority(&authority.certificate, previous)?;
        if is_changed {
            authority_changed.notify_one();
        }
        Ok(is_changed)
    }

    /// Whether the certificate has to be renewed: it expires soon, or was not issued by the cluster's present
    /// authority.
    fn is_due(&self, identity: &Identity) -> bool {
        let is_of_another = || {
            let authority = self.authority_pem().ok().flatten();
            let name = authority.and_then(|pem| Authority::name_of(&pem).ok());
            name.is_some_and(|name| name != identity.certificate().issuer)
        };
        ends_soon(identity, now_ms()) || is_of_another()
    }

    /// A request for a new certificate for the node's key; `None` where an organisation's files are used.
    fn renewal_request(&self) -> Result<Option<Vec<u8>>, TransportError> {
        match self {
            Self::Cluster { folder, .. } => SigningRequest::with_key(&folder.node_key()?).map(Some),
            Self::Organisation { .. } => Ok(None),
        }
    }

    /// Whether an organisation's authority issues the certificates.
    pub(crate) fn is_organisations(&self) -> bool {
        matches!(self, Self::Organisation { .. })
    }

    /// Loads the certificate to present from now on. Where this node holds the authority's key, a certificate that
    /// has to be renewed is renewed first.
    pub(crate) fn load(&self) -> Result<Identity, IdentityError> {
        let identity = match self {
            Self::Cluster { folder, .. } if !folder.is_made() => {
                return Err(IdentityError::Missing { folder: folder.path().to_owned() });
            }
            Self::Cluster { folder, node, known, .. } => {
                let identity = folder.identity_knowing(known)?;
                let is_due = identity.subject() == &Subject::Node(*node) && self.is_due(&identity);
                if is_due && folder.holds_authority_key() {
                    renew(folder, &folder.authority()?, *node)?;
                    folder.identity_knowing(known)?
                } else {
                    identity
                }
            }
            Self::Organisation { authority, certificate, key, crl, .. } => {
                let identity = Identity::from_files_with_lists(certificate, key, authority, crl.as_deref())?;
                warn_of_other_lists(&identity);
                identity
            }
        };
        let (node, place) = match self {
            Self::Cluster { node, folder, .. } => (*node, folder.path()),
            Self::Organisation { node, certificate, .. } => (*node, certificate.as_path()),
        };
        if identity.subject() != &Subject::Node(node) {
            return Err(IdentityError::OfAnother { place: place.to_owned(), found: identity.subject().clone(), node });
        }
        if let Self::Organisation { certificate, .. } = self
            && !identity.is_valid_at(now_ms())
        {
            return Err(IdentityError::Expired { file: certificate.clone() });
        }
        Ok(identity)
    }

    /// Requests a new certificate for this node's key from a node that holds the authority's key.
    async fn renew_by(&self, certifies: &impl Certifies) -> Result<(), IdentityError> {
        let Self::Cluster { folder, node, .. } = self else { return Ok(()) };
        let Some(request) = self.renewal_request()? else { return Ok(()) };
        let certificate = certifies.certify(*node, request).await.map_err(IdentityError::NotCertified)?;
        // A node that does not follow the new authority yet still signs with the previous one.
        if Authority::name_of(&folder.authority_pem()?)? != Certificate::from_pem(&certificate)?.issuer {
            let why = "the issuing node signed with an authority that has been replaced".to_owned();
            return Err(IdentityError::NotCertified(why));
        }
        Ok(folder.renew_node(&certificate)?)
    }

    /// Renews the presented certificate whenever it is due, and reads it again whenever `reread` is notified. A node
    /// without the authority's key requests the certificate from another node. Runs until the node stops.
    /// `changed` is called after each change of the presented certificate or the trusted authorities.
    pub(crate) async fn follow(
        self,
        (own, changed): (Arc<PresentedIdentity>, impl Fn() + Send),
        certifies: impl Certifies,
        reread: Arc<Notify>,
    ) {
        let mut seen = self.digest();
        // Check at once: a node that was off for a year has an expired certificate.
        let mut pause = Duration::ZERO;
        loop {
            let wait = if self.is_organisations() { ORGANISATION_LOOK_INTERVAL } else { pause };
            let is_told = tokio::select! {
                told = timeout(wait, reread.notified()) => told.is_ok(),
                () = self.authority_changed() => false,
            };
            let is_due = match &self {
                Self::Cluster { .. } => {
                    pause = CERTIFICATE_LOOK_INTERVAL.min(lifetime() / 12);
                    self.is_due(&own.now())
                }
                Self::Organisation { .. } => false,
            };
            let now = self.digest();
            let is_changed = std::mem::replace(&mut seen, now) != now;
            if !(is_told || is_due || is_changed) {
                continue;
            }
            if is_due
                && self.holds_authority() == Some(false)
                && let Err(error) = self.renew_by(&certifies).await
            {
                tracing::warn!(
                    %error,
                    "this node's certificate expires soon and was not renewed; the renewal is retried"
                );
                pause = pause.min(CERTIFICATE_RETRY_PAUSE);
                continue;
            }
            let source = self.clone();
            match tasks::blocking(HostTask::CertificateLoad, move || source.load()).await {
                Ok(Ok(identity)) => {
                    own.replace(identity);
                    changed();
                    tracing::info!("this node's certificate was {}", if is_told { "read again" } else { "renewed" });
                }
                Ok(Err(error)) => {
                    seen = None;
                    tracing::error!(
                        event = 12292,
                        status = %error.status(),
                        %error,
                        "this node's certificate was not renewed; the previous one stays in use"
                    );
                }
                Err(_) => return,
            }
        }
    }

    /// Waits until the cluster's authority was replaced; never returns where an organisation's authority is used.
    async fn authority_changed(&self) {
        match self {
            Self::Cluster { authority_changed, .. } => authority_changed.notified().await,
            Self::Organisation { .. } => std::future::pending().await,
        }
    }

    /// A digest of an organisation's files; `None` where one cannot be read, or the cluster's own authority is
    /// used.
    fn digest(&self) -> Option<[u8; 32]> {
        let Self::Organisation { authority, certificate, key, crl, .. } = self else { return None };
        let mut digest = Sha256::new();
        for path in [authority, certificate, key] {
            digest.update(read_private(path).ok()?.as_slice());
        }
        if let Some(crl) = crl {
            digest.update(RevocationLists::bytes_of(crl).ok()?);
        }
        Some(digest.finalize().into())
    }
}

/// Logs a warning if there is no revocation list of the authority that issued this node's certificate.
fn warn_of_other_lists(identity: &Identity) {
    if identity.revocation_lists().is_some_and(|lists| !lists.cover(identity.certificate())) {
        tracing::warn!(
            "tls.crl has no list of the authority that issued this node's certificate: certificates that it revoked \
             are admitted"
        );
    }
}

fn folder(config: &Config) -> Folder {
    Folder::at(&config.data.join("tls"))
}

/// Whether a third or less of the certificate's lifetime is left.
fn ends_soon(identity: &Identity, now_ms: u64) -> bool {
    let left = Duration::from_millis(identity.ends_ms().saturating_sub(now_ms));
    left <= lifetime() / 3
}

/// How long a node's certificate is valid.
fn lifetime() -> Duration {
    test_hooks::certificate_lifetime().unwrap_or(NODE_LIFETIME)
}

fn now_ms() -> u64 {
    SystemClock::default().wall_ms()
}

fn certify(folder: &Folder, authority: &Authority, node: u64) -> Result<(), TransportError> {
    let (certificate, key) = authority.issue_with_key(&Subject::Node(node), now_ms(), lifetime())?;
    folder.write_node(&certificate, &key)
}

/// Issues a new certificate for the same key, because the cluster knows the node by its key.
fn renew(folder: &Folder, authority: &Authority, node: u64) -> Result<(), TransportError> {
    let certificate = authority.renew(&Subject::Node(node), &folder.node_key()?, now_ms(), lifetime())?;
    folder.renew_node(&certificate)
}

/// Whether a node with this configuration has a certificate, or uses an organisation's.
pub fn is_made(config: &Config) -> bool {
    config.tls.authority.is_some() || folder(config).is_made()
}

/// Creates the authority of a new cluster, and the certificate of its first node.
pub fn create(config: &Config) -> Result<(), IdentityError> {
    let authority = Authority::create(now_ms())?;
    take_in(config, authority.certificate_pem(), &authority.key_pem())
}

/// Destroys the keys of a node that has left the cluster, where the cluster's own authority certified them.
pub(crate) fn destroy_keys(data: &Path) -> Result<(), TransportError> {
    Folder::at(&data.join("tls")).destroy_keys()
}

/// Creates the key and certificate of `config`'s node, with the authority whose key is in the folder of `first`,
/// another node on this machine: for a program that runs all nodes of a cluster.
pub fn create_beside(config: &Config, first: &Config) -> Result<(), IdentityError> {
    let authority = folder(first).authority()?;
    let (certificate, key) = authority.issue_with_key(&Subject::Node(config.node), now_ms(), lifetime())?;
    take_in_certified(config, authority.certificate_pem(), &certificate, &key)
}

/// A signing request in PEM for the node's key, with the node's number. The key is created if it does not exist.
pub fn request(config: &Config) -> Result<String, IdentityError> {
    let folder = folder(config);
    if folder.is_made() {
        return Err(IdentityError::Made { folder: folder.path().to_owned() });
    }
    if !folder.has_node_key() {
        folder.write_node_key(&SigningRequest::new_key()?)?;
    }
    Ok(SigningRequest::pem_of(&SigningRequest::of_node(config.node, &folder.node_key()?)?))
}

/// Stores the certificate that the cluster issued for the key of [`request`], and the authority's certificate: `answer`
/// contains both in PEM, the node's first.
pub fn take_in_answer(config: &Config, answer: &str) -> Result<(), IdentityError> {
    let folder = folder(config);
    if folder.is_made() {
        return Err(IdentityError::Made { folder: folder.path().to_owned() });
    }
    let certificates = Certificate::all_in_pem(answer)?;
    let (own, authorities) = match certificates.split_first() {
        Some((own, authorities)) if !authorities.is_empty() => (own, authorities.concat()),
        _ => return Err(IdentityError::NoAnswer),
    };
    let certificate = Certificate::from_pem(own)?;
    if certificate.subject != Subject::Node(config.node) {
        let (place, found, node) = (folder.path().to_owned(), certificate.subject, config.node);
        return Err(IdentityError::OfAnother { place, found, node });
    }
    if Authority::name_of(&authorities)? != certificate.issuer {
        return Err(IdentityError::NoAnswer);
    }
    if !folder.has_node_key() {
        return Err(IdentityError::NoRequest { folder: folder.path().to_owned() });
    }
    Ok(folder.write_certified(&authorities, own, &folder.node_key()?)?)
}

/// Stores what a node received when it joined: the authority's certificate, and the node's certificate and key.
pub fn take_in_certified(
    config: &Config,
    authority_pem: &str,
    certificate_pem: &str,
    key_pem: &str,
) -> Result<(), IdentityError> {
    let folder = folder(config);
    if folder.is_made() {
        return Err(IdentityError::Made { folder: folder.path().to_owned() });
    }
    Ok(folder.write_certified(authority_pem, certificate_pem, key_pem)?)
}

/// Stores the authority with its key, as nodes of the version before hand it to a node that joins, and makes this
/// node's certificate.
pub fn take_in(config: &Config, authority_pem: &str, authority_key_pem: &str) -> Result<(), IdentityError> {
    let folder = folder(config);
    if folder.is_made() {
        return Err(IdentityError::Made { folder: folder.path().to_owned() });
    }
    let authority = Authority::from_pem(authority_pem, authority_key_pem)?;
    folder.write_authority(authority.certificate_pem(), &authority.key_pem())?;
    Ok(certify(&folder, &authority, config.node)?)
}

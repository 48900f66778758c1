//! What a node shows to the others: made when the node is, renewed by itself.
//!
//! Usually the cluster has an authority of its own, whose key every node holds (`DATA/tls/`, see [`transport::Folder`]):
//! the first node makes it, the others get it when they join, and each renews its own certificate. An organisation's own
//! authority may stand in its place (`tls.authority`, `tls.certificate`, `tls.key`): then the files are somebody else's
//! work, and are read again when they change.

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
    Authority, Certificate, Folder, Identity, KnownKeys, PresentedIdentity, SigningRequest, Subject, TransportError,
    limits::NODE_LIFETIME, read_private,
};

use crate::{
    config::Config,
    environment::SystemClock,
    limits::{CERTIFICATE_LOOK_INTERVAL, CERTIFICATE_RETRY_PAUSE, ORGANISATION_LOOK_INTERVAL},
    tasks::{self, HostTask},
    test_hooks,
};

/// Why a node has nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It was never made, or belongs to a data folder from before there were certificates.
    #[error(
        "this node has no certificate in {}: make one with `quorate host init --renew-identity --config FILE`, which \
         begins an authority, and with `--authority` or `--join` added where the cluster has one already",
        folder.display()
    )]
    Missing {
        /// Where it should be.
        folder: PathBuf,
    },
    /// It is there already.
    #[error("there is a certificate in {} already, and it is left alone", folder.display())]
    Made {
        /// Where.
        folder: PathBuf,
    },
    /// The files.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// No node that holds the authority's key certified this one's.
    #[error("no node that holds the authority's key certified this one's: {0}")]
    NotCertified(String),
    /// Somebody else's.
    #[error("the certificate in {} belongs to {found}, not to node {node}: give each node its own data folder", place.display())]
    OfAnother {
        /// Its folder, or the file.
        place: PathBuf,
        /// Whom the certificate names.
        found: Subject,
        /// This node.
        node: u64,
    },
    /// An organisation's certificate that nobody renewed.
    #[error("the certificate in {} has expired, or is not valid yet: renew it, or set this machine's clock", file.display())]
    Expired {
        /// The file.
        file: PathBuf,
    },
}

impl IdentityError {
    /// The status of event 12292, and of event 12291 where the node does not start for this reason.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Missing { .. } => hresult::NOT_INSTALLED,
            Self::Made { .. } => hresult::WRONG_STATE,
            Self::Transport(TransportError::Io { source, .. }) => hresult::of_io(source),
            Self::Transport(_) => hresult::INVALID_DATA,
            Self::OfAnother { .. } => hresult::IN_USE,
            Self::Expired { .. } | Self::NotCertified(_) => hresult::CERTIFICATE_EXPIRED,
        }
    }
}

/// Certifies a node's key, in its place or elsewhere.
pub(crate) trait Certifies: Send + Sync + 'static {
    /// A certificate in PEM for the node and the key that signed this request (PKCS #10, in DER); or why there is none.
    fn certify(&self, node: u64, request: Vec<u8>) -> impl Future<Output = Result<String, String>> + Send;
}

/// Where a node's certificate comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The cluster's own authority: the node signs for itself.
    Cluster {
        folder: Folder,
        node: u64,
        /// Holders that are recognised whatever authority certified them.
        known: KnownKeys,
        /// Told when the authority is another one.
        authority_changed: Arc<Notify>,
    },
    /// An organisation's.
    Organisation { authority: PathBuf, certificate: PathBuf, key: PathBuf, node: u64 },
}

impl Source {
    pub(crate) fn of(config: &Config) -> Self {
        let node = config.node;
        match (&config.tls.authority, &config.tls.certificate, &config.tls.key) {
            (Some(authority), Some(certificate), Some(key)) => Self::Organisation {
                authority: authority.clone(),
                certificate: certificate.clone(),
                key: key.clone(),
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

    /// The cluster's authority with its key; none where this node does not hold it, or it is an organisation's.
    pub(crate) fn authority(&self) -> Result<Option<Authority>, TransportError> {
        match self {
            Self::Cluster { folder, .. } if folder.holds_authority_key() => folder.authority().map(Some),
            Self::Cluster { .. } | Self::Organisation { .. } => Ok(None),
        }
    }

    /// The certificate of the cluster's authority, in PEM; none where it is an organisation's.
    pub(crate) fn authority_pem(&self) -> Result<Option<String>, TransportError> {
        match self {
            Self::Cluster { folder, .. } => Ok(Some(folder.authority_pem()?.to_string())),
            Self::Organisation { .. } => Ok(None),
        }
    }

    /// Whether this node holds the key of the cluster's authority; none where it is an organisation's.
    pub(crate) fn holds_authority(&self) -> Option<bool> {
        match self {
            Self::Cluster { folder, .. } => Some(folder.holds_authority_key()),
            Self::Organisation { .. } => None,
        }
    }

    /// Takes the key of the cluster's authority in.
    pub(crate) fn hold_authority(&self, key_pem: &str) -> Result<(), TransportError> {
        match self {
            Self::Cluster { folder, .. } if folder.holds_authority_key() => Ok(()),
            Self::Cluster { folder, .. } => folder.write_authority_key(key_pem),
            Self::Organisation { .. } => {
                Err(TransportError::Certificate("this node uses an organisation's authority (tls.authority)".into()))
            }
        }
    }

    /// Where holders stand that are recognised whatever authority certified them; none where it is an organisation's.
    pub(crate) fn known(&self) -> Option<&KnownKeys> {
        match self {
            Self::Cluster { known, .. } => Some(known),
            Self::Organisation { .. } => None,
        }
    }

    /// Keeps the key of an authority that is to take the place of the present one.
    pub(crate) fn stage_authority(&self, authority: &Authority) -> Result<(), TransportError> {
        match self {
            Self::Cluster { folder, .. } => folder.stage_authority(authority),
            Self::Organisation { .. } => Ok(()),
        }
    }

    /// Takes over which authority the cluster has, and believes the one before for a while. Says whether anything was changed.
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

    /// Whether the certificate is to be renewed: it ends soon, or another authority than the cluster's issued it.
    fn is_due(&self, identity: &Identity) -> bool {
        let is_of_another = || {
            let authority = self.authority_pem().ok().flatten();
            let name = authority.and_then(|pem| Authority::name_of(&pem).ok());
            name.is_some_and(|name| name != identity.certificate().issuer)
        };
        ends_soon(identity, now_ms()) || is_of_another()
    }

    /// A request for a new certificate for the node's key; none where an organisation's files are used.
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

    /// What to show from now on. An own certificate that ends soon is renewed first.
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
            Self::Organisation { authority, certificate, key, .. } => {
                Identity::from_files(certificate, key, authority)?
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

    /// Has a node that holds the authority's key certify this one's anew.
    async fn renew_by(&self, certifies: &impl Certifies) -> Result<(), IdentityError> {
        let Self::Cluster { folder, node, .. } = self else { return Ok(()) };
        let Some(request) = self.renewal_request()? else { return Ok(()) };
        let certificate = certifies.certify(*node, request).await.map_err(IdentityError::NotCertified)?;
        // A holder that has not taken another authority over yet signs with the one before.
        if Authority::name_of(&folder.authority_pem()?)? != Certificate::from_pem(&certificate)?.issuer {
            let why = "the node that was asked signed with an authority that was replaced".to_owned();
            return Err(IdentityError::NotCertified(why));
        }
        Ok(folder.renew_node(&certificate)?)
    }

    /// Keeps what is shown fresh, for ever, and reads it again whenever `reread` is notified. A node without the authority's
    /// key has one of the others certify it.
    pub(crate) async fn follow(self, own: Arc<PresentedIdentity>, certifies: impl Certifies, reread: Arc<Notify>) {
        let mut seen = self.digest();
        // At once: one that was off for a year has an ended one.
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
                tracing::warn!(%error, "this node's certificate ends soon, and was not renewed: it is tried again");
                pause = pause.min(CERTIFICATE_RETRY_PAUSE);
                continue;
            }
            let source = self.clone();
            match tasks::blocking(HostTask::CertificateLoad, move || source.load()).await {
                Ok(Ok(identity)) => {
                    own.replace(identity);
                    tracing::info!("this node's certificate was {}", if is_told { "read again" } else { "renewed" });
                }
                Ok(Err(error)) => {
                    seen = None;
                    tracing::error!(
                        event = 12292,
                        status = %error.status(),
                        %error,
                        "this node's certificate was not renewed: the one before it stands"
                    );
                }
                Err(_) => return,
            }
        }
    }

    /// Waits until the cluster's authority is another one; for ever where an organisation's is used.
    async fn authority_changed(&self) {
        match self {
            Self::Cluster { authority_changed, .. } => authority_changed.notified().await,
            Self::Organisation { .. } => std::future::pending().await,
        }
    }

    /// Of an organisation's three files; none where one cannot be read.
    fn digest(&self) -> Option<[u8; 32]> {
        let Self::Organisation { authority, certificate, key, .. } = self else { return None };
        let mut digest = Sha256::new();
        for path in [authority, certificate, key] {
            digest.update(read_private(path).ok()?.as_slice());
        }
        Some(digest.finalize().into())
    }
}

fn folder(config: &Config) -> Folder {
    Folder::at(&config.data.join("tls"))
}

/// A third of its life, or less, is left.
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

/// The key stays: by it the cluster knows the node.
fn renew(folder: &Folder, authority: &Authority, node: u64) -> Result<(), TransportError> {
    let certificate = authority.renew(&Subject::Node(node), &folder.node_key()?, now_ms(), lifetime())?;
    folder.renew_node(&certificate)
}

/// Whether a node with this configuration has a certificate, or an organisation's stands for it.
pub fn is_made(config: &Config) -> bool {
    config.tls.authority.is_some() || folder(config).is_made()
}

/// The first node of a cluster: makes its authority, and its own certificate.
pub fn create(config: &Config) -> Result<(), IdentityError> {
    let authority = Authority::create(now_ms())?;
    take_in(config, authority.certificate_pem(), &authority.key_pem())
}

/// Destroys the keys of a node that has left, where the cluster's own authority certified them.
pub(crate) fn destroy_keys(data: &Path) -> Result<(), TransportError> {
    Folder::at(&data.join("tls")).destroy_keys()
}

/// A node of a cluster whose authority is at hand: in the `tls` folder of another node, or a copy of it.
pub fn adopt(config: &Config, other: &Folder) -> Result<(), IdentityError> {
    let authority = other.authority()?;
    take_in(config, authority.certificate_pem(), &authority.key_pem())
}

/// A node that a cluster let join, and certified: takes in what it was given.
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

/// A node that a cluster of the version before let join: takes the authority in that it was given, and makes its own certificate.
pub fn take_in(config: &Config, authority_pem: &str, authority_key_pem: &str) -> Result<(), IdentityError> {
    let folder = folder(config);
    if folder.is_made() {
        return Err(IdentityError::Made { folder: folder.path().to_owned() });
    }
    let authority = Authority::from_pem(authority_pem, authority_key_pem)?;
    folder.write_authority(authority.certificate_pem(), &authority.key_pem())?;
    Ok(certify(&folder, &authority, config.node)?)
}

//! What a command asks of a publisher, and what it is told: the same whether the command has the folder open itself or
//! a service has, which the command then asks over the socket in the folder.
//!
//! A report carries what people are shown. A whole typed key is in the report of its issue, and in no other.

mod report;

use activation::{
    catalog::SignedCatalog,
    host_activation::ActivationRequests,
    id::{Fingerprint, KeyId, MachineDigest},
};
use serde::{Deserialize, Serialize};

pub use self::report::{
    ActivatedNode, ActivatedReport, BackupReport, CatalogReport, DirectKeyReport, HostReport, KeyReport, ReleasedNode,
    Report,
};
use crate::{
    activate::ActivateError,
    catalogs::SignError,
    credential::{CredentialError, Passphrase},
    issued::{KeyLimits, RequiredIdentity},
    key::{ChangeError, IssueError},
    publisher::Publisher,
};

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// See [`Publisher::issue_key`].
    IssueKey {
        /// Name of a product group.
        group: String,
        /// Places.
        hosts: u32,
        /// Re-activations of each host.
        reactivations: u32,
        /// Which hosts it activates.
        #[serde(default)]
        identity: RequiredIdentity,
    },
    /// Every host key.
    ListKeys,
    /// One host key.
    ShowKey {
        /// Its id.
        id: String,
    },
    /// See [`Publisher::block`].
    BlockKey {
        /// Its id.
        id: String,
    },
    /// See [`Publisher::extend`].
    ExtendKey {
        /// Its id.
        id: String,
        /// Places from now on.
        hosts: Option<u32>,
        /// Re-activations of each host from now on.
        reactivations: Option<u32>,
    },
    /// See [`Publisher::free`].
    FreePlace {
        /// Id of the key.
        id: String,
        /// Digest of the machine.
        machine: String,
    },
    /// See [`Publisher::issue_direct_key`].
    IssueDirectKey {
        /// Name of a product.
        product: String,
        /// Machines.
        activations: u32,
    },
    /// Every direct key.
    ListDirectKeys,
    /// One direct key.
    ShowDirectKey {
        /// Its id.
        id: String,
    },
    /// See [`Publisher::block_direct`].
    BlockDirectKey {
        /// Its id.
        id: String,
    },
    /// See [`Publisher::sign_catalog`].
    SignCatalog {
        /// The catalog in TOML.
        source: String,
    },
    /// See [`Publisher::activate`].
    Activate {
        /// A file of requests.
        requests: Vec<u8>,
    },
    /// See [`Publisher::backup`].
    Backup,
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct OperationError {
    /// For people: the cause, and the next step.
    pub message: String,
    /// What kind of failure it is.
    pub kind: OperationErrorKind,
}

/// Whose move it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationErrorKind {
    /// Refused by the rules, or failed.
    Refused,
    /// A mistake in what was asked.
    Usage,
    /// The same with the passphrase of the private keys may do.
    NoPassphrase,
}

/// Does it. An encrypted private key is opened with `passphrase`, or else with the one that was set.
pub async fn perform(
    publisher: &Publisher,
    operation: Operation,
    passphrase: Option<Passphrase>,
) -> Result<Report, OperationError> {
    match operation {
        Operation::IssueKey { group, hosts, reactivations, identity } => {
            let issued = publisher.issue_key_for(&group, KeyLimits { hosts, reactivations }, identity).await?;
            Ok(Report::KeyIssued(KeyReport { key: issued.key.to_string(), ..KeyReport::of(&issued) }))
        }
        Operation::ListKeys => {
            let mut keys = publisher.keys().map_err(ChangeError::from)?;
            keys.sort_by_key(|key| (key.issued_ms, key.key.key_id()));
            Ok(Report::Keys(keys.iter().map(KeyReport::of).collect()))
        }
        Operation::ShowKey { id } => Ok(Report::Key(KeyReport::of(&publisher.key(key_id(&id)?)?))),
        Operation::BlockKey { id } => Ok(Report::Key(KeyReport::of(&publisher.block(key_id(&id)?).await?))),
        Operation::ExtendKey { id, hosts, reactivations } => {
            let extended = publisher.extend(key_id(&id)?, hosts, reactivations).await?;
            Ok(Report::Key(KeyReport::of(&extended)))
        }
        Operation::FreePlace { id, machine } => {
            let machine: MachineDigest = machine.parse().map_err(OperationError::usage)?;
            Ok(Report::Key(KeyReport::of(&publisher.free(key_id(&id)?, machine).await?)))
        }
        Operation::IssueDirectKey { product, activations } => {
            let issued = publisher.issue_direct_key(&product, activations).await?;
            let key = issued.key.to_string();
            Ok(Report::DirectKeyIssued(DirectKeyReport { key, ..DirectKeyReport::of(&issued) }))
        }
        Operation::ListDirectKeys => {
            let mut keys = publisher.direct_keys().map_err(ChangeError::from)?;
            keys.sort_by_key(|key| (key.issued_ms, key.key.key_id()));
            Ok(Report::DirectKeys(keys.iter().map(DirectKeyReport::of).collect()))
        }
        Operation::ShowDirectKey { id } => {
            Ok(Report::DirectKey(DirectKeyReport::of(&publisher.direct_key(key_id(&id)?)?)))
        }
        Operation::BlockDirectKey { id } => {
            Ok(Report::DirectKey(DirectKeyReport::of(&publisher.block_direct(key_id(&id)?).await?)))
        }
        Operation::SignCatalog { source } => sign_catalog(publisher, &source, passphrase.as_ref()),
        Operation::Activate { requests } => activate(publisher, &requests, passphrase).await,
        Operation::Backup => {
            let backup = publisher.backup().await.map_err(ChangeError::from)?;
            let file = data_encoding::BASE64.encode(&backup.bytes);
            Ok(Report::Backup(BackupReport { records: backup.records, made_ms: backup.made_ms, file }))
        }
    }
}

fn key_id(text: &str) -> Result<KeyId, OperationError> {
    text.parse().map_err(OperationError::usage)
}

fn sign_catalog(
    publisher: &Publisher,
    source: &str,
    passphrase: Option<&Passphrase>,
) -> Result<Report, OperationError> {
    let signed = publisher.sign_catalog(source, passphrase)?;
    let opened = SignedCatalog::open(signed.bytes()).map_err(SignError::from)?;
    Ok(Report::Catalog(CatalogReport {
        publisher: opened.publisher.to_string(),
        fingerprint: Fingerprint(opened.publisher).to_string(),
        serial: opened.catalog.serial(),
        blocked: opened.catalog.blocked_keys().len() + opened.catalog.blocked_certificates().len(),
        signed: signed.bytes().to_vec(),
    }))
}

async fn activate(
    publisher: &Publisher,
    requests: &[u8],
    passphrase: Option<Passphrase>,
) -> Result<Report, OperationError> {
    let requests = ActivationRequests::decode(requests).map_err(OperationError::usage)?;
    if let Some(passphrase) = passphrase {
        publisher.unlock_with(&passphrase)?;
    }
    let signed = publisher.activate(&requests).await?;
    let answers = signed.answers();
    let activated = answers.answers.iter().map(|answer| ActivatedNode {
        node: answer.node,
        key_id: answer.certificate.key.to_string(),
        certificate: answer.certificate.id().to_string(),
        reactivations_left: answer.reactivations_left,
    });
    let released = requests
        .releases
        .iter()
        .map(|statement| ReleasedNode { node: statement.node, key_id: statement.key.to_string() });
    Ok(Report::Activated(ActivatedReport {
        publisher: answers.publisher.to_string(),
        activated: activated.collect(),
        released: released.collect(),
        answers: signed.encode(),
    }))
}

impl OperationError {
    pub(crate) fn usage(error: impl std::fmt::Display) -> Self {
        Self { message: error.to_string(), kind: OperationErrorKind::Usage }
    }

    pub(crate) fn refused(error: impl std::fmt::Display) -> Self {
        Self { message: error.to_string(), kind: OperationErrorKind::Refused }
    }
}

impl From<IssueError> for OperationError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::UnknownGroup { .. }
            | IssueError::UnknownProduct { .. }
            | IssueError::Limits
            | IssueError::DirectLimit => Self::usage(error),
            _ => Self::refused(error),
        }
    }
}

impl From<ChangeError> for OperationError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Records(_) => Self::refused(error),
            _ => Self::usage(error),
        }
    }
}

impl From<CredentialError> for OperationError {
    fn from(error: CredentialError) -> Self {
        let kind = match error {
            CredentialError::NoPassphrase { .. } => OperationErrorKind::NoPassphrase,
            _ => OperationErrorKind::Refused,
        };
        Self { message: error.to_string(), kind }
    }
}

impl From<SignError> for OperationError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Credential(error) => error.into(),
            _ => Self::refused(error),
        }
    }
}

impl From<ActivateError> for OperationError {
    /// With the next step, where a node was refused.
    fn from(error: ActivateError) -> Self {
        match error {
            ActivateError::Credential(error) => error.into(),
            ActivateError::Refused(ref refusals) => {
                let advice = refusals.0.first().map_or("", |refusal| refusal.reason.status().advice());
                Self::refused(format_args!("{error}\n{advice}"))
            }
            _ => Self::refused(error),
        }
    }
}

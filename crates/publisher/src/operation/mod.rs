//! The operations of publisher commands, and their reports. They are the same whether the command has the folder
//! open itself or a service has; in that case the command sends the operation over the socket in the folder.
//!
//! A report holds what the command prints. Only the report of its issue holds a whole typed key.

mod report;

use std::num::NonZeroU16;

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

/// An operation on a publisher.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Issues a host key: see [`Publisher::issue_key`].
    IssueKey {
        /// Name of a product group.
        group: String,
        /// The number of activation slots.
        hosts: u32,
        /// The number of reactivations of each host.
        reactivations: u32,
        /// The kind of identity that a host must have.
        #[serde(default)]
        identity: RequiredIdentity,
    },
    /// Lists every host key.
    ListKeys,
    /// Shows one host key.
    ShowKey {
        /// The id of the key, in hexadecimal.
        id: String,
    },
    /// Blocks a host key: see [`Publisher::block`].
    BlockKey {
        /// The id of the key, in hexadecimal.
        id: String,
    },
    /// Extends a host key: see [`Publisher::extend`].
    ExtendKey {
        /// The id of the key, in hexadecimal.
        id: String,
        /// The new number of activation slots; unchanged where absent.
        hosts: Option<u32>,
        /// The new number of reactivations of each host; unchanged where absent.
        reactivations: Option<u32>,
    },
    /// Frees an activation slot: see [`Publisher::free`].
    FreePlace {
        /// The id of the key, in hexadecimal.
        id: String,
        /// The digest of the machine, in hexadecimal.
        machine: String,
    },
    /// Issues a direct key: see [`Publisher::issue_direct_key`].
    IssueDirectKey {
        /// Name of a product.
        product: String,
        /// The number of machines that the key may activate.
        activations: u32,
    },
    /// Lists every direct key.
    ListDirectKeys,
    /// Shows one direct key.
    ShowDirectKey {
        /// The id of the key, in hexadecimal.
        id: String,
    },
    /// Blocks a direct key: see [`Publisher::block_direct`].
    BlockDirectKey {
        /// The id of the key, in hexadecimal.
        id: String,
    },
    /// Signs a catalog: see [`Publisher::sign_catalog`].
    SignCatalog {
        /// The catalog's source text in TOML.
        source: String,
    },
    /// Activates nodes and takes back activation slots: see [`Publisher::activate`].
    Activate {
        /// The content of a file of requests.
        requests: Vec<u8>,
    },
    /// Makes a backup of all records: see [`Publisher::backup`].
    Backup,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct OperationError {
    /// The cause and the next step, as text for the caller.
    pub message: String,
    /// The kind of failure.
    pub kind: OperationErrorKind,
}

/// The kinds of failure, by what the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationErrorKind {
    /// The rules refused the operation, or it failed.
    Refused,
    /// The operation has an invalid argument.
    Usage,
    /// The operation needs the passphrase of the private keys; repeat it with that.
    NoPassphrase,
}

/// Performs an operation. An encrypted private key is decrypted with `passphrase`, or else with the passphrase that
/// was set.
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
        certificate_days: opened.catalog.certificate_days().map(NonZeroU16::get),
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
    /// Adds the next step where a node was refused.
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

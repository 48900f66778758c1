//! What a command asks of a publisher, and what it is told: the same whether the command has the folder open itself or
//! a service has, which the command then asks over the socket in the folder.
//!
//! A report carries what people are shown. A whole typed key is in the report of its issue, and in no other.

use activation::{
    catalog::SignedCatalog,
    host_activation::ActivationRequests,
    id::{Fingerprint, KeyId, MachineDigest},
};
use serde::{Deserialize, Serialize};

use crate::{
    ActivateError, ChangeError, CredentialError, DirectKey, IssueError, IssuedKey, KeyLimits, Passphrase, Publisher,
    SignError,
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

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The only report with the whole key.
    KeyIssued(KeyReport),
    /// In the order of their issue.
    Keys(Vec<KeyReport>),
    /// As it stands now.
    Key(KeyReport),
    /// The only report with the whole key.
    DirectKeyIssued(DirectKeyReport),
    /// In the order of their issue.
    DirectKeys(Vec<DirectKeyReport>),
    /// As it stands now.
    DirectKey(DirectKeyReport),
    /// A signed catalog.
    Catalog(CatalogReport),
    /// Nodes were activated, or gave their places back.
    Activated(ActivatedReport),
    /// All records.
    Backup(BackupReport),
}

/// A host key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReport {
    /// All of it where it was just issued, else its last group.
    pub key: String,
    /// In hexadecimal.
    pub key_id: String,
    /// Name of the group.
    pub group: String,
    /// Places.
    pub hosts: u32,
    /// Re-activations of each host.
    pub reactivations: u32,
    /// Places taken.
    pub hosts_used: usize,
    /// Gives nothing any more.
    pub blocked: bool,
    /// Milliseconds since the Unix epoch.
    pub issued_ms: u64,
    /// Places taken, in the order of their first activation.
    pub activations: Vec<HostReport>,
    /// Hosts that have no place any more.
    pub former: Vec<HostReport>,
}

/// A host of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// Its number in its cluster.
    pub node: u64,
    /// Digest of the machine, in hexadecimal.
    pub machine: String,
    /// How often it may be activated again.
    pub reactivations_left: u32,
    /// The latest activation, in milliseconds since the Unix epoch.
    pub activated_ms: u64,
}

/// A direct key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectKeyReport {
    /// All of it where it was just issued, else its last group.
    pub key: String,
    /// In hexadecimal.
    pub key_id: String,
    /// Name of the product.
    pub product: String,
    /// Machines that it activates.
    pub activations: u32,
    /// Machines that it has activated.
    pub used: u32,
    /// Gives nothing any more.
    pub blocked: bool,
    /// Milliseconds since the Unix epoch.
    pub issued_ms: u64,
}

/// A signed catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogReport {
    /// In hexadecimal.
    pub publisher: String,
    /// The same as people read it out.
    pub fingerprint: String,
    /// Of the catalog.
    pub serial: u64,
    /// The signed catalog.
    pub signed: Vec<u8>,
}

/// What the nodes of a file got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivatedReport {
    /// In hexadecimal.
    pub publisher: String,
    /// In the order of the requests.
    pub activated: Vec<ActivatedNode>,
    /// Places that are free again.
    pub released: Vec<ReleasedNode>,
    /// The file of answers.
    pub answers: Vec<u8>,
}

/// A node that was activated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivatedNode {
    /// Its number in its cluster.
    pub node: u64,
    /// In hexadecimal.
    pub key_id: String,
    /// The certificate's id, in hexadecimal.
    pub certificate: String,
    /// How often it may be activated again.
    pub reactivations_left: u32,
}

/// A node that gave its place back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedNode {
    /// Its number in its cluster.
    pub node: u64,
    /// In hexadecimal.
    pub key_id: String,
}

/// All records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// How many there are.
    pub records: usize,
    /// Milliseconds since the Unix epoch.
    pub made_ms: u64,
    /// The backup, in base64: it may be large.
    pub file: String,
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
        Operation::IssueKey { group, hosts, reactivations } => {
            let issued = publisher.issue_key(&group, KeyLimits { hosts, reactivations }).await?;
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

impl KeyReport {
    fn of(key: &IssuedKey) -> Self {
        let host = |host: &crate::Host| HostReport {
            node: host.node,
            machine: host.machine.to_string(),
            reactivations_left: key.reactivations_left(host),
            activated_ms: host.activated_ms,
        };
        Self {
            key: key.key.masked(),
            key_id: key.key.key_id().to_string(),
            group: key.group.to_string(),
            hosts: key.limits.hosts,
            reactivations: key.limits.reactivations,
            hosts_used: key.hosts.len(),
            blocked: key.blocked,
            issued_ms: key.issued_ms,
            activations: key.hosts.iter().map(host).collect(),
            former: key.former_hosts.iter().map(host).collect(),
        }
    }
}

impl DirectKeyReport {
    fn of(key: &DirectKey) -> Self {
        Self {
            key: key.key.masked(),
            key_id: key.key.key_id().to_string(),
            product: key.product.to_string(),
            activations: key.activations,
            used: key.used,
            blocked: key.blocked,
            issued_ms: key.issued_ms,
        }
    }
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

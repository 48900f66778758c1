//! Reports of operations; a command's output for programs is nearly the same.

use serde::{Deserialize, Serialize};

use crate::issued::{DirectKey, Host, IssuedKey, RequiredIdentity};

/// The result of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// A host key was issued. Only this report holds the whole key.
    KeyIssued(KeyReport),
    /// Host keys, in the order of issue.
    Keys(Vec<KeyReport>),
    /// The present state of a host key.
    Key(KeyReport),
    /// A direct key was issued. Only this report holds the whole key.
    DirectKeyIssued(DirectKeyReport),
    /// Direct keys, in the order of issue.
    DirectKeys(Vec<DirectKeyReport>),
    /// The present state of a direct key.
    DirectKey(DirectKeyReport),
    /// A catalog was signed.
    Catalog(CatalogReport),
    /// Nodes were activated, or gave their activation slots back.
    Activated(ActivatedReport),
    /// A backup of all records.
    Backup(BackupReport),
}

/// The report of a host key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReport {
    /// The whole key in the report of its issue, otherwise only its last group.
    pub key: String,
    /// The id of the key, in hexadecimal.
    pub key_id: String,
    /// Name of the group.
    pub group: String,
    /// The number of activation slots.
    pub hosts: u32,
    /// The number of reactivations of each host.
    pub reactivations: u32,
    /// The kind of identity that a host must have.
    #[serde(default)]
    pub identity: RequiredIdentity,
    /// The number of activation slots in use.
    pub hosts_used: usize,
    /// Whether the key is blocked.
    pub blocked: bool,
    /// Time of issue, in milliseconds since the Unix epoch.
    pub issued_ms: u64,
    /// Hosts with an activation slot, in the order of their first activation.
    pub activations: Vec<HostReport>,
    /// Hosts that no longer have an activation slot.
    pub former: Vec<HostReport>,
}

/// The report of a host of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// The node's number in its cluster.
    pub node: u64,
    /// Digest of the machine, in hexadecimal.
    pub machine: String,
    /// How often the host may be activated again.
    pub reactivations_left: u32,
    /// Time of the latest activation, in milliseconds since the Unix epoch.
    pub activated_ms: u64,
}

/// The report of a direct key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectKeyReport {
    /// The whole key in the report of its issue, otherwise only its last group.
    pub key: String,
    /// The id of the key, in hexadecimal.
    pub key_id: String,
    /// Name of the product.
    pub product: String,
    /// The number of machines that the key may activate.
    pub activations: u32,
    /// The number of machines that it has activated.
    pub used: u32,
    /// Whether the key is blocked.
    pub blocked: bool,
    /// Time of issue, in milliseconds since the Unix epoch.
    pub issued_ms: u64,
}

/// The report of a signed catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogReport {
    /// The publisher's id, in hexadecimal.
    pub publisher: String,
    /// The publisher's id in groups for reading aloud.
    pub fingerprint: String,
    /// The serial of the catalog.
    pub serial: u64,
    /// The number of keys and certificates that it blocks; 0 from a service of the version before.
    #[serde(default)]
    pub blocked: usize,
    /// The lifetime of host certificates that are issued with this catalog, in days; absent if they do not expire.
    #[serde(default)]
    pub certificate_days: Option<u16>,
    /// The bytes of the signed catalog.
    pub signed: Vec<u8>,
}

/// The report of a file of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivatedReport {
    /// The publisher's id, in hexadecimal.
    pub publisher: String,
    /// The activated nodes, in the order of the requests.
    pub activated: Vec<ActivatedNode>,
    /// The nodes whose activation slots are free again.
    pub released: Vec<ReleasedNode>,
    /// The content of the file of answers.
    pub answers: Vec<u8>,
}

/// The report of a node that was activated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivatedNode {
    /// The node's number in its cluster.
    pub node: u64,
    /// The id of the host key, in hexadecimal.
    pub key_id: String,
    /// The certificate's id, in hexadecimal.
    pub certificate: String,
    /// How often the host may be activated again.
    pub reactivations_left: u32,
}

/// The report of a node that gave its activation slot back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedNode {
    /// The node's number in its cluster.
    pub node: u64,
    /// The id of the host key, in hexadecimal.
    pub key_id: String,
}

/// The report of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// The number of records in the backup.
    pub records: usize,
    /// Time of the backup, in milliseconds since the Unix epoch.
    pub made_ms: u64,
    /// The content of the backup in base64, because it may be large.
    pub file: String,
}

impl KeyReport {
    pub(super) fn of(key: &IssuedKey) -> Self {
        let host = |host: &Host| HostReport {
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
            identity: key.identity,
            hosts_used: key.hosts.len(),
            blocked: key.blocked,
            issued_ms: key.issued_ms,
            activations: key.hosts.iter().map(host).collect(),
            former: key.former_hosts.iter().map(host).collect(),
        }
    }
}

impl DirectKeyReport {
    pub(super) fn of(key: &DirectKey) -> Self {
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

//! What a command is told: what it prints for machines, nearly as it stands.

use serde::{Deserialize, Serialize};

use crate::issued::{DirectKey, Host, IssuedKey, RequiredIdentity};

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
    /// Which hosts it activates.
    #[serde(default)]
    pub identity: RequiredIdentity,
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
    /// Keys and certificates that it blocks; 0 from a service of the version before.
    #[serde(default)]
    pub blocked: usize,
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

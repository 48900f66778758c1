//! What the registry holds for a key, and for a revoked holder.

use std::fmt;

use bytes::Bytes;

use crate::coded::shortened;
use crate::id::{NodeId, node_id};
use crate::{limits, proto};

/// SHA-256 of a public key, which is encoded as SubjectPublicKeyInfo in DER.
pub type KeyDigest = [u8; 32];

/// The serial number of a certificate: 1 to [`limits::SERIAL_BYTES_MAX`] bytes, big-endian, without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Serial(Bytes);

impl Serial {
    /// `None` where there are too many bytes, or only zeros.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let bytes = bytes.get(zeros..)?;
        (1..=limits::SERIAL_BYTES_MAX).contains(&bytes.len()).then(|| Self(Bytes::copy_from_slice(bytes)))
    }

    /// Reads hexadecimal digits, which may be separated by colons. `None` where the text is no such number.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits: Vec<_> = text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
        // An odd number of digits lacks its leading zero.
        let digits = if digits.len() % 2 == 0 { digits } else { [vec![0], digits].concat() };
        let bytes = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit));
        Self::new(&bytes.map(u8::try_from).collect::<Result<Vec<_>, _>>().ok()?)
    }

    fn from_stored(bytes: &[u8]) -> Option<Self> {
        Self::new(bytes).filter(|serial| serial.0.as_ref() == bytes)
    }
}

/// Writes hexadecimal digits.
impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The role of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonRole {
    Administrator,
    Operator,
    Reader,
}

impl PersonRole {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Operator => "operator",
            Self::Reader => "reader",
        }
    }
}

/// The holder of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    Node(NodeId),
    Person {
        /// The person's name: 1 to [`limits::PERSON_NAME_BYTES_MAX`] bytes, printable.
        name: String,
        role: PersonRole,
    },
}

/// Writes `node N`, or the person's name.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Person { name, .. } => f.write_str(name),
        }
    }
}

/// The registry's entry for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub holder: Holder,
    /// Serial number of the certificate that was last issued for the key.
    pub serial: Serial,
    /// When that certificate ends, in milliseconds since 1970.
    pub ends_ms: u64,
}

impl Registration {
    pub(super) fn to_proto(&self, key: &KeyDigest) -> proto::Registration {
        let (node, name, role) = match &self.holder {
            // The conversion loses nothing: as in a record, every parser refuses a larger node id.
            Holder::Node(node) => (u32::try_from(*node).unwrap_or(u32::MAX), "", proto::Grant::Unspecified),
            Holder::Person { name, role } => (0, name.as_str(), role_out(*role)),
        };
        proto::Registration {
            key: Bytes::copy_from_slice(key),
            node,
            name: name.to_owned(),
            role: role.into(),
            serial: self.serial.0.clone(),
            ends_ms: self.ends_ms,
        }
    }

    pub(super) fn from_proto(raw: &proto::Registration) -> Option<(KeyDigest, Self)> {
        let role = match raw.role() {
            proto::Grant::Administrator => Some(PersonRole::Administrator),
            proto::Grant::Operator => Some(PersonRole::Operator),
            proto::Grant::Reader => Some(PersonRole::Reader),
            proto::Grant::Unspecified => None,
            proto::Grant::Node => return None,
        };
        let holder = match (raw.node, role) {
            (0, Some(role)) if is_name(&raw.name) => Holder::Person { name: raw.name.clone(), role },
            (1.., None) if raw.name.is_empty() => Holder::Node(node_id(raw.node.into()).ok()?),
            _ => return None,
        };
        let (serial, ends_ms) = (Serial::from_stored(&raw.serial)?, raw.ends_ms);
        let key = raw.key.as_ref().try_into().ok()?;
        (ends_ms <= limits::TIME_MS_MAX).then_some((key, Self { holder, serial, ends_ms }))
    }
}

fn role_out(role: PersonRole) -> proto::Grant {
    match role {
        PersonRole::Administrator => proto::Grant::Administrator,
        PersonRole::Operator => proto::Grant::Operator,
        PersonRole::Reader => proto::Grant::Reader,
    }
}

fn is_name(name: &str) -> bool {
    (1..=limits::PERSON_NAME_BYTES_MAX).contains(&name.len()) && shortened(name) == name
}

/// The right of a node that got its certificate with a token to add itself to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joining {
    /// The number that the cluster assigned to the node.
    pub node: NodeId,
    /// When the right expires, on the clock for expiry, in milliseconds since 1970.
    pub until_ms: u64,
}

impl Joining {
    pub(super) fn to_proto(self, key: &KeyDigest) -> proto::JoiningNode {
        // The conversion loses nothing, as in a record.
        let node = u32::try_from(self.node).unwrap_or(u32::MAX);
        proto::JoiningNode { key: Bytes::copy_from_slice(key), node, until_ms: self.until_ms }
    }

    pub(super) fn from_proto(raw: &proto::JoiningNode) -> Option<(KeyDigest, Self)> {
        let (node, until_ms) = (node_id(raw.node.into()).ok()?, raw.until_ms);
        let key = raw.key.as_ref().try_into().ok()?;
        (until_ms <= limits::TIME_MS_MAX).then_some((key, Self { node, until_ms }))
    }
}

/// The subject of a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// A node, by its number.
    Node(NodeId),
    /// The holder of the certificate with this number.
    Serial(Serial),
    /// A person, by name: with every certificate.
    Person(String),
}

/// Writes it as commands take it: `node:N`, `serial:HEX`, or the person's name.
impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node:{node}"),
            Self::Serial(serial) => write!(f, "serial:{serial}"),
            Self::Person(name) => f.write_str(name),
        }
    }
}

impl Whom {
    /// Whether the revocation's subject is the holder or the certificate of this registration.
    #[must_use]
    pub fn means(&self, registration: &Registration) -> bool {
        match (self, &registration.holder) {
            (Self::Node(revoked), Holder::Node(node)) => revoked == node,
            (Self::Person(revoked), Holder::Person { name, .. }) => revoked == name,
            (Self::Serial(revoked), _) => *revoked == registration.serial,
            _ => false,
        }
    }
}

/// A revocation of a node, a person or a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    pub whom: Whom,
    /// Cluster time of the revocation, in milliseconds since 1970. Certificates that began later are not revoked.
    pub time_ms: u64,
}

impl Revocation {
    pub(super) fn to_proto(&self) -> proto::Revocation {
        use proto::revocation::Whom as Raw;
        let whom = match &self.whom {
            // The conversion loses nothing, as in a record.
            Whom::Node(node) => Raw::Node(u32::try_from(*node).unwrap_or(u32::MAX)),
            Whom::Serial(serial) => Raw::Serial(serial.0.clone()),
            Whom::Person(name) => Raw::Name(name.clone()),
        };
        proto::Revocation { whom: Some(whom), time_ms: self.time_ms }
    }

    pub(super) fn from_proto(raw: &proto::Revocation) -> Option<Self> {
        use proto::revocation::Whom as Raw;
        let whom = match raw.whom.as_ref()? {
            Raw::Node(node) => Whom::Node(node_id((*node).into()).ok()?),
            Raw::Serial(serial) => Whom::Serial(Serial::from_stored(serial)?),
            Raw::Name(name) if is_name(name) => Whom::Person(name.clone()),
            Raw::Name(_) => return None,
        };
        (raw.time_ms <= limits::TIME_MS_MAX).then_some(Self { whom, time_ms: raw.time_ms })
    }
}

impl Holder {
    pub(super) fn node(&self) -> Option<NodeId> {
        match self {
            Self::Node(node) => Some(*node),
            Self::Person { .. } => None,
        }
    }
}

/// The authority that replaced the cluster's first authority, or a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterAuthority {
    /// Its certificate, in DER: 1 to [`limits::AUTHORITY_BYTES_MAX`] bytes.
    pub certificate: Bytes,
    /// The certificate of the authority before, in DER, which is trusted beside the new one for a while; empty where
    /// it is not.
    pub previous: Bytes,
    /// When the authority was replaced, by cluster time, in milliseconds since 1970.
    pub since_ms: u64,
}

impl ClusterAuthority {
    pub(super) fn to_proto(&self) -> proto::SetAuthority {
        proto::SetAuthority {
            certificate: self.certificate.clone(),
            previous: self.previous.clone(),
            time_ms: self.since_ms,
        }
    }

    pub(super) fn from_proto(raw: &proto::SetAuthority) -> Option<Self> {
        let fits = (1..=limits::AUTHORITY_BYTES_MAX).contains(&raw.certificate.len())
            && raw.previous.len() <= limits::AUTHORITY_BYTES_MAX
            && raw.time_ms <= limits::TIME_MS_MAX;
        let (certificate, previous) = (raw.certificate.clone(), raw.previous.clone());
        fits.then_some(Self { certificate, previous, since_ms: raw.time_ms })
    }
}

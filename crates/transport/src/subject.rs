//! The subject of a certificate: the node or person that it names.

use std::{fmt, str::FromStr};

use rcgen::{DistinguishedName, DnType};
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::{
    parse_x509_certificate,
    x509::{AttributeTypeAndValue, X509Name},
};

use crate::{error::TransportError, limits::NAME_BYTES_MAX};

/// The organisation in the subject of every certificate of this project.
const ORGANISATION: &str = "quorate";
/// The organisational unit in the subject of nodes.
const NODE: &str = "node";

/// The role of a person. Each role includes the rights of the roles before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// May read.
    Reader,
    /// May keep the cluster running: drain nodes, hand leadership over, make backups.
    Operator,
    /// May do everything.
    Administrator,
}

impl Role {
    /// All roles, from the fewest rights to all.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Operator, Self::Administrator];

    /// The role's name in certificates and commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let role = Self::ALL.into_iter().find(|role| role.name() == text);
        role.ok_or_else(|| UnknownRole { text: text.to_owned() })
    }
}

/// The text is not the name of a [`Role`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a role: give reader, operator or administrator")]
pub struct UnknownRole {
    /// The text that was given.
    pub text: String,
}

/// The name cannot be used in a certificate or shown in a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a valid name: give 1 to {NAME_BYTES_MAX} bytes without control characters")]
pub struct MalformedName {
    /// The name that was given.
    pub name: String,
}

/// The holder of a certificate: O=quorate, OU=node|administrator|operator|reader, CN=number or name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A node of the cluster.
    Node(u64),
    /// A person, or a program that works for one.
    Person {
        /// The person's name, for display and for the audit.
        name: String,
        /// The person's role.
        role: Role,
    },
}

impl Subject {
    /// A person with this name and role.
    ///
    /// Errors: the name is empty, too long, begins or ends with white space, or contains a control character or a
    /// double quote.
    pub fn person(name: &str, role: Role) -> Result<Self, MalformedName> {
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len())
            && name.trim() == name
            && !name.contains(|c: char| c.is_control() || c == '"');
        if !fits {
            return Err(MalformedName { name: name.to_owned() });
        }
        Ok(Self::Person { name: name.to_owned(), role })
    }

    pub(crate) fn distinguished_name(&self) -> DistinguishedName {
        let (unit, name) = match self {
            Self::Node(node) => (NODE, node.to_string()),
            Self::Person { name, role } => (role.name(), name.clone()),
        };
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, ORGANISATION);
        subject.push(DnType::OrganizationalUnitName, unit);
        subject.push(DnType::CommonName, name);
        subject
    }

    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<Self, TransportError> {
        let (_, parsed) = parse_x509_certificate(certificate)
            .map_err(|_| TransportError::Certificate("a certificate is malformed".into()))?;
        Self::of_name(parsed.subject())
    }

    pub(crate) fn of_name(subject: &X509Name<'_>) -> Result<Self, TransportError> {
        // Each attribute must occur exactly once: a certificate with two names is refused.
        let organisation = only(subject.iter_organization());
        let (unit, name) = (only(subject.iter_organizational_unit()), only(subject.iter_common_name()));
        let known = match (organisation, unit, name) {
            (Some(ORGANISATION), Some(NODE), Some(number)) => number.parse().ok().map(Self::Node),
            (Some(ORGANISATION), Some(role), Some(name)) => {
                role.parse().ok().and_then(|role| Self::person(name, role).ok())
            }
            _ => None,
        };
        known.ok_or_else(|| TransportError::Subject { found: subject.to_string() })
    }
}

fn only<'a>(mut attributes: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Option<&'a str> {
    let first = attributes.next()?.as_str().ok()?;
    attributes.next().is_none().then_some(first)
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Person { name, role } => write!(f, "{name}, {role}"),
        }
    }
}

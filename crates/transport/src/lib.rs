//! Authentication: the cluster's authority, certificates, roles, and TLS connections with verified callers.
//!
//! Every cluster has a certification authority of its own ([`Authority`]), or uses that of an organisation. A
//! certificate names its holder ([`Subject`]): a node by its number, or a person by name and [`Role`]. A node or a
//! person presents an [`Identity`], held in a [`PresentedIdentity`]; a renewed identity replaces it for the next
//! handshake. [`listen`] accepts connections with their [`Caller`], [`connector`] opens them on the other side. A
//! caller without a certificate brings a [`Token`], and verifies the cluster by the fingerprint in it ([`pinned`]).
//!
//! ```
//! use std::time::Duration;
//! use transport::{Authority, Identity, Role, Subject};
//!
//! let now_ms = 1_790_000_000_000;
//! let authority = Authority::create(now_ms)?;
//! let ada = Subject::person("ada", Role::Operator)?;
//! let (certificate, key) = authority.issue_with_key(&ada, now_ms, Duration::from_secs(30 * 86_400))?;
//!
//! let trusted = authority.certificate_pem().as_bytes();
//! let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes(), trusted)?;
//! assert_eq!(*identity.subject(), ada);
//! assert!(identity.is_valid_at(now_ms));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! TLS 1.3 only, without resumption: every connection is authenticated in full.
//!
//! Invariant: never interprets the content of its connections, and never accepts a certificate unless one of its
//! authorities certified it, or its key is a known one, and it is valid at that moment; on the port between nodes a
//! certificate that has ended is verified as of its end.

mod accepting;
mod authority;
mod binding;
mod certificate;
mod connection;
mod connections;
mod connector;
mod error;
mod files;
mod identity;
mod known;
pub mod limits;
mod listener;
mod names;
mod port_probe;
mod revocation_list;
mod standing;
mod subject;
mod token;
mod trust;

#[cfg(test)]
mod tests;

pub use accepting::{accept_within, listen_privately};
pub use authority::{Authority, SigningRequest};
pub use binding::{bind_udp, is_host_and_port, is_of_both_families, listen_tcp};
pub use certificate::Certificate;
pub use connection::{Caller, Connection};
pub use connections::{
    Activity, Call, ConnectionSlot, Connections, Counts, Limits, MalformedNetwork, Network, NotedStream, Refusal,
    Rules, source,
};
pub use connector::{Connecting, Connector, certificate_at, connector, pinned};
pub use error::TransportError;
pub use files::{Folder, is_private_key_encrypted, read_private};
pub use identity::{Identity, PresentedIdentity};
pub use known::KnownKeys;
pub use listener::{Admission, listen};
pub use port_probe::unreachable_ports;
pub use revocation_list::RevocationLists;
pub use standing::{IsKnown, Standing};
pub use subject::{MalformedName, Role, Subject, UnknownRole};
pub use token::{MalformedToken, Token};
pub use trust::Audience;

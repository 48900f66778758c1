//! Authentication: the cluster's authority, certificates, roles, and TLS channels that know the caller.
//!
//! Every cluster has a certification authority of its own ([`Authority`]), or uses an organisation's. A certificate says
//! who its holder is ([`Subject`]): a node by its number, or a person by name and [`Role`]. A node or a person presents an
//! [`Identity`], held in a [`PresentedIdentity`], which a renewed one replaces for the next handshake. [`listen`] gives
//! connections that know their [`Caller`], [`connector`] opens those of the other side. A caller without a certificate
//! brings a [`Token`], and verifies the cluster by the fingerprint in it ([`pinned`]).
//!
//! TLS 1.3 only, without resumption: every connection is authenticated anew.
//!
//! Invariant: never knows what is said over its channels, and never lets anybody pass whom an authority of its own does
//! not vouch for at that moment; on the port between nodes, did not vouch for until its certificate ended.

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
pub use standing::{IsKnown, Standing};
pub use subject::{MalformedName, Role, Subject, UnknownRole};
pub use token::{MalformedToken, Token};
pub use trust::Audience;

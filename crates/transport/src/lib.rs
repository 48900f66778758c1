//! Who speaks: the cluster's authority, certificates, roles, and TLS channels that know the caller.
//!
//! Every cluster has a certification authority of its own ([`Authority`]), or uses an organisation's. A certificate says
//! who its holder is ([`Subject`]): a node by its number, or a person by name and [`Role`]. What a node or a person shows
//! is an [`Identity`], held in [`Own`], where a renewed one takes its place for the next handshake. [`listen`] gives
//! connections that know their [`Caller`], [`connector`] opens those of the other side. Who has no certificate yet comes
//! with a [`Token`], and knows the cluster by the fingerprint in it ([`pinned`]).
//!
//! TLS 1.3 only, without resumption: every connection proves anew who speaks.
//!
//! Invariant: never knows what is said over its channels, and never lets anybody pass whom an authority of its own does
//! not vouch for at that moment.

mod authority;
mod connection;
mod connector;
mod error;
mod files;
mod identity;
pub mod limits;
mod listener;
mod subject;
mod token;
mod trust;

#[cfg(test)]
mod tests;

pub use authority::{Authority, SigningRequest};
pub use connection::{Caller, Connection};
pub use connector::{Connecting, Connector, connector, pinned};
pub use error::TransportError;
pub use files::{Folder, is_private_key_encrypted, read_private};
pub use identity::{Identity, Own};
pub use listener::listen;
pub use subject::{MalformedName, Role, Subject, UnknownRole};
pub use token::{MalformedToken, Token};
pub use trust::Audience;

//! Connection-oriented DCE/RPC (C706 chapter 12, MS-RPCE) without I/O.
//!
//! A server keeps one [`Association`] for each connection, a client one [`ClientAssociation`]. Both take bytes and
//! return the actions to perform. [`relay`] has what a program needs that forwards the associations of others. The crate uses no sockets, clock or randomness; the caller enforces deadlines and
//! connection limits. The crate does not interpret operations; [`ndr`] has the one stub layout that Quorate's
//! interfaces use.
//!
//! Deliberately absent: security contexts (the interface is anonymous, and its answers have their own signatures),
//! NDR64, several transfer syntaxes, multiplexed calls, the endpoint mapper, connectionless RPC.
//!
//! Invariant: an association never holds more than one unfinished fragment and one unfinished call within
//! [`limits`], whatever a peer sends; and the events never depend on how the bytes are split.

mod association;
mod client;
pub mod fault;
mod framing;
mod groups;
mod interface;
pub mod limits;
pub mod ndr;
mod negotiation;
mod pdu;
mod reassembly;
pub mod relay;
mod violation;

pub use association::{Association, Call, CallHandle, Event};
pub use client::{AssociationError, ClientAssociation, ClientEvent, ProtocolError, RequestError};
pub use groups::AssociationGroups;
pub use interface::Interface;
pub use pdu::octets::ByteOrder;
pub use violation::Violation;

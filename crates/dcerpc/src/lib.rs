//! Connection-oriented DCE/RPC (C706 chapter 12, MS-RPCE) without I/O.
//!
//! A server keeps one [`Association`] per connection, a client one [`ClientAssociation`]; both take bytes and give
//! back what is to be done. No sockets, no clock, no randomness: deadlines and connection limits belong to the caller.
//! What an operation means is not known here; [`ndr`] has the one stub layout that Quorate's interfaces use.
//!
//! Deliberately absent: security contexts (the interface is anonymous, its answers carry signatures of their own),
//! NDR64, several transfer syntaxes, multiplexed calls, the endpoint mapper, connectionless RPC.
//!
//! Invariant: whatever a peer sends, an association holds at most one unfinished fragment and one unfinished call
//! within [`limits`], and any split of the same bytes gives the same events.

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
mod violation;

pub use association::{Association, Call, CallHandle, Event};
pub use client::{AssociationError, ClientAssociation, ClientEvent, ProtocolError, RequestError};
pub use groups::AssociationGroups;
pub use interface::Interface;
pub use pdu::octets::ByteOrder;
pub use violation::Violation;

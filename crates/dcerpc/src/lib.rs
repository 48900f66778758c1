//! Connection-oriented DCE/RPC (C706 chapter 12, MS-RPCE) without I/O.
//!
//! A server keeps one [`Association`] for each connection, a client one [`ClientAssociation`]. Both take bytes and
//! return the actions to perform. [`relay`] has what a program needs that forwards the associations of others. The crate uses no sockets, clock or randomness; the caller enforces deadlines and
//! connection limits. The crate does not interpret operations; [`ndr`] has the one stub layout that Quorate's
//! interfaces use.
//!
//! ```
//! use dcerpc::{Association, AssociationGroups, ClientAssociation, ClientEvent, Event, Interface};
//!
//! let interface = Interface { uuid: uuid::Uuid::from_u128(1), major: 1, minor: 0, operations: 1 };
//! let mut server = Association::new(interface, AssociationGroups::new(), 1688);
//! let mut client = ClientAssociation::new(interface);
//! let Some(Event::Send(bind_ack)) = server.receive(&mut client.bind().as_slice()) else { panic!("no bind_ack") };
//! assert_eq!(client.receive(&mut bind_ack.as_slice()), Some(Ok(ClientEvent::Bound)));
//!
//! let request = client.request(0, b"ping")?;
//! let Some(Event::Call(call)) = server.receive(&mut request.as_slice()) else { panic!("no call") };
//! let response = server.respond(call.handle, &call.stub);
//! let Some(Ok(ClientEvent::Response { stub, .. })) = client.receive(&mut response.as_slice()) else {
//!     panic!("no response")
//! };
//! assert_eq!(stub, b"ping");
//! # Ok::<(), dcerpc::RequestError>(())
//! ```
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

//! The server's side of one connection, without I/O.
//!
//! Bytes in, events out: pass the bytes of the socket to [`Association::receive`], perform each event, and repeat
//! until it returns `None`.
//!
//! ```
//! # use dcerpc::{Association, AssociationGroups, Event, Interface, fault};
//! # use uuid::uuid;
//! # const ECHO: Interface =
//! #     Interface { uuid: uuid!("3a5b7c9d-1e2f-4a6b-8c7d-9e0f1a2b3c4d"), major: 1, minor: 0, operations: 1 };
//! # fn write(_: &[u8]) {}
//! # let read: &[u8] = &[];
//! let mut association = Association::new(ECHO, AssociationGroups::new(), 1688);
//! let mut input = read;
//! while let Some(event) = association.receive(&mut input) {
//!     match event {
//!         Event::Send(pdu) => write(&pdu),
//!         Event::Call(call) => write(&association.respond(call.handle, &call.stub)),
//!         Event::Close(_why) => break,
//!     }
//! }
//! ```
//!
//! Pipelined requests stay in the caller's `input` until the caller asks for the next event: a caller that answers
//! each call before it asks again has one call at a time and holds one read buffer. Invariant: an association itself
//! never holds more than one unfinished fragment and one unfinished call (`limits`).

use uuid::Uuid;

use crate::fault;
use crate::framing::{Framed, Framing};
use crate::groups::{AssociationGroups, Membership, NoGroup};
use crate::interface::Interface;
use crate::limits::{FRAGMENT_BYTES_MAX, FRAGMENT_BYTES_MIN};
use crate::negotiation;
use crate::pdu::bind::{self, Settled};
use crate::pdu::call::{self, CallFields, Fragment};
use crate::pdu::octets::{ByteOrder, Truncated};
use crate::pdu::{DID_NOT_EXECUTE, HEADER_BYTES, Header, Kind, VERSION, VERSION_MINOR, WHOLE};
use crate::reassembly::{Misfit, Reassembly, WholeCall};
use crate::violation::Violation;

/// An action that the caller has to perform.
#[derive(Debug)]
pub enum Event {
    /// Write these bytes to the client.
    Send(Vec<u8>),
    /// Run this call and pass its handle to [`Association::respond`] or [`Association::fault`].
    Call(Call),
    /// Close the connection. Returned once, as the last event; where a last answer is due, it was returned before.
    Close(Violation),
}

/// A complete request for an operation that the interface has.
#[derive(Debug)]
pub struct Call {
    /// The handle, which permits one answer.
    pub handle: CallHandle,
    /// Operation number, below [`Interface::operations`].
    pub opnum: u16,
    /// Object UUID, where the client sent one.
    pub object: Option<Uuid>,
    /// Parameters as the client marshalled them; see [`crate::ndr::decode_request`]. At most
    /// [`crate::limits::CALL_STUB_BYTES_MAX`] bytes.
    pub stub: Vec<u8>,
    /// Byte order of the integers in `stub`.
    pub order: ByteOrder,
}

/// Identifies one call of one association. It cannot be cloned, because a call has one answer.
#[derive(Debug)]
#[must_use = "a call without an answer leaves its client waiting"]
pub struct CallHandle {
    call_id: u32,
    context: u16,
}

/// Server side of one connection; see the module for the loop around it.
#[derive(Debug)]
pub struct Association {
    framing: Framing,
    session: ServerSession,
    ending: Ending,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Open,
    /// The last answer was returned as an event; the close follows.
    Due(Violation),
    Closed,
}

impl Association {
    /// Creates the association of a new connection. `port` is sent in bind_ack as the secondary address.
    pub fn new(interface: Interface, groups: AssociationGroups, port: u16) -> Self {
        let session = ServerSession { interface, groups, port, bound: None, reassembly: Reassembly::default() };
        Self { framing: Framing::default(), session, ending: Ending::Open }
    }

    /// Consumes bytes from the front of `input` up to the next event; `None` when all of it is consumed.
    ///
    /// The events do not depend on how the stream is split. After [`Event::Close`] input is dropped.
    pub fn receive(&mut self, input: &mut &[u8]) -> Option<Event> {
        loop {
            match self.ending {
                Ending::Open => {}
                Ending::Due(violation) => {
                    self.ending = Ending::Closed;
                    return Some(Event::Close(violation));
                }
                Ending::Closed => {
                    *input = &[];
                    return None;
                }
            }
            let (header, outcome) = match self.framing.next(input, |header| self.session.admit(header))? {
                Framed::Refused(header, violation) => (header, Err(violation)),
                Framed::Whole(header, pdu) => (header, self.session.take(header, &pdu)),
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(event)) => return Some(event),
                Err(violation) => {
                    self.session.reassembly = Reassembly::default();
                    self.ending = Ending::Due(violation);
                    if let Some(answer) = violation.answer(&header) {
                        return Some(Event::Send(answer));
                    }
                }
            }
        }
    }

    /// The response to a call: all its fragments, of a size that the client accepts, ready to be written.
    pub fn respond(&self, call: CallHandle, stub: &[u8]) -> Vec<u8> {
        let fields = CallFields { call_id: call.call_id, context: call.context, opnum: 0 };
        call::encode_call(Kind::Response, fields, self.session.transmit_bytes(), stub)
    }

    /// A fault as the answer to a call; `status` is one of [`crate::fault`], or an operation's own.
    ///
    /// The fault does not state whether the call was run.
    pub fn fault(&self, call: CallHandle, status: u32) -> Vec<u8> {
        call::encode_fault(call.call_id, call.context, 0, status)
    }

    /// A shutdown PDU, which asks the client to disconnect; `None` before a bind and after [`Event::Close`], when
    /// the caller only has to close the connection.
    ///
    /// Requests that the client sent before it received the PDU are still served; the caller decides when to close.
    pub fn shutdown(&self) -> Option<Vec<u8>> {
        if !(self.is_bound() && matches!(self.ending, Ending::Open)) {
            return None;
        }
        let mut output = Vec::with_capacity(HEADER_BYTES);
        crate::pdu::open_fragment(&mut output, Kind::Shutdown, WHOLE, 0);
        crate::pdu::close_fragment(&mut output, 0);
        Some(output)
    }

    /// Whether bytes of an unfinished fragment or call are held. The deadline for a whole call runs as long as this
    /// is true, even if the bytes arrive one by one.
    pub fn is_mid_pdu(&self) -> bool {
        !(self.framing.is_empty() && self.session.reassembly.is_empty())
    }

    /// Whether a bind was answered with bind_ack, whether or not its contexts were accepted.
    pub fn is_bound(&self) -> bool {
        self.session.bound.is_some()
    }

    /// Memory held for unfinished fragments and calls, in bytes: at most [`FRAGMENT_BYTES_MAX`] plus
    /// [`crate::limits::CALL_STUB_BYTES_MAX`].
    pub fn held_bytes(&self) -> usize {
        self.framing.held_bytes() + self.session.reassembly.held_bytes()
    }
}

/// The association without its byte stream; it processes whole PDUs.
#[derive(Debug)]
struct ServerSession {
    interface: Interface,
    groups: AssociationGroups,
    port: u16,
    bound: Option<Bound>,
    reassembly: Reassembly,
}

/// The parameters that a bind agreed.
#[derive(Debug)]
struct Bound {
    settled: Settled,
    /// Accepted presentation contexts, at most `PRESENTATION_CONTEXTS_MAX`.
    contexts: Vec<u16>,
    _group: Membership,
}

/// The event that one PDU causes, if any.
type ServerStep = Result<Option<Event>, Violation>;

impl ServerSession {
    fn transmit_bytes(&self) -> u16 {
        self.bound.as_ref().map_or(FRAGMENT_BYTES_MIN, |bound| bound.settled.transmit_bytes)
    }

    /// Checks a PDU by its header, before any of its body is held.
    fn admit(&self, header: &Header) -> Result<(), Violation> {
        if (header.version, header.version_minor) != (VERSION, VERSION_MINOR) {
            return Err(Violation::ProtocolVersion { major: header.version, minor: header.version_minor });
        }
        match (header.kind, &self.bound) {
            (Kind::Request, None) => return Err(Violation::RequestBeforeBind),
            (Kind::AlterContext, None) => return Err(Violation::AlterBeforeBind),
            (Kind::Bind, Some(_)) => return Err(Violation::SecondBind),
            (Kind::Bind | Kind::AlterContext | Kind::Request | Kind::CoCancel | Kind::Orphaned, _) => {}
            (other, _) => return Err(Violation::PduType(other.code())),
        }
        Violation::check_length(header, self.bound.as_ref().map_or(FRAGMENT_BYTES_MAX, |b| b.settled.receive_bytes))
    }

    fn take(&mut self, header: Header, pdu: &[u8]) -> ServerStep {
        let body = pdu.get(HEADER_BYTES..).unwrap_or_default();
        match header.kind {
            Kind::Bind => self.bind(header, body),
            Kind::AlterContext => self.alter_context(header, body),
            Kind::Request => self.request(header, body),
            Kind::Orphaned => {
                self.reassembly.abandon(header.call_id);
                Ok(None)
            }
            // co_cancel: an operation here ends before a cancel could take effect, so the call completes.
            _ => Ok(None),
        }
    }

    fn bind(&mut self, header: Header, body: &[u8]) -> ServerStep {
        let proposal = negotiation::decode(header, body)?;
        let mut contexts = Vec::new();
        let results = negotiation::answer(&self.interface, &proposal, header.kind, &mut contexts)?;
        let group = self.groups.join(proposal.group).map_err(|none| match none {
            NoGroup::Unknown => Violation::UnknownGroup(proposal.group),
            NoGroup::TableFull => Violation::TooManyGroups,
        })?;
        // The client's receive size is this side's transmit size, and vice versa.
        let settled = Settled {
            transmit_bytes: proposal.receive_bytes.clamp(FRAGMENT_BYTES_MIN, FRAGMENT_BYTES_MAX),
            receive_bytes: proposal.transmit_bytes.clamp(FRAGMENT_BYTES_MIN, FRAGMENT_BYTES_MAX),
            group: group.id(),
        };
        self.bound = Some(Bound { settled, contexts, _group: group });
        Ok(Some(Event::Send(bind::encode_ack(header.call_id, settled, Some(self.port), &results))))
    }

    fn alter_context(&mut self, header: Header, body: &[u8]) -> ServerStep {
        let bound = self.bound.as_mut().ok_or(Violation::AlterBeforeBind)?;
        let proposal = negotiation::decode(header, body)?;
        let results = negotiation::answer(&self.interface, &proposal, header.kind, &mut bound.contexts)?;
        Ok(Some(Event::Send(bind::encode_ack(header.call_id, bound.settled, None, &results))))
    }

    fn request(&mut self, header: Header, body: &[u8]) -> ServerStep {
        let fragment = Fragment::decode_request(header, body).map_err(|Truncated| Violation::MalformedRequest)?;
        if header.auth_bytes != 0 {
            self.reassembly.abandon(header.call_id);
            return Ok(Some(refuse(header.call_id, fragment.context, fault::ACCESS_DENIED)));
        }
        let whole = self.reassembly.add(&fragment).map_err(|misfit| match misfit {
            Misfit::Sequence => Violation::FragmentSequence,
            Misfit::TooLong => Violation::CallTooLong,
        })?;
        Ok(whole.map(|call| self.dispatch(call)))
    }

    fn dispatch(&self, call: WholeCall) -> Event {
        let WholeCall { call_id, context, opnum, object, order, stub } = call;
        if !self.bound.as_ref().is_some_and(|bound| bound.contexts.contains(&context)) {
            return refuse(call_id, context, fault::UNKNOWN_INTERFACE);
        }
        if opnum >= self.interface.operations {
            return refuse(call_id, context, fault::OPERATION_RANGE);
        }
        Event::Call(Call { handle: CallHandle { call_id, context }, opnum, object, stub, order })
    }
}

/// A fault for a call that was not run; the association continues.
fn refuse(call_id: u32, context: u16, status: u32) -> Event {
    Event::Send(call::encode_fault(call_id, context, DID_NOT_EXECUTE, status))
}

//! The client's side of one connection: one interface over NDR 2.0, one call at a time.
//!
//! Write the bytes of [`ClientAssociation::bind`], pass the server's bytes to [`ClientAssociation::receive`] until
//! [`ClientEvent::Bound`], then write requests. A server is trusted no more than a client is: it can make this side
//! hold at most one fragment and one answer (`limits`).

use crate::framing::{Framed, Framing};
use crate::interface::Interface;
use crate::limits::{CALL_STUB_BYTES_MAX, FRAGMENT_BYTES_MAX, PEER_FRAGMENT_BYTES_MIN};
use crate::pdu::bind::{self, Ack, NDR};
use crate::pdu::call::{self, CallFields, Fragment};
use crate::pdu::octets::{ByteOrder, Truncated};
use crate::pdu::{HEADER_BYTES, Header, Kind, VERSION, VERSION_MINOR};
use crate::reassembly::{Misfit, Reassembly};

/// Call number of the bind; calls continue from it.
const BIND_CALL_ID: u32 = 1;

/// An event that the server's bytes cause.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The interface was accepted: requests may be sent.
    Bound,
    /// The answer to a call.
    Response {
        /// Number of the call.
        call_id: u32,
        /// Results as the server marshalled them; see [`crate::ndr::decode_answer`].
        stub: Vec<u8>,
        /// Byte order of the integers in `stub`.
        order: ByteOrder,
    },
    /// The server refused the call, or failed to run it. The association can still be used.
    Fault {
        /// Number of the call.
        call_id: u32,
        /// The fault code: one of [`crate::fault`], or an operation's own.
        status: u32,
    },
    /// The server asks the client to disconnect: send no further calls, and close the connection.
    Shutdown,
}

/// The server refused, or violated the protocol. The association cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssociationError {
    /// bind_nak, with its reason (C706 section 12.6.3.1).
    #[error("server refused the bind (reason {reason})")]
    BindRefused {
        /// Reject reason.
        reason: u16,
    },
    /// bind_ack that does not accept the interface.
    #[error("server does not offer the interface (result {result}, reason {reason})")]
    InterfaceRefused {
        /// 1 user rejection, 2 provider rejection.
        result: u16,
        /// 1 unknown interface, 2 unknown transfer syntaxes, 3 local limit.
        reason: u16,
    },
    /// Bytes that a server may not send at this point.
    #[error("server violated the protocol: {0}")]
    Protocol(#[from] ProtocolError),
}

/// How a server violated the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A version other than 5.0.
    #[error("protocol version {major}.{minor}, not 5.0")]
    Version {
        /// Major version as received.
        major: u8,
        /// Minor version as received.
        minor: u8,
    },
    /// A fragment shorter than a header or longer than offered.
    #[error("fragment length of {0} bytes")]
    FragmentLength(u16),
    /// A PDU type that does not fit the state of the association.
    #[error("unexpected PDU type {0}")]
    PduType(u8),
    /// An answer to a call that is not open.
    #[error("answer to call {0}, which is not in progress")]
    CallId(u32),
    /// A body that ends too early.
    #[error("PDU type {0} is too short")]
    Truncated(u8),
    /// A verifier, although no authentication was requested.
    #[error("authentication that was not requested")]
    Verifier,
    /// A bind_ack with a number of results other than one, or that accepts another transfer syntax than offered.
    #[error("bind_ack does not answer the bind")]
    Ack,
    /// The server's receive size is below the minimum that the protocol requires.
    #[error("server accepts fragments of only {0} bytes")]
    ReceiveSize(u16),
    /// Fragments that do not form one answer.
    #[error("fragment out of sequence")]
    FragmentSequence,
    /// An answer that exceeds the limit.
    #[error("answer longer than {CALL_STUB_BYTES_MAX} bytes")]
    AnswerTooLong,
}

/// Why a request cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No bind was accepted yet, or the association cannot be used any more.
    #[error("the association is not bound")]
    NotBound,
    /// The answer to the previous call has not arrived yet.
    #[error("call {call_id} is still in progress")]
    CallOpen {
        /// Number of the open call.
        call_id: u32,
    },
    /// The stub is longer than the other side reassembles.
    #[error("stub of {bytes} bytes, at most {CALL_STUB_BYTES_MAX} allowed")]
    StubTooLong {
        /// Length of the stub.
        bytes: usize,
    },
}

/// Client side of one connection.
#[derive(Debug)]
pub struct ClientAssociation {
    framing: Framing,
    session: ClientSession,
}

#[derive(Debug)]
struct ClientSession {
    interface: Interface,
    state: ClientState,
    last_call_id: u32,
    reassembly: Reassembly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientState {
    New,
    Binding,
    Bound { transmit_bytes: u16, open_call: Option<u32> },
    Over,
}

impl ClientAssociation {
    /// Creates an association for a new connection that requests `interface`.
    pub fn new(interface: Interface) -> Self {
        let session = ClientSession {
            interface,
            state: ClientState::New,
            last_call_id: BIND_CALL_ID,
            reassembly: Reassembly::default(),
        };
        Self { framing: Framing::default(), session }
    }

    /// The bind, which must be written first and once.
    pub fn bind(&mut self) -> Vec<u8> {
        if self.session.state == ClientState::New {
            self.session.state = ClientState::Binding;
        }
        bind::encode_bind(BIND_CALL_ID, FRAGMENT_BYTES_MAX, self.session.interface.syntax())
    }

    /// A request as all its fragments, ready to be written. Its number is the one in the next answer.
    pub fn request(&mut self, opnum: u16, stub: &[u8]) -> Result<Vec<u8>, RequestError> {
        let ClientState::Bound { transmit_bytes, open_call } = self.session.state else {
            return Err(RequestError::NotBound);
        };
        if let Some(call_id) = open_call {
            return Err(RequestError::CallOpen { call_id });
        }
        if stub.len() > CALL_STUB_BYTES_MAX {
            return Err(RequestError::StubTooLong { bytes: stub.len() });
        }
        let call_id = self.session.last_call_id.wrapping_add(1);
        self.session.last_call_id = call_id;
        self.session.state = ClientState::Bound { transmit_bytes, open_call: Some(call_id) };
        let fields = CallFields { call_id, context: 0, opnum };
        Ok(call::encode_call(Kind::Request, fields, transmit_bytes, stub))
    }

    /// Consumes bytes from the front of `input` up to the next event; `None` when all of it is consumed.
    ///
    /// The events do not depend on how the stream is split. After an error input is dropped.
    pub fn receive(&mut self, input: &mut &[u8]) -> Option<Result<ClientEvent, AssociationError>> {
        loop {
            if self.session.state == ClientState::Over {
                *input = &[];
                return None;
            }
            let outcome = match self.framing.next(input, |header| self.session.admit(header))? {
                Framed::Refused(_, error) => Err(error.into()),
                Framed::Whole(header, pdu) => self.session.take(header, &pdu),
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(event)) => return Some(Ok(event)),
                Err(error) => {
                    self.session.state = ClientState::Over;
                    self.session.reassembly = Reassembly::default();
                    return Some(Err(error));
                }
            }
        }
    }

    /// Memory held for unfinished fragments and answers, in bytes: at most [`FRAGMENT_BYTES_MAX`] plus
    /// [`CALL_STUB_BYTES_MAX`].
    pub fn held_bytes(&self) -> usize {
        self.framing.held_bytes() + self.session.reassembly.held_bytes()
    }
}

/// The event that one PDU causes, if any.
type ClientStep = Result<Option<ClientEvent>, AssociationError>;

impl ClientSession {
    fn admit(&self, header: &Header) -> Result<(), ProtocolError> {
        if (header.version, header.version_minor) != (VERSION, VERSION_MINOR) {
            return Err(ProtocolError::Version { major: header.version, minor: header.version_minor });
        }
        let lengths = HEADER_BYTES..=usize::from(FRAGMENT_BYTES_MAX);
        if !lengths.contains(&usize::from(header.fragment_bytes)) {
            return Err(ProtocolError::FragmentLength(header.fragment_bytes));
        }
        let expected_call = match (self.state, header.kind) {
            (_, Kind::Shutdown) => return Ok(()),
            (ClientState::Binding, Kind::BindAck | Kind::BindNak) => Some(BIND_CALL_ID),
            (ClientState::Bound { open_call, .. }, Kind::Response | Kind::Fault) => open_call,
            _ => return Err(ProtocolError::PduType(header.kind.code())),
        };
        if expected_call != Some(header.call_id) {
            return Err(ProtocolError::CallId(header.call_id));
        }
        if header.auth_bytes != 0 {
            return Err(ProtocolError::Verifier);
        }
        Ok(())
    }

    fn take(&mut self, header: Header, pdu: &[u8]) -> ClientStep {
        let body = pdu.get(HEADER_BYTES..).unwrap_or_default();
        let truncated = |Truncated| ProtocolError::Truncated(header.kind.code());
        match header.kind {
            Kind::BindAck => self.acknowledged(&Ack::decode(body, header.order).map_err(truncated)?),
            Kind::BindNak => {
                let reason = bind::decode_nak(body, header.order).map_err(truncated)?;
                Err(AssociationError::BindRefused { reason })
            }
            Kind::Response => self.response(&Fragment::decode_response(header, body).map_err(truncated)?),
            Kind::Fault => {
                let status = call::decode_fault(header, body).map_err(truncated)?;
                self.reassembly = Reassembly::default();
                self.close_call();
                Ok(Some(ClientEvent::Fault { call_id: header.call_id, status }))
            }
            _ => {
                self.state = ClientState::Over;
                Ok(Some(ClientEvent::Shutdown))
            }
        }
    }

    fn acknowledged(&mut self, ack: &Ack) -> ClientStep {
        if ack.result_count != 1 {
            return Err(ProtocolError::Ack.into());
        }
        if ack.result != 0 {
            return Err(AssociationError::InterfaceRefused { result: ack.result, reason: ack.reason });
        }
        if ack.syntax != NDR {
            return Err(ProtocolError::Ack.into());
        }
        if ack.receive_bytes < PEER_FRAGMENT_BYTES_MIN {
            return Err(ProtocolError::ReceiveSize(ack.receive_bytes).into());
        }
        let transmit_bytes = ack.receive_bytes.min(FRAGMENT_BYTES_MAX);
        self.state = ClientState::Bound { transmit_bytes, open_call: None };
        Ok(Some(ClientEvent::Bound))
    }

    fn response(&mut self, fragment: &Fragment<'_>) -> ClientStep {
        let whole = self.reassembly.add(fragment).map_err(|misfit| match misfit {
            Misfit::Sequence => ProtocolError::FragmentSequence,
            Misfit::TooLong => ProtocolError::AnswerTooLong,
        })?;
        let Some(answer) = whole else { return Ok(None) };
        self.close_call();
        Ok(Some(ClientEvent::Response { call_id: answer.call_id, stub: answer.stub, order: answer.order }))
    }

    fn close_call(&mut self) {
        if let ClientState::Bound { open_call, .. } = &mut self.state {
            *open_call = None;
        }
    }
}

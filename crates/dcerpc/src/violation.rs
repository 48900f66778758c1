//! The protocol violations of a client that end its association, and the answer to each before the close.
//!
//! The answers are those of Samba's server, for which existing clients were written.

use crate::fault;
use crate::limits::{CALL_STUB_BYTES_MAX, FRAGMENT_BYTES_MAX};
use crate::pdu::{DID_NOT_EXECUTE, Header, Kind, bind, call};

/// Why a server closes an association. The text holds numbers only, never the peer's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A protocol version other than 5.0: bind_nak, reason 4.
    #[error("protocol version {major}.{minor}, not 5.0")]
    ProtocolVersion {
        /// Major version as received.
        major: u8,
        /// Minor version as received.
        minor: u8,
    },
    /// A request before any bind: bind_nak, reason 4.
    #[error("request before bind")]
    RequestBeforeBind,
    /// An alter_context before any bind: fault `PROTOCOL_ERROR`.
    #[error("alter_context before bind")]
    AlterBeforeBind,
    /// A second bind: bind_nak, reason 0.
    #[error("second bind on one connection")]
    SecondBind,
    /// A bind or alter_context that ends too early, or is sent in several fragments.
    #[error("malformed bind or alter_context")]
    MalformedBind,
    /// A bind or alter_context without presentation contexts.
    #[error("bind or alter_context without presentation contexts")]
    NoContexts,
    /// More than `PRESENTATION_CONTEXTS_MAX` contexts at once: bind_nak, reason 2.
    #[error("{0} presentation contexts in one bind or alter_context")]
    TooManyContexts(u8),
    /// An association group that does not exist: bind_nak, reason 0.
    #[error("unknown association group {0}")]
    UnknownGroup(u32),
    /// The table already has `ASSOCIATION_GROUPS_MAX` groups: bind_nak, reason 2.
    #[error("too many association groups")]
    TooManyGroups,
    /// A verifier of an unknown authentication type: bind_nak, reason 8.
    #[error("unknown authentication type {0}")]
    AuthenticationType(u8),
    /// A request that ends within its own header: fault `PROTOCOL_ERROR`.
    #[error("malformed request")]
    MalformedRequest,
    /// Interleaved calls, or no first fragment: fault `PROTOCOL_ERROR`.
    #[error("fragment out of sequence")]
    FragmentSequence,
    /// A fragment longer than negotiated: fault `PROTOCOL_ERROR`.
    #[error("fragment of {bytes} bytes, at most {max} allowed")]
    FragmentTooLong {
        /// Length that the header states.
        bytes: u16,
        /// Length that was agreed, or `FRAGMENT_BYTES_MAX` before the bind.
        max: u16,
    },
    /// A fragment shorter than the fields of every PDU: closed without an answer.
    #[error("fragment length of {0} bytes is shorter than a header")]
    FragmentTooShort(u16),
    /// A call that exceeds `CALL_STUB_BYTES_MAX`: fault `REMOTE_NO_MEMORY`.
    #[error("call longer than {CALL_STUB_BYTES_MAX} bytes")]
    CallTooLong,
    /// A PDU type that no client sends: closed without an answer.
    #[error("PDU type {0} from a client")]
    PduType(u8),
}

/// Reject reasons of bind_nak (C706 section 12.6.3.1; MS-RPCE section 2.2.2.5).
mod nak {
    pub(super) const NOT_SPECIFIED: u16 = 0;
    pub(super) const LOCAL_LIMIT: u16 = 2;
    pub(super) const PROTOCOL_VERSION: u16 = 4;
    pub(super) const AUTHENTICATION_TYPE: u16 = 8;
}

impl Violation {
    /// The last PDU before the close, where the offending PDU is of a kind that is answered.
    pub(crate) fn answer(self, header: &Header) -> Option<Vec<u8>> {
        match (self, header.kind) {
            (Self::FragmentTooShort(_), _) => None,
            (Self::ProtocolVersion { .. } | Self::RequestBeforeBind, _) | (_, Kind::Bind) => {
                Some(bind::encode_nak(header.call_id, self.nak_reason()))
            }
            (_, Kind::Request | Kind::AlterContext) => {
                Some(call::encode_fault(header.call_id, 0, DID_NOT_EXECUTE, self.fault_status()))
            }
            _ => None,
        }
    }

    fn nak_reason(self) -> u16 {
        match self {
            Self::ProtocolVersion { .. } | Self::RequestBeforeBind => nak::PROTOCOL_VERSION,
            Self::TooManyContexts(_) | Self::TooManyGroups | Self::FragmentTooLong { .. } => nak::LOCAL_LIMIT,
            Self::AuthenticationType(_) => nak::AUTHENTICATION_TYPE,
            _ => nak::NOT_SPECIFIED,
        }
    }

    fn fault_status(self) -> u32 {
        match self {
            Self::CallTooLong => fault::REMOTE_NO_MEMORY,
            Self::AuthenticationType(_) => fault::ACCESS_DENIED,
            _ => fault::PROTOCOL_ERROR,
        }
    }

    /// Checks the length limits for every fragment; `max` is the size that this association agreed.
    pub(crate) fn check_length(header: &Header, max: u16) -> Result<(), Self> {
        debug_assert!(max <= FRAGMENT_BYTES_MAX);
        let bytes = header.fragment_bytes;
        if usize::from(bytes) < crate::pdu::HEADER_BYTES {
            return Err(Self::FragmentTooShort(bytes));
        }
        if bytes > max {
            return Err(Self::FragmentTooLong { bytes, max });
        }
        Ok(())
    }
}

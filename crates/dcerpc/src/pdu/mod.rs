//! Layout of the PDUs: the fixed 16-byte header, and one module for each family of bodies.
//!
//! Decoding returns validated types or `Truncated`; the two associations decide how to treat a malformed PDU.
//! Everything is encoded little-endian.

pub(crate) mod bind;
pub(crate) mod call;
pub(crate) mod octets;

use octets::ByteOrder;

/// Length of that header, in bytes.
pub const HEADER_BYTES: usize = 16;
/// Length of the header of a request without object UUID, and of a response, in bytes.
pub(crate) const CALL_HEADER_BYTES: usize = HEADER_BYTES + 8;
/// The stub in every fragment except the last has a length that is a multiple of this (C706 section 12.6.4).
pub(crate) const STUB_FRAGMENT_ALIGNMENT_BYTES: usize = 8;

pub(crate) const VERSION: u8 = 5;
pub(crate) const VERSION_MINOR: u8 = 0;

pub(crate) const FIRST_FRAGMENT: u8 = 0x01;
pub(crate) const LAST_FRAGMENT: u8 = 0x02;
pub(crate) const DID_NOT_EXECUTE: u8 = 0x20;
pub(crate) const OBJECT_UUID: u8 = 0x80;
pub(crate) const WHOLE: u8 = FIRST_FRAGMENT | LAST_FRAGMENT;

/// Length of the largest bind_ack for `contexts` presentation contexts, in bytes: five port digits and their NUL,
/// padded.
pub(crate) const fn bind_ack_bytes_max(contexts: usize) -> usize {
    HEADER_BYTES + 8 + 8 + 4 + contexts * 24
}

/// PDU types of the connection-oriented protocol (C706 section 12.6.4; MS-RPCE section 2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Request,
    Response,
    Fault,
    Bind,
    BindAck,
    BindNak,
    AlterContext,
    AlterContextResponse,
    Shutdown,
    CoCancel,
    Orphaned,
    /// Any other number, as received; 16 (auth3) among them.
    Unknown(u8),
}

impl Kind {
    fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Request,
            2 => Self::Response,
            3 => Self::Fault,
            11 => Self::Bind,
            12 => Self::BindAck,
            13 => Self::BindNak,
            14 => Self::AlterContext,
            15 => Self::AlterContextResponse,
            17 => Self::Shutdown,
            18 => Self::CoCancel,
            19 => Self::Orphaned,
            other => Self::Unknown(other),
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Request => 0,
            Self::Response => 2,
            Self::Fault => 3,
            Self::Bind => 11,
            Self::BindAck => 12,
            Self::BindNak => 13,
            Self::AlterContext => 14,
            Self::AlterContextResponse => 15,
            Self::Shutdown => 17,
            Self::CoCancel => 18,
            Self::Orphaned => 19,
            Self::Unknown(code) => code,
        }
    }
}

/// The fields with which every PDU begins.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Major version of the protocol; 5.
    pub version: u8,
    /// Minor version of the protocol; 0 or 1.
    pub version_minor: u8,
    /// PDU type.
    pub kind: Kind,
    /// PFC flags, as received.
    pub flags: u8,
    /// Byte order of the integers in the PDU.
    pub order: ByteOrder,
    /// Length of the whole fragment including this header, as the sender states it.
    pub fragment_bytes: u16,
    /// Length of the authentication value without its 8-byte prefix.
    pub auth_bytes: u16,
    /// Number of the call.
    pub call_id: u32,
}

impl Header {
    pub(crate) fn decode(octets: &[u8; HEADER_BYTES]) -> Self {
        let &[version, version_minor, kind, flags, representation, _, _, _, f0, f1, a0, a1, c0, c1, c2, c3] = octets;
        // The upper half of the first octet of the data representation is 1 for little-endian and 0 for big-endian.
        let order = if representation & 0x10 == 0 { ByteOrder::Big } else { ByteOrder::Little };
        Self {
            version,
            version_minor,
            kind: Kind::from_code(kind),
            flags,
            order,
            fragment_bytes: order.u16([f0, f1]),
            auth_bytes: order.u16([a0, a1]),
            call_id: order.u32([c0, c1, c2, c3]),
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.flags & WHOLE == WHOLE
    }

    /// Whether this is the first fragment of its call.
    pub fn is_first(&self) -> bool {
        self.flags & FIRST_FRAGMENT != 0
    }

    /// Whether this is the last fragment of its call.
    pub fn is_last(&self) -> bool {
        self.flags & LAST_FRAGMENT != 0
    }
}

/// Starts a PDU in `output`; `close_fragment` writes its length after the body.
pub(crate) fn open_fragment(output: &mut Vec<u8>, kind: Kind, flags: u8, call_id: u32) {
    let [c0, c1, c2, c3] = call_id.to_le_bytes();
    // Representation 0x10: little-endian, ASCII, IEEE floating point.
    output.extend_from_slice(&[VERSION, VERSION_MINOR, kind.code(), flags, 0x10, 0, 0, 0, 0, 0, 0, 0, c0, c1, c2, c3]);
}

/// Writes the length of the fragment that began at `start` and now ends `output`.
pub(crate) fn close_fragment(output: &mut [u8], start: usize) {
    let bytes = u16::try_from(output.len() - start).expect("fragments are made no longer than FRAGMENT_BYTES_MAX");
    let field = output.get_mut(start + 8..start + 10).expect("open_fragment has written the header");
    field.copy_from_slice(&bytes.to_le_bytes());
}

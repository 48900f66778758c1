//! Integers and UUIDs in the byte order that a PDU declares.

use uuid::Uuid;

/// Byte order of the integers in one PDU, stub included ("receiver makes it right", C706 section 14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// Least significant byte first; the order of everything that this crate sends.
    Little,
    /// Most significant byte first.
    Big,
}

impl ByteOrder {
    pub(crate) fn u16(self, octets: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(octets),
            Self::Big => u16::from_be_bytes(octets),
        }
    }

    pub(crate) fn u32(self, octets: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(octets),
            Self::Big => u32::from_be_bytes(octets),
        }
    }

    fn uuid(self, octets: [u8; 16]) -> Uuid {
        match self {
            Self::Little => Uuid::from_bytes_le(octets),
            Self::Big => Uuid::from_bytes(octets),
        }
    }
}

/// The PDU ended before a field that its layout requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truncated;

/// Reads fields from the front of a slice.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    order: ByteOrder,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(octets: &'a [u8], order: ByteOrder) -> Self {
        Self { rest: octets, order }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<&'a [u8], Truncated> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Truncated> {
        self.array().map(|[octet]| octet)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Truncated> {
        self.array().map(|octets| self.order.u16(octets))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Truncated> {
        self.array().map(|octets| self.order.u32(octets))
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, Truncated> {
        self.array().map(|octets| self.order.uuid(octets))
    }
}

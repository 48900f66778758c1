//! Reassembles the fragments of one call.
//!
//! Concurrent multiplexing is never agreed here, so the fragments of one call follow each other: there is at most
//! one unfinished call, never longer than `CALL_STUB_BYTES_MAX`.

use uuid::Uuid;

use crate::limits::CALL_STUB_BYTES_MAX;
use crate::pdu::call::Fragment;
use crate::pdu::octets::ByteOrder;
use crate::pdu::{FIRST_FRAGMENT, LAST_FRAGMENT};

/// A request or response whose fragments have all arrived.
#[derive(Debug)]
pub(crate) struct WholeCall {
    pub(crate) call_id: u32,
    pub(crate) context: u16,
    pub(crate) opnum: u16,
    pub(crate) object: Option<Uuid>,
    pub(crate) order: ByteOrder,
    pub(crate) stub: Vec<u8>,
}

/// Why a fragment cannot belong to any call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// A fragment of another call in between, a second first fragment, or no first fragment.
    Sequence,
    /// The call exceeds `CALL_STUB_BYTES_MAX`.
    TooLong,
}

#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    partial: Option<WholeCall>,
}

impl Reassembly {
    pub(crate) fn held_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |call| call.stub.capacity())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.partial.is_none()
    }

    /// Adds the next fragment, and returns the call where it was the last one. After a `Misfit` nothing is held.
    pub(crate) fn add(&mut self, fragment: &Fragment<'_>) -> Result<Option<WholeCall>, Misfit> {
        let first = fragment.header.flags & FIRST_FRAGMENT != 0;
        let mut call = match (self.partial.take(), first) {
            (None, true) => WholeCall {
                call_id: fragment.header.call_id,
                context: fragment.context,
                opnum: fragment.opnum,
                object: fragment.object,
                order: fragment.header.order,
                stub: Vec::new(),
            },
            (Some(call), false) if call.is_continued_by(fragment) => call,
            _ => return Err(Misfit::Sequence),
        };
        call.extend(fragment.stub)?;
        if fragment.header.flags & LAST_FRAGMENT != 0 {
            return Ok(Some(call));
        }
        self.partial = Some(call);
        Ok(None)
    }

    /// Drops the unfinished call if it has this number.
    pub(crate) fn abandon(&mut self, call_id: u32) {
        self.partial.take_if(|call| call.call_id == call_id);
    }
}

impl WholeCall {
    fn is_continued_by(&self, fragment: &Fragment<'_>) -> bool {
        self.call_id == fragment.header.call_id
            && self.context == fragment.context
            && self.opnum == fragment.opnum
            && self.order == fragment.header.order
    }

    /// Appends with doubling growth that stops at the limit, so that neither many small fragments nor one call use
    /// more memory than the limit allows.
    fn extend(&mut self, octets: &[u8]) -> Result<(), Misfit> {
        let bytes = self.stub.len() + octets.len();
        if bytes > CALL_STUB_BYTES_MAX {
            return Err(Misfit::TooLong);
        }
        if bytes > self.stub.capacity() {
            let capacity = bytes.max(self.stub.capacity() * 2).min(CALL_STUB_BYTES_MAX);
            self.stub.reserve_exact(capacity - self.stub.len());
        }
        self.stub.extend_from_slice(octets);
        Ok(())
    }
}

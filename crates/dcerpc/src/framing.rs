//! Cuts the byte stream into fragments.
//!
//! A fragment that is complete in the caller's input is not copied. Otherwise exactly its own bytes are held until
//! it is complete. So a peer can make this side hold at most one fragment, and an idle connection holds nothing.

use std::borrow::Cow;

use crate::pdu::{HEADER_BYTES, Header};

/// The held bytes of one unfinished fragment.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    held: Vec<u8>,
}

/// The result of reading the stream.
pub(crate) enum Framed<'a, E> {
    /// A whole fragment, header included.
    Whole(Header, Cow<'a, [u8]>),
    /// The header alone was enough to refuse the fragment; its body was neither awaited nor held.
    Refused(Header, E),
}

impl Framing {
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.capacity()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Consumes at most one fragment of `input`; `None` when all of `input` is consumed and the fragment is not
    /// complete.
    ///
    /// `admit` receives each header once, before anything is allocated for its body. It must refuse a
    /// `fragment_bytes` below the header's own size.
    pub(crate) fn next<'a, E>(
        &mut self,
        input: &mut &'a [u8],
        admit: impl FnOnce(&Header) -> Result<(), E>,
    ) -> Option<Framed<'a, E>> {
        if self.held.is_empty() {
            let Some(octets) = input.first_chunk::<HEADER_BYTES>() else {
                self.hold(input, HEADER_BYTES);
                return None;
            };
            let header = Header::decode(octets);
            if let Err(refusal) = admit(&header) {
                return Some(Framed::Refused(header, refusal));
            }
            if let Some((fragment, rest)) = input.split_at_checked(usize::from(header.fragment_bytes)) {
                *input = rest;
                return Some(Framed::Whole(header, Cow::Borrowed(fragment)));
            }
            self.hold(input, usize::from(header.fragment_bytes));
            return None;
        }
        self.resume(input, admit)
    }

    fn resume<'a, E>(
        &mut self,
        input: &mut &'a [u8],
        admit: impl FnOnce(&Header) -> Result<(), E>,
    ) -> Option<Framed<'a, E>> {
        let header_is_new = self.held.len() < HEADER_BYTES;
        if header_is_new {
            self.hold(input, HEADER_BYTES);
        }
        let header = Header::decode(self.held.first_chunk::<HEADER_BYTES>()?);
        if header_is_new && let Err(refusal) = admit(&header) {
            self.held = Vec::new();
            return Some(Framed::Refused(header, refusal));
        }
        self.hold(input, usize::from(header.fragment_bytes));
        (self.held.len() == usize::from(header.fragment_bytes))
            .then(|| Framed::Whole(header, Cow::Owned(std::mem::take(&mut self.held))))
    }

    /// Moves bytes from `input` until `total` are held or `input` is empty.
    fn hold(&mut self, input: &mut &[u8], total: usize) {
        let missing = total.saturating_sub(self.held.len());
        let (now, later) = input.split_at(missing.min(input.len()));
        if !now.is_empty() {
            self.held.reserve_exact(missing);
            self.held.extend_from_slice(now);
        }
        *input = later;
    }
}

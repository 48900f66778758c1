//! One association with a mirror: its own bind, then one call after the other. Answers are read by their headers and
//! discarded.

use dcerpc::relay::{BindAck, ContextAnswer, HEADER_BYTES, Header, Kind, Part, Pdus, ask_for_new_group};

use super::tap::Item;
use crate::limits::MIRROR_ANSWER_BYTES_MAX;

/// Why a mirror gets nothing more of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorEnd {
    /// It refused the bind.
    Refused,
    /// It accepted other presentation contexts than the chosen upstream, or receives smaller fragments.
    Unequal,
    /// It sent what is no answer.
    Protocol,
}

#[derive(Debug)]
enum Waiting {
    Bind,
    /// For the answer to this call; with the expected answers, where it is an alter_context.
    Call(u32, Option<Vec<ContextAnswer>>),
    Nothing,
}

/// The state of one association with a mirror.
#[derive(Debug)]
pub(crate) struct MirrorSession {
    pdus: Pdus,
    waiting: Waiting,
    expected: BindAck,
    /// The bind_ack or alter_context_resp that arrives.
    answer: Vec<u8>,
}

impl MirrorSession {
    /// Turns the client's bind, all its fragments, into the mirror's: it asks for a group of its own. `expected` is what
    /// the chosen upstream answered.
    pub(crate) fn begin(bind: &mut [u8], expected: BindAck) -> Self {
        ask_for_new_group(bind);
        Self { pdus: Pdus::default(), waiting: Waiting::Bind, expected, answer: Vec::new() }
    }

    /// Whether the next item may be sent: there is never more than one call without an answer.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.waiting, Waiting::Nothing)
    }

    /// Notes that an item is sent. Only when [`Self::is_ready`].
    pub(crate) fn sent(&mut self, item: &Item) {
        self.waiting = Waiting::Call(item.call_id(), item.expected().map(<[_]>::to_vec));
    }

    /// Takes bytes of the mirror.
    pub(crate) fn received(&mut self, bytes: &[u8]) -> Result<(), MirrorEnd> {
        let mut input = bytes;
        while let Some(part) = self.pdus.next(&mut input) {
            match part.map_err(|_| MirrorEnd::Protocol)? {
                Part::Header(header, octets) => self.begins(&header, &octets)?,
                Part::Body(body) => {
                    if !self.answer.is_empty() {
                        self.answer.extend_from_slice(body);
                    }
                }
                Part::End(header) => self.ends(&header)?,
            }
        }
        Ok(())
    }

    fn begins(&mut self, header: &Header, octets: &[u8; HEADER_BYTES]) -> Result<(), MirrorEnd> {
        self.answer = Vec::new();
        let is_awaited = match &self.waiting {
            Waiting::Bind if header.kind == Kind::BindNak => return Err(MirrorEnd::Refused),
            Waiting::Bind => header.kind == Kind::BindAck,
            Waiting::Call(call, expected) => {
                let of_call = match expected {
                    Some(_) => Kind::AlterContextResponse,
                    None => Kind::Response,
                };
                header.call_id == *call && (header.kind == of_call || header.kind == Kind::Fault)
            }
            Waiting::Nothing => false,
        };
        if !is_awaited {
            return Err(MirrorEnd::Protocol);
        }
        if matches!(header.kind, Kind::BindAck | Kind::AlterContextResponse) {
            if usize::from(header.fragment_bytes) > MIRROR_ANSWER_BYTES_MAX {
                return Err(MirrorEnd::Protocol);
            }
            self.answer.extend_from_slice(octets);
        }
        Ok(())
    }

    fn ends(&mut self, header: &Header) -> Result<(), MirrorEnd> {
        if !header.is_last() {
            return Ok(());
        }
        let answer = std::mem::take(&mut self.answer);
        let decoded = || BindAck::decode(&answer).map_err(|_| MirrorEnd::Protocol);
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Bind => {
                let ack = decoded()?;
                let is_equal = ack.answers == self.expected.answers && ack.receive_bytes >= self.expected.receive_bytes;
                if is_equal { Ok(()) } else { Err(MirrorEnd::Unequal) }
            }
            Waiting::Call(_, Some(expected)) => {
                let is_equal = header.kind == Kind::AlterContextResponse && decoded()?.answers == expected;
                if is_equal { Ok(()) } else { Err(MirrorEnd::Unequal) }
            }
            Waiting::Call(_, None) | Waiting::Nothing => Ok(()),
        }
    }
}

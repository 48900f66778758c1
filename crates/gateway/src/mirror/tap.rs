//! What mirrors get of one association: the requests that the chosen upstream answered, and alter_context.

use std::sync::Arc;

use dcerpc::relay::{BindAck, ContextAnswer, Header, Kind, Part};

use super::budget::{Budget, Grant};
use crate::limits::{MIRROR_ANSWER_BYTES_MAX, MIRROR_ASSOCIATION_BYTES_MAX, MIRROR_QUEUE_MAX};

/// PDUs for mirrors, as the client sent them. Clones share the bytes; the last one gives them back to the budgets.
#[derive(Clone, Debug)]
pub(crate) struct Item(Arc<Held>);

#[derive(Debug)]
struct Held {
    call_id: u32,
    bytes: Vec<u8>,
    /// For an alter_context: what the chosen upstream answered to each context.
    expected: Option<Vec<ContextAnswer>>,
    _grants: Vec<Grant>,
}

impl Item {
    pub(crate) fn call_id(&self) -> u32 {
        self.0.call_id
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    pub(crate) fn expected(&self) -> Option<&[ContextAnswer]> {
        self.0.expected.as_deref()
    }
}

/// A call whose fragments are noted until it is answered.
#[derive(Debug)]
struct Noted {
    call_id: u32,
    kind: Kind,
    bytes: Vec<u8>,
    grants: Vec<Grant>,
}

/// The alter_context_resp that arrives.
#[derive(Debug)]
struct Answer {
    bytes: Vec<u8>,
    _grant: Grant,
}

/// Notes what mirrors need of one association, within two budgets.
#[derive(Debug)]
pub(crate) struct Tap {
    own: Budget,
    all: Budget,
    calls: Vec<Noted>,
    /// The call whose PDU the client is sending.
    sending: Option<u32>,
    answer: Option<Answer>,
    ready: Vec<Item>,
    dropped: u64,
    /// False once the mirrors cannot follow any more: an authenticated PDU, or an alter_context that was not noted.
    is_on: bool,
}

impl Tap {
    /// A tap whose association takes its bytes also from `all`.
    pub(crate) fn new(all: Budget) -> Self {
        Self {
            own: Budget::new(MIRROR_ASSOCIATION_BYTES_MAX),
            all,
            calls: Vec::new(),
            sending: None,
            answer: None,
            ready: Vec::new(),
            dropped: 0,
            is_on: true,
        }
    }

    /// What mirrors are to get since the last call, and how many requests were left out.
    pub(crate) fn ready(&mut self) -> (Vec<Item>, u64) {
        (std::mem::take(&mut self.ready), std::mem::take(&mut self.dropped))
    }

    /// Bytes that are noted or queued.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.own.used()
    }

    pub(crate) fn client_sent(&mut self, part: &Part<'_>) {
        if !self.is_on {
            return;
        }
        match part {
            Part::Header(header, octets) => self.client_header(header, octets),
            Part::Body(body) => {
                if let Some(call) = self.sending.and_then(|id| self.calls.iter_mut().find(|call| call.call_id == id)) {
                    call.bytes.extend_from_slice(body);
                }
            }
            Part::End(_) => self.sending = None,
        }
    }

    fn client_header(&mut self, header: &Header, octets: &[u8]) {
        // auth3, whose number `Kind` has no name for, has a verifier as well.
        if header.auth_bytes != 0 {
            return self.stop();
        }
        match header.kind {
            Kind::Request | Kind::AlterContext => self.note(header, octets),
            Kind::Orphaned => self.calls.retain(|call| call.call_id != header.call_id),
            _ => {}
        }
    }

    fn note(&mut self, header: &Header, octets: &[u8]) {
        let known = self.calls.iter().position(|call| call.call_id == header.call_id);
        if header.is_first() != known.is_none() {
            // A number that is used twice, or the rest of a request that was left out.
            if let Some(known) = known {
                self.calls.swap_remove(known);
                self.dropped += 1;
            }
            return;
        }
        let bytes = usize::from(header.fragment_bytes);
        let grants = self.own.take(bytes).zip(self.all.take(bytes));
        let has_room = known.is_some() || self.calls.len() < MIRROR_QUEUE_MAX;
        let Some((own, all)) = grants.filter(|_| has_room) else {
            if header.kind == Kind::AlterContext {
                return self.stop();
            }
            if let Some(known) = known {
                self.calls.swap_remove(known);
            }
            self.dropped += 1;
            return;
        };
        self.sending = Some(header.call_id);
        match known.and_then(|known| self.calls.get_mut(known)) {
            Some(call) => {
                call.bytes.reserve_exact(bytes);
                call.bytes.extend_from_slice(octets);
                call.grants.extend([own, all]);
            }
            None => {
                let mut whole = Vec::with_capacity(bytes);
                whole.extend_from_slice(octets);
                let (call_id, kind) = (header.call_id, header.kind);
                self.calls.push(Noted { call_id, kind, bytes: whole, grants: vec![own, all] });
            }
        }
    }

    pub(crate) fn upstream_sent(&mut self, part: &Part<'_>) {
        if !self.is_on {
            return;
        }
        match part {
            Part::Header(header, octets) => {
                self.answer = None;
                if header.auth_bytes != 0 {
                    return self.stop();
                }
                if header.kind == Kind::AlterContextResponse {
                    self.begin_answer(header, octets);
                }
            }
            Part::Body(body) => {
                if let Some(answer) = &mut self.answer {
                    answer.bytes.extend_from_slice(body);
                }
            }
            Part::End(header) => self.answered(header),
        }
    }

    fn begin_answer(&mut self, header: &Header, octets: &[u8]) {
        let bytes = usize::from(header.fragment_bytes);
        let grant = (bytes <= MIRROR_ANSWER_BYTES_MAX).then(|| self.all.take(bytes)).flatten();
        let Some(grant) = grant else { return self.stop() };
        let mut whole = Vec::with_capacity(bytes);
        whole.extend_from_slice(octets);
        self.answer = Some(Answer { bytes: whole, _grant: grant });
    }

    fn answered(&mut self, header: &Header) {
        if !header.is_last() {
            return;
        }
        let known = self.calls.iter().position(|call| call.call_id == header.call_id);
        let answer = self.answer.take();
        let Some(known) = known else { return };
        let Noted { call_id, kind, bytes, grants } = self.calls.swap_remove(known);
        let expected = match (kind, header.kind) {
            (Kind::Request, Kind::Response) => None,
            (Kind::AlterContext, Kind::AlterContextResponse) => {
                let answers = answer.and_then(|answer| BindAck::decode(&answer.bytes).ok());
                let Some(answers) = answers else { return self.stop() };
                Some(answers.answers)
            }
            // A call that failed is not repeated elsewhere.
            _ => return,
        };
        self.ready.push(Item(Arc::new(Held { call_id, bytes, expected, _grants: grants })));
    }

    /// Ends mirroring of this association; what is ready still goes out.
    fn stop(&mut self) {
        self.is_on = false;
        self.dropped += u64::try_from(self.calls.len()).unwrap_or(u64::MAX);
        self.calls = Vec::new();
        self.answer = None;
    }
}

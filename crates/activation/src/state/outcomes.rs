//! Outcomes of the last commands that carry a request id. A retried command is answered from here and is not carried
//! out again.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::coded::Coded;
use crate::{limits::OUTCOMES_KEPT, proto};

/// The request id of a command: 16 random bytes, chosen by the caller and the same in each retry.
pub type RequestId = [u8; 16];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The index of the log entry that carried the command out.
    pub(super) index: u64,
    /// Why the command was refused; `None` where it was done.
    pub(super) refused: Option<Coded>,
}

/// The last [`OUTCOMES_KEPT`] outcomes. Older ones are dropped by number alone; no clock has a part in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcomes {
    by_id: BTreeMap<RequestId, Outcome>,
    /// Request ids, the oldest first.
    order: VecDeque<RequestId>,
}

impl Outcomes {
    pub(super) fn get(&self, id: &RequestId) -> Option<&Outcome> {
        self.by_id.get(id)
    }

    /// Adds the outcome of a command whose id is new.
    pub(super) fn push(&mut self, id: RequestId, outcome: Outcome) {
        let before = self.by_id.insert(id, outcome);
        assert!(before.is_none(), "a command was carried out twice");
        self.order.push_back(id);
        while self.order.len() > OUTCOMES_KEPT {
            self.order.pop_front().and_then(|oldest| self.by_id.remove(&oldest));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn encode(&self) -> Vec<proto::OutcomeSnapshot> {
        let encoded = |id: &RequestId| {
            let outcome = self.by_id.get(id)?;
            let refused = outcome.refused.as_ref().map(Coded::to_proto);
            Some(proto::OutcomeSnapshot { id: Bytes::copy_from_slice(id), index: outcome.index, refused })
        };
        self.order.iter().filter_map(encoded).collect()
    }

    /// `None` where the messages are not what [`Self::encode`] writes.
    pub(super) fn decode(raw: &[proto::OutcomeSnapshot]) -> Option<Self> {
        let mut outcomes = Self::default();
        for raw in raw {
            let id = RequestId::try_from(raw.id.as_ref()).ok()?;
            let refused = raw.refused.as_ref().map(|refused| Coded::from_proto(refused).ok_or(())).transpose().ok()?;
            if outcomes.by_id.contains_key(&id) {
                return None;
            }
            outcomes.push(id, Outcome { index: raw.index, refused });
        }
        (raw.len() <= OUTCOMES_KEPT).then_some(outcomes)
    }
}

//! The calls of one association that wait for their answers.

use crate::limits::CALLS_MAX;

/// Calls by number, and a count of those beyond [`CALLS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Calls {
    known: Vec<u32>,
    beyond: u64,
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.beyond == 0
    }

    pub(super) fn begin(&mut self, call_id: u32) {
        if self.known.contains(&call_id) {
            return;
        }
        if self.known.len() < CALLS_MAX {
            self.known.push(call_id)
        } else {
            self.beyond = self.beyond.saturating_add(1)
        }
    }

    /// Returns whether the call was open.
    pub(super) fn end(&mut self, call_id: u32) -> bool {
        if let Some(at) = self.known.iter().position(|known| *known == call_id) {
            self.known.swap_remove(at);
            return true;
        }
        let was_open = self.beyond > 0;
        self.beyond = self.beyond.saturating_sub(1);
        was_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_beyond_the_limit_are_counted() {
        let mut calls = Calls::default();
        let all = 0..u32::try_from(CALLS_MAX).unwrap() + 10;
        all.clone().for_each(|call| calls.begin(call));
        calls.begin(0);
        for call in all.rev() {
            assert!(!calls.is_empty());
            assert!(calls.end(call));
        }
        assert!(calls.is_empty());
        assert!(!calls.end(7));
    }
}

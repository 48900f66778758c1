//! CMIDs that several machines share: named in the log, each at most once an hour.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use activation::id::{Cmid, MachineName};
use tokio::time::Instant;

use crate::limits::{COPIES_NAMED_INTERVAL, COPIES_NAMED_MAX};

/// When each CMID was last named. Bounded: while it is full, no further CMID is named.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    named: Mutex<BTreeMap<Cmid, Instant>>,
}

impl Copies {
    /// `machine` asked with a CMID that was last asked with by another machine.
    pub(crate) fn note(&self, cmid: Cmid, machine: &MachineName) {
        if self.is_due(cmid, Instant::now()) {
            tracing::warn!(
                %cmid,
                %machine,
                "two machines use one CMID and are counted as one: if {machine} is a copy of another machine, run \
                 `quorate client generalize` on it; if its hardware was changed, there is nothing to do"
            );
        }
    }

    fn is_due(&self, cmid: Cmid, now: Instant) -> bool {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Instant| now.duration_since(*at) < COPIES_NAMED_INTERVAL;
        if named.get(&cmid).is_some_and(is_recent) {
            return false;
        }
        if named.len() >= COPIES_NAMED_MAX {
            named.retain(|_, at| is_recent(at));
        }
        let has_room = named.len() < COPIES_NAMED_MAX;
        if has_room {
            named.insert(cmid, now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cmid(number: usize) -> Cmid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Cmid(bytes)
    }

    #[tokio::test]
    async fn a_cmid_is_named_once_an_hour_and_a_flood_of_them_is_bounded() {
        let (copies, start) = (Copies::default(), Instant::now());
        assert!(copies.is_due(cmid(0), start));
        assert!(!copies.is_due(cmid(0), start + COPIES_NAMED_INTERVAL / 2));
        let named = (1..3 * COPIES_NAMED_MAX).filter(|number| copies.is_due(cmid(*number), start)).count();
        assert_eq!(named, COPIES_NAMED_MAX - 1);
        assert!(copies.is_due(cmid(0), start + COPIES_NAMED_INTERVAL));
    }
}

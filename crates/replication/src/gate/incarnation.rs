//! One start of a node, and whether it can follow the last recorded start. Pure: no input or output.

use api::log::v1 as log;
use uuid::Uuid;

use crate::raft::wire::{self, Malformed};

/// One start of a node on its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incarnation {
    /// The UUID of the store.
    pub(crate) store: Uuid,
    /// How many times the store was opened by a node.
    pub(crate) generation: u64,
    /// Random number of the process, new at each start.
    pub(crate) boot: u64,
    /// Number of durable writes of the store. When a node reports its own start: the number at that start.
    pub(crate) writes: u64,
}

/// Why a node is not recognised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Objection {
    #[error("its disk went back in time: it reports start {found} of its store, and start {known} is recorded")]
    EarlierGeneration { known: u64, found: u64 },
    #[error(
        "another process has reported start {generation} of its store: its disk went back in time, or a copy of its \
         data folder was started"
    )]
    OtherProcess { generation: u64 },
    #[error("its disk went back in time: its store held {found} writes at the start, and {known} were durable before")]
    FewerWrites { known: u64, found: u64 },
    #[error("another process of this node answers at its address {address}: one of them is a copy")]
    AnswersElsewhere { address: String },
    #[error("its disk went back in time: entry {index}, which it acknowledged, is not in its log")]
    LostEntry { index: u64 },
    /// The reason that another member gave.
    #[error("{0}")]
    Told(String),
}

/// Whether `found` is the same start as `known`, or a later one.
pub(crate) fn judge(known: Option<&Incarnation>, found: &Incarnation) -> Result<(), Objection> {
    // Another store means another node: the membership decides which store is the member's.
    let Some(known) = known.filter(|known| known.store == found.store) else { return Ok(()) };
    let generation = found.generation;
    if generation < known.generation {
        return Err(Objection::EarlierGeneration { known: known.generation, found: generation });
    }
    if generation == known.generation {
        return if found.boot == known.boot { Ok(()) } else { Err(Objection::OtherProcess { generation }) };
    }
    if found.writes < known.writes {
        return Err(Objection::FewerWrites { known: known.writes, found: found.writes });
    }
    Ok(())
}

/// The newest record after `heard` is merged into `known`; `None` if `heard` adds nothing.
pub(crate) fn learned(known: Option<&Incarnation>, heard: &Incarnation) -> Option<Incarnation> {
    let Some(known) = known.filter(|known| known.store == heard.store) else { return Some(*heard) };
    let is_later = heard.generation > known.generation;
    let is_same = heard.generation == known.generation && heard.boot == known.boot;
    let says_more = is_later || (is_same && heard.writes > known.writes);
    // Every number of writes that was once true remains a lower bound.
    says_more.then(|| Incarnation { writes: heard.writes.max(known.writes), ..*heard })
}

pub(crate) fn incarnation_out(incarnation: &Incarnation) -> log::Incarnation {
    let Incarnation { store, generation, boot, writes } = *incarnation;
    log::Incarnation { store: store.as_bytes().to_vec().into(), generation, boot, writes }
}

pub(crate) fn incarnation_in(message: Option<log::Incarnation>) -> Result<Incarnation, Malformed> {
    let message = message.ok_or(Malformed("an incarnation is missing"))?;
    let log::Incarnation { store, generation, boot, writes } = message;
    Ok(Incarnation { store: wire::store_in(&store)?, generation, boot, writes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(generation: u64, boot: u64, writes: u64) -> Incarnation {
        Incarnation { store: Uuid::from_u128(1), generation, boot, writes }
    }

    #[test]
    fn a_start_that_cannot_follow_the_recorded_one_is_refused() {
        let known = start(4, 44, 100);
        let other_process = Err(Objection::OtherProcess { generation: 4 });
        let cases = [
            (start(5, 55, 100), Ok(()), "the next start"),
            (start(9, 99, 250), Ok(()), "a later one"),
            (start(4, 44, 90), Ok(()), "the same process, as it was at its start"),
            (start(4, 45, 300), other_process, "the same start again"),
            (start(3, 44, 300), Err(Objection::EarlierGeneration { known: 4, found: 3 }), "an earlier start"),
            (start(5, 55, 99), Err(Objection::FewerWrites { known: 100, found: 99 }), "one that lost a write"),
        ];
        for (found, expected, case) in cases {
            assert_eq!(judge(Some(&known), &found), expected, "{case}");
        }
        assert_eq!(judge(None, &known), Ok(()), "the first report about the node");
        let replaced = Incarnation { store: Uuid::from_u128(2), ..start(1, 1, 1) };
        assert_eq!(judge(Some(&known), &replaced), Ok(()), "another store is another node");
    }

    #[test]
    fn the_record_of_a_start_only_grows_and_of_two_processes_with_one_start_the_first_is_kept() {
        let known = start(4, 44, 100);
        let cases = [
            (start(5, 55, 100), Some(start(5, 55, 100))),
            (start(5, 55, 90), Some(start(5, 55, 100))),
            (start(4, 44, 101), Some(start(4, 44, 101))),
            (start(4, 44, 100), None),
            (start(4, 45, 200), None),
            (start(3, 33, 200), None),
        ];
        for (heard, expected) in cases {
            assert_eq!(learned(Some(&known), &heard), expected, "{heard:?}");
        }
    }

    #[test]
    fn an_incarnation_is_read_back_as_it_was_written() {
        let known = start(u64::MAX, 7, 1 << 40);
        assert_eq!(incarnation_in(Some(incarnation_out(&known))).unwrap(), known);
        assert!(incarnation_in(None).is_err());
    }
}

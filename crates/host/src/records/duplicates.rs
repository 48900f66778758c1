//! CMIDs that several machines share: the machines that send requests with each CMID, as far as this node received
//! them.
//!
//! This is separate from the count, which takes a CMID for one machine whatever machines use it. Only the CMIDs that
//! were used last are kept, and for each only the machines that used it last.

use std::sync::{Mutex, MutexGuard, PoisonError};

use activation::{
    id::{Cmid, MachineDigest, MachineName},
    message::Request,
};
use api::admin::v1::{CmidMachine, DuplicateCmid};
use bytes::Bytes;
use lru::LruCache;
use tokio::time::Instant;

use crate::limits::{DUPLICATES_KNOWN_MAX, DUPLICATES_MACHINES_MAX, DUPLICATES_NAMED_INTERVAL, DUPLICATES_SHOWN_MAX};

/// The machines of each CMID.
pub(crate) struct Duplicates {
    known: Mutex<LruCache<Cmid, Known>>,
}

#[derive(Default)]
struct Known {
    /// The machines; the one with the latest request is last.
    machines: Vec<SeenMachine>,
    /// Number of times that a request came from another machine than the request before.
    changes: u32,
    /// The count reports that another machine used the CMID before, at this node or at another one.
    is_suspect: bool,
    named: Option<Instant>,
}

struct SeenMachine {
    digest: MachineDigest,
    name: MachineName,
    asked_ms: u64,
}

impl Default for Duplicates {
    fn default() -> Self {
        Self { known: Mutex::new(LruCache::new(DUPLICATES_KNOWN_MAX)) }
    }
}

impl Duplicates {
    /// Notes a request of a machine at `now_ms`. `other_machine`: the count reports that another machine used the
    /// CMID before. A CMID that several machines share is logged at most once an hour.
    pub(crate) fn note(&self, request: &Request, now_ms: u64, other_machine: bool) {
        let is_due = {
            let mut all = self.known();
            let known = all.get_or_insert_mut(request.cmid, Known::default);
            known.asked(request.machine, &request.machine_name, now_ms);
            known.is_suspect |= other_machine;
            known.is_due(Instant::now())
        };
        if is_due {
            tracing::warn!(
                cmid = %request.cmid,
                machine = %request.machine_name,
                "two machines use one CMID and are counted as one: `quorate duplicates` names them. If this one is a copy of \
                 another, run `quorate client generalize` on it; if its hardware was changed, there is nothing to do"
            );
        }
    }

    /// The number of CMIDs that are suspected to be shared.
    pub(crate) fn suspects(&self) -> usize {
        self.known().iter().filter(|(_, known)| known.is_shared()).count()
    }

    /// The CMIDs that are suspected to be shared; where `asked` is not empty, the records of the CMIDs in it
    /// instead.
    pub(crate) fn shown(&self, asked: &[Cmid]) -> Vec<DuplicateCmid> {
        let all = self.known();
        if asked.is_empty() {
            let shared = all.iter().filter(|(_, known)| known.is_shared());
            return shared.take(DUPLICATES_SHOWN_MAX).map(|(cmid, known)| known.shown(*cmid)).collect();
        }
        let asked = asked.iter().take(DUPLICATES_SHOWN_MAX);
        asked.filter_map(|cmid| Some(all.peek(cmid)?.shown(*cmid))).collect()
    }

    fn known(&self) -> MutexGuard<'_, LruCache<Cmid, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn asked(&mut self, digest: MachineDigest, name: &MachineName, now_ms: u64) {
        if let Some(last) = self.machines.last_mut()
            && last.digest == digest
        {
            last.asked_ms = now_ms;
            if last.name != *name {
                last.name = name.clone();
            }
            return;
        }
        self.changes += u32::from(!self.machines.is_empty());
        self.machines.retain(|machine| machine.digest != digest);
        if self.machines.len() == DUPLICATES_MACHINES_MAX {
            self.machines.remove(0);
        }
        self.machines.push(SeenMachine { digest, name: name.clone(), asked_ms: now_ms });
    }

    fn is_shared(&self) -> bool {
        self.is_suspect || self.machines.len() > 1
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let is_recent = |named: Instant| now.duration_since(named) < DUPLICATES_NAMED_INTERVAL;
        let is_due = self.is_shared() && !self.named.is_some_and(is_recent);
        if is_due {
            self.named = Some(now);
        }
        is_due
    }

    fn shown(&self, cmid: Cmid) -> DuplicateCmid {
        let machines = self.machines.iter().map(|machine| CmidMachine {
            machine: Bytes::copy_from_slice(&machine.digest.0),
            name: machine.name.to_string(),
            asked_ms: machine.asked_ms,
            node: 0,
        });
        DuplicateCmid { cmid: Bytes::copy_from_slice(&cmid.0), machines: machines.collect(), changes: self.changes }
    }
}

/// Merges the records of several nodes about one CMID: each machine once, with its latest request; the machine with
/// the latest request is last.
pub(crate) fn merge(known: impl Iterator<Item = DuplicateCmid>) -> Option<DuplicateCmid> {
    known.reduce(|mut whole, part| {
        whole.changes = whole.changes.saturating_add(part.changes);
        for machine in part.machines {
            match whole.machines.iter_mut().find(|known| known.machine == machine.machine) {
                Some(known) if known.asked_ms < machine.asked_ms => *known = machine,
                Some(_) => {}
                None => whole.machines.push(machine),
            }
        }
        whole.machines.sort_by(|one, other| (one.asked_ms, &one.machine).cmp(&(other.asked_ms, &other.machine)));
        whole
    })
}

#[cfg(test)]
mod tests {
    use activation::{
        id::{ProductId, PublisherId},
        message::LicenseStatus,
    };

    use super::*;

    fn request(cmid: u32, machine: u8) -> Request {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&cmid.to_be_bytes());
        Request {
            nonce: [0; 16],
            publisher: PublisherId([0; 16]),
            product: ProductId([0; 16]),
            cmid: Cmid(bytes),
            machine: MachineDigest([machine; 8]),
            machine_name: format!("pc-{machine}").parse().unwrap(),
            virtual_machine: false,
            license_status: LicenseStatus::Unlicensed,
            minutes_to_expiry: 0,
            client_time_ms: 0,
        }
    }

    fn names(known: &DuplicateCmid) -> Vec<&str> {
        known.machines.iter().map(|machine| machine.name.as_str()).collect()
    }

    #[tokio::test]
    async fn a_cmid_is_suspected_once_another_machine_asks_with_it() {
        let duplicates = Duplicates::default();
        for (now_ms, machine) in [(1, 1), (2, 1), (3, 2), (4, 1)] {
            duplicates.note(&request(7, machine), now_ms, false);
        }
        duplicates.note(&request(8, 3), 5, false);
        assert_eq!(duplicates.suspects(), 1);
        let shown = duplicates.shown(&[]);
        assert_eq!((shown.len(), names(&shown[0]), shown[0].changes), (1, vec!["pc-2", "pc-1"], 2));
        // The other machine sent its request to another node.
        duplicates.note(&request(8, 3), 6, true);
        assert_eq!(duplicates.suspects(), 2);
        assert_eq!(names(&duplicates.shown(&[request(8, 3).cmid])[0]), ["pc-3"]);
    }

    #[tokio::test]
    async fn the_duplicates_that_nodes_know_are_merged() {
        let (one, other) = (Duplicates::default(), Duplicates::default());
        one.note(&request(7, 1), 1, false);
        one.note(&request(7, 2), 5, false);
        other.note(&request(7, 3), 3, true);
        other.note(&request(7, 1), 9, false);
        let whole = merge([&one, &other].into_iter().flat_map(|node| node.shown(&[]))).unwrap();
        assert_eq!((names(&whole), whole.changes), (vec!["pc-3", "pc-2", "pc-1"], 2));
        assert_eq!(whole.machines[2].asked_ms, 9);
    }

    #[tokio::test]
    async fn the_table_is_bounded_and_a_duplicate_is_logged_once_an_hour() {
        let duplicates = Duplicates::default();
        let many = u32::try_from(DUPLICATES_KNOWN_MAX.get()).unwrap() + 10;
        (0..many).for_each(|cmid| duplicates.note(&request(cmid, 1), 1, false));
        assert_eq!(duplicates.known().len(), DUPLICATES_KNOWN_MAX.get());
        assert!(duplicates.shown(&[request(0, 1).cmid]).is_empty(), "the least recently seen one was evicted");
        for machine in 0..u8::MAX {
            duplicates.note(&request(many, machine), 1, false);
        }
        assert_eq!(duplicates.shown(&[])[0].machines.len(), DUPLICATES_MACHINES_MAX);

        let start = Instant::now();
        let mut known = Known { is_suspect: true, ..Known::default() };
        assert!(known.is_due(start));
        assert!(!known.is_due(start + DUPLICATES_NAMED_INTERVAL / 2));
        assert!(known.is_due(start + DUPLICATES_NAMED_INTERVAL));
    }
}

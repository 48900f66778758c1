//! The audit record: acts of administrators and other callers. Each entry holds the hash of the entry before, so a
//! changed or missing entry shows in every later hash.

use std::collections::VecDeque;
use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::coded::Coded;
pub use crate::coded::shortened;
use crate::limits::{AUDIT_ENTRIES_KEPT, AUDIT_TEXT_BYTES_MAX};

/// Which of the two records keeps an act. Acts of other callers never displace an administrator's act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Actor {
    /// An administrator, or a user of a node's local socket.
    #[default]
    Administrator,
    /// An operator, a reader, the bearer of a token, or a node. Since format 3.
    Other,
}

/// The caller of an act, with its address and the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Name and role as in the certificate, or `uid:N` on a node's local socket.
    pub who: String,
    /// The client address, or `socket`.
    pub from: String,
    /// Cluster time at the node that received the request, in milliseconds since 1970.
    pub time_ms: u64,
    pub actor: Actor,
}

impl Origin {
    /// An administrator's origin. Text longer than [`AUDIT_TEXT_BYTES_MAX`] is cut, and control characters are
    /// replaced.
    #[must_use]
    pub fn new(who: &str, from: &str, time_ms: u64) -> Self {
        Self { who: shortened(who), from: shortened(from), time_ms, actor: Actor::Administrator }
    }

    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor, ..self }
    }

    pub(crate) fn is_valid(&self) -> bool {
        shortened(&self.who) == self.who && shortened(&self.from) == self.from
    }
}

/// The description of an act, or of the reason for a refusal: text where format 2 recorded it, otherwise a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Description {
    Text(String),
    Coded(Coded),
}

impl Description {
    fn is_valid(&self) -> bool {
        match self {
            Self::Text(text) => shortened(text) == *text,
            Self::Coded(_) => true,
        }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Coded(coded) => coded.fmt(f),
        }
    }
}

/// Adds one field of an entry to the hash. A text is hashed as in format 2.
fn cover(digest: &mut Sha256, description: Option<&Description>) {
    let mut part = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    match description {
        None => part(b""),
        Some(Description::Text(text)) => part(text.as_bytes()),
        Some(Description::Coded(coded)) => {
            // A mark that no text can equal, because texts are shorter.
            part(&[0; CODED_MARK_BYTES]);
            part(&(coded.code as u32).to_be_bytes());
            part(&(coded.values().len() as u64).to_be_bytes());
            coded.values().iter().for_each(|value| part(value.as_bytes()));
        }
    }
}

const CODED_MARK_BYTES: usize = AUDIT_TEXT_BYTES_MAX + 1;

/// One act in the audit record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// The entry's number, from 1 on without a gap.
    pub number: u64,
    pub origin: Origin,
    pub act: Description,
    /// Why the act was refused; `None` where it was done.
    pub refused: Option<Description>,
    /// SHA-256 over the hash of the entry before and this entry.
    pub hash: [u8; 32],
}

impl AuditEntry {
    /// The hash that this entry must have after an entry with the hash `before`.
    #[must_use]
    pub fn hash_after(&self, before: &[u8; 32]) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(b"quorate/audit/1");
        digest.update(before);
        digest.update(self.number.to_be_bytes());
        digest.update(self.origin.time_ms.to_be_bytes());
        for text in [&self.origin.who, &self.origin.from] {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
        }
        cover(&mut digest, Some(&self.act));
        cover(&mut digest, self.refused.as_ref());
        digest.finalize().into()
    }
}

/// The hash of an entry does not follow from the entry before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("audit entry {number} does not contain the hash of the entry before it: an entry was changed or removed")]
pub struct BrokenChain {
    pub number: u64,
}

/// Verifies the hash chain of entries that follow the entry with the hash `before`. Returns the last hash.
pub fn verify<'a>(
    before: [u8; 32],
    entries: impl IntoIterator<Item = &'a AuditEntry>,
) -> Result<[u8; 32], BrokenChain> {
    let (mut hash, mut last) = (before, None);
    for entry in entries {
        let number = entry.number;
        let follows = last.is_none_or(|last: u64| last.checked_add(1) == Some(number));
        if !follows || entry.hash != entry.hash_after(&hash) {
            return Err(BrokenChain { number });
        }
        (hash, last) = (entry.hash, Some(number));
    }
    Ok(hash)
}

/// An audit record: the last [`AUDIT_ENTRIES_KEPT`] entries, and the hash of the entry before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    before: [u8; 32],
    entries: VecDeque<AuditEntry>,
}

impl Audit {
    /// The hash of the entry before the first kept entry; zeros where no entry was dropped.
    #[must_use]
    pub fn before(&self) -> [u8; 32] {
        self.before
    }

    /// The kept entries, the oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &AuditEntry> {
        self.entries.iter()
    }

    /// Panics if an invariant is broken. Checks only that the last entry follows from the one before; [`verify`]
    /// checks the whole chain.
    pub(crate) fn check_invariants(&self) {
        assert!(self.entries.len() <= AUDIT_ENTRIES_KEPT, "{} entries of the audit", self.entries.len());
        let mut newest = self.entries.iter().rev();
        if let Some(last) = newest.next() {
            let (number, hash) =
                newest.next().map_or((last.number - 1, self.before), |before| (before.number, before.hash));
            assert_eq!(last.number, number + 1, "a gap in the audit");
            assert_eq!(last.hash, last.hash_after(&hash), "an entry of the audit that does not follow");
        }
    }

    /// Records an act as text, as in format 2.
    pub(crate) fn push_text(&mut self, origin: Origin, act: &str, refused: &str) {
        let refused = shortened(refused);
        self.push(
            origin,
            Description::Text(shortened(act)),
            (!refused.is_empty()).then_some(Description::Text(refused)),
        );
    }

    pub(crate) fn push_coded(&mut self, origin: Origin, act: Coded, refused: Option<Coded>) {
        self.push(origin, Description::Coded(act), refused.map(Description::Coded));
    }

    fn push(&mut self, origin: Origin, act: Description, refused: Option<Description>) {
        let (number, before) = self.entries.back().map_or((1, self.before), |last| (last.number + 1, last.hash));
        let mut entry = AuditEntry { number, origin, act, refused, hash: [0; 32] };
        entry.hash = entry.hash_after(&before);
        self.entries.push_back(entry);
        self.trim();
    }

    /// Converts codes to texts that format 2 can hold, and computes the hash chain again. These texts are not meant
    /// for readers and never change: nodes of every version that reads format 3 must arrive at the same bytes.
    pub(crate) fn put_in_words(&mut self) {
        let words = |description: &Description| match description {
            Description::Text(text) => Description::Text(text.clone()),
            Description::Coded(coded) => {
                let code = coded.code as u32;
                Description::Text(shortened(&format!("code {code}: {}", coded.values().join(" "))))
            }
        };
        let is_coded = |description: &Description| matches!(description, Description::Coded(_));
        if !self.entries.iter().any(|entry| is_coded(&entry.act) || entry.refused.as_ref().is_some_and(is_coded)) {
            return;
        }
        let mut hash = self.before;
        for entry in &mut self.entries {
            entry.act = words(&entry.act);
            entry.refused = entry.refused.as_ref().map(words);
            entry.hash = entry.hash_after(&hash);
            hash = entry.hash;
        }
    }

    /// Merges the entries of another record by time and computes the hash chain again, for a format that holds only
    /// one record.
    pub(crate) fn take_in(&mut self, other: &mut Self) {
        if other.entries.is_empty() {
            *other = Self::default();
            return;
        }
        let mut number = self.entries.front().map_or(1, |first| first.number);
        self.entries.extend(std::mem::take(other).entries);
        self.entries.make_contiguous().sort_by_key(|entry| entry.origin.time_ms);
        let mut hash = self.before;
        for entry in &mut self.entries {
            (entry.number, entry.origin.actor) = (number, Actor::Administrator);
            entry.hash = entry.hash_after(&hash);
            (number, hash) = (number + 1, entry.hash);
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.entries.len() > AUDIT_ENTRIES_KEPT
            && let Some(dropped) = self.entries.pop_front()
        {
            self.before = dropped.hash;
        }
    }

    /// The record that a snapshot holds. `None` where an entry is invalid or the chain is broken.
    pub(crate) fn restore(before: [u8; 32], entries: Vec<AuditEntry>) -> Option<Self> {
        let is_valid = |entry: &AuditEntry| {
            entry.origin.is_valid() && entry.act.is_valid() && entry.refused.as_ref().is_none_or(Description::is_valid)
        };
        let whole = entries.len() <= AUDIT_ENTRIES_KEPT
            && entries.iter().all(is_valid)
            && entries.first().is_none_or(|first| (first.number == 1) == (before == [0; 32]) && first.number > 0)
            && verify(before, &entries).is_ok();
        whole.then(|| Self { before, entries: entries.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coded::Code;

    fn changed(description: &Description) -> Description {
        match description {
            Description::Text(text) => Description::Text(format!("{text}!")),
            Description::Coded(coded) => Description::Coded(Coded::new(coded.code, ["another value"])),
        }
    }

    fn record(acts: usize) -> Audit {
        let mut audit = Audit::default();
        for number in 0..acts {
            let origin = Origin::new("ada", "192.0.2.1", 1000 + number as u64);
            match number % 4 {
                3 => audit.push_coded(origin, Coded::new(Code::InstallKey, [number]), Some(Coded::bare(Code::TooMany))),
                _ => audit.push_text(origin, &format!("act {number}"), if number % 3 == 0 { "no" } else { "" }),
            }
        }
        audit
    }

    #[test]
    fn a_whole_record_is_verified_and_every_change_breaks_it() {
        let audit = record(20);
        let entries: Vec<_> = audit.entries().cloned().collect();
        assert_eq!(verify(audit.before(), &entries), Ok(entries[19].hash));
        let changes: [fn(&mut Vec<AuditEntry>); 9] = [
            |entries| entries[6].act = changed(&entries[6].act),
            |entries| entries[7].act = changed(&entries[7].act),
            |entries| entries[7].refused = None,
            |entries| entries[6].origin.time_ms += 1,
            |entries| entries[6].refused = None,
            |entries| entries[6].origin.who = "eve".into(),
            |entries| drop(entries.remove(6)),
            |entries| entries.swap(6, 7),
            // The changed entry with a matching hash: then the next entry does not follow from it.
            |entries| {
                entries[6].act = changed(&entries[6].act);
                entries[6].hash = entries[6].hash_after(&entries[5].hash);
            },
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut changed = entries.clone();
            change(&mut changed);
            assert!(verify(audit.before(), &changed).is_err(), "change {number}");
        }
    }

    #[test]
    fn only_so_many_are_kept_and_they_still_follow() {
        let audit = record(AUDIT_ENTRIES_KEPT + 5);
        let entries: Vec<_> = audit.entries().cloned().collect();
        assert_eq!((entries.len(), entries[0].number), (AUDIT_ENTRIES_KEPT, 6));
        assert!(verify(audit.before(), &entries).is_ok());
        assert_eq!(Audit::restore(audit.before(), entries), Some(audit));
    }

    #[test]
    fn text_is_bounded_and_printable() {
        let text = shortened(&format!("a\n\u{7}{}", "ä".repeat(1000)));
        assert!(text.len() <= AUDIT_TEXT_BYTES_MAX && text.starts_with("a\u{fffd}\u{fffd}ä"), "{text}");
    }
}

//! The tally: the number of writes, the number of records, and a checksum over all records.
//!
//! When sled finds a damaged part in its log it skips it silently, and opens with the rest: an older value, without
//! a record in the middle, or with a shorter end. Every write therefore updates the tally in the database. If a
//! store lacks a record, or contains one that was replaced, its content does not match its tally.
//!
//! Invariant: the tally in the database is that of all other records in it.

use std::collections::BTreeMap;

/// The key of the tally. Keys of the store's callers begin with a byte above zero.
pub(crate) const KEY: &[u8] = b"\0tally";

const BYTES: usize = 24;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Number of writes so far; [`crate::mark`] compares it with the mark.
    pub(crate) writes: u64,
    /// Number of records, without the tally itself.
    pub(crate) records: u64,
    /// The sum of [`digest`] over all records. A sum, so that a write need not read records that it does not
    /// change.
    sum: u64,
}

impl Tally {
    /// The tally of an empty store after this many writes.
    pub(crate) fn of_nothing(writes: u64) -> Self {
        Self { writes, ..Self::default() }
    }

    /// Adds one write. `before` returns the current value of a key.
    pub(crate) fn write<E>(
        &mut self,
        changes: &BTreeMap<Vec<u8>, Option<Vec<u8>>>,
        before: impl Fn(&[u8]) -> Result<Option<sled::IVec>, E>,
    ) -> Result<(), E> {
        let mut next = Self { writes: self.writes + 1, ..*self };
        for (key, value) in changes {
            if let Some(old) = before(key)? {
                next.records = next.records.wrapping_sub(1);
                next.sum = next.sum.wrapping_sub(digest(key, &old));
            }
            if let Some(value) = value {
                next.add(key, value);
            }
        }
        *self = next;
        Ok(())
    }

    /// Adds one record.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.records = self.records.wrapping_add(1);
        self.sum = self.sum.wrapping_add(digest(key, value));
    }

    pub(crate) fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let fields = [self.writes, self.records, self.sum];
        bytes.iter_mut().zip(fields.into_iter().flat_map(u64::to_be_bytes)).for_each(|(to, from)| *to = from);
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (writes, rest) = bytes.split_first_chunk()?;
        let (records, rest) = rest.split_first_chunk()?;
        let sum = rest.try_into().ok()?;
        let [writes, records, sum] = [writes, records, &sum].map(|field| u64::from_be_bytes(*field));
        Some(Self { writes, records, sum })
    }
}

/// Detects decay, not manipulation: an attacker could also write a matching tally.
fn digest(key: &[u8], value: &[u8]) -> u64 {
    let key_digest = crc32fast::hash(key);
    let mut record = crc32fast::Hasher::new_with_initial(key_digest);
    record.update(value);
    u64::from(key_digest) << 32 | u64::from(record.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map to which writes are applied, and its tally.
    #[derive(Default)]
    struct Model {
        records: BTreeMap<Vec<u8>, Vec<u8>>,
        tally: Tally,
    }

    impl Model {
        fn write(&mut self, changes: &[(&str, Option<&str>)]) {
            let changes = changes.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.map(|value| value.into())));
            let changes: BTreeMap<Vec<u8>, Option<Vec<u8>>> = changes.collect();
            let before = |key: &[u8]| Ok::<_, ()>(self.records.get(key).map(|value| value.as_slice().into()));
            self.tally.write(&changes, before).unwrap();
            for (key, value) in changes {
                match value {
                    Some(value) => self.records.insert(key, value),
                    None => self.records.remove(&key),
                };
            }
        }

        fn recounted(&self) -> Tally {
            let mut tally = Tally::of_nothing(self.tally.writes);
            self.records.iter().for_each(|(key, value)| tally.add(key, value));
            tally
        }
    }

    #[test]
    fn the_tally_of_every_write_is_that_of_a_recount() {
        let mut model = Model::default();
        let writes: [&[(&str, Option<&str>)]; 6] = [
            &[("a", Some("1")), ("b", Some("2"))],
            &[("a", Some("3"))],
            &[("missing", None)],
            &[("b", None), ("c", Some(""))],
            &[],
            &[("a", None), ("c", None)],
        ];
        for write in writes {
            model.write(write);
            assert_eq!(model.tally, model.recounted(), "after {write:?}");
        }
        assert_eq!(model.tally, Tally { writes: 6, records: 0, sum: 0 });
    }

    #[test]
    fn a_lost_changed_or_restored_record_changes_the_tally() {
        let mut model = Model::default();
        model.write(&[("a", Some("1")), ("b", Some("2"))]);
        let damage: [(&str, Option<&str>); 4] = [("a", None), ("a", Some("0")), ("b", Some("1")), ("c", Some("1"))];
        for (key, value) in damage {
            let mut damaged = Model { records: model.records.clone(), tally: model.tally };
            match value {
                Some(value) => damaged.records.insert(key.into(), value.into()),
                None => damaged.records.remove(key.as_bytes()),
            };
            assert_ne!(damaged.tally, damaged.recounted(), "{key} set to {value:?}");
        }
    }

    #[test]
    fn a_tally_is_read_back_as_it_was_written() {
        let tally = Tally { writes: 1 << 40, records: 7, sum: u64::MAX };
        assert_eq!(Tally::from_bytes(&tally.to_bytes()), Some(tally));
        assert_eq!(Tally::from_bytes(&[0; BYTES - 1]), None);
        assert_eq!(Tally::from_bytes(&[0; BYTES + 1]), None);
    }
}

//! An ordered map that is cheap to copy, for a snapshot that is encoded while the state continues to change.
//!
//! The map is kept in parts. A copy shares all parts; when one of the two maps changes a part, only that part is
//! copied. So a copy costs as much as there are parts, and a change after it costs at most one more copied part. The
//! maps of the crate `imbl`, which do the same, have a licence that this project does not accept; those of `rpds`
//! are trees of single nodes, and changing them is several times slower.

use std::{collections::BTreeMap, sync::Arc};

/// A key that determines its part. Of two keys the greater one is never in the lower part.
pub(crate) trait Parted: Ord + Clone {
    /// The number of the key's part.
    fn part(&self) -> u64;
}

/// A number in the order of requests: 256 of them form a part.
impl Parted for u64 {
    fn part(&self) -> u64 {
        self >> 8
    }
}

/// An ordered map in parts.
#[derive(Clone, Debug)]
pub(crate) struct PartedMap<K, V> {
    /// The parts by number; no part is empty.
    parts: BTreeMap<u64, Arc<BTreeMap<K, V>>>,
    len: usize,
}

impl<K, V> Default for PartedMap<K, V> {
    fn default() -> Self {
        Self { parts: BTreeMap::new(), len: 0 }
    }
}

impl<K: Parted, V: Clone> PartedMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.parts.get(&key.part())?.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        Arc::make_mut(self.parts.get_mut(&key.part())?).get_mut(key)
    }

    /// Returns the value that the key had before.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let before = Arc::make_mut(self.parts.entry(key.part()).or_default()).insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let number = key.part();
        let part = Arc::make_mut(self.parts.get_mut(&number)?);
        let removed = part.remove(key);
        if part.is_empty() {
            self.parts.remove(&number);
        }
        self.len -= usize::from(removed.is_some());
        removed
    }

    pub(crate) fn first(&self) -> Option<(&K, &V)> {
        self.parts.first_key_value()?.1.first_key_value()
    }

    pub(crate) fn last(&self) -> Option<(&K, &V)> {
        self.parts.last_key_value()?.1.last_key_value()
    }

    pub(crate) fn pop_first(&mut self) -> Option<(K, V)> {
        let mut first = self.parts.first_entry()?;
        let part = Arc::make_mut(first.get_mut());
        let popped = part.pop_first();
        if part.is_empty() {
            first.remove();
        }
        self.len -= usize::from(popped.is_some());
        popped
    }

    /// Iterates in the order of the keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts.values().flat_map(|part| part.iter())
    }

    /// Iterates in the order of the keys. Copies every part that is shared.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.parts.values_mut().flat_map(|part| Arc::make_mut(part).iter_mut())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Change {
        Insert(u64, u32),
        Remove(u64),
        Raise(u64),
        PopFirst,
        Copy,
    }

    fn change() -> impl Strategy<Value = Change> {
        let key = 0_u64..1200;
        prop_oneof![
            8 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Change::Insert(key, value)),
            3 => key.clone().prop_map(Change::Remove),
            2 => key.prop_map(Change::Raise),
            2 => Just(Change::PopFirst),
            1 => Just(Change::Copy),
        ]
    }

    fn assert_same(map: &PartedMap<u64, u32>, model: &BTreeMap<u64, u32>) {
        assert!(map.iter().eq(model.iter()), "{map:?} is not {model:?}");
        assert_eq!(map.len(), model.len());
        assert_eq!((map.first(), map.last()), (model.first_key_value(), model.last_key_value()));
        assert!(map.parts.values().all(|part| !part.is_empty()), "an empty part");
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_a_copy_stays_as_it_was(changes in prop::collection::vec(change(), 0..200)) {
            let (mut map, mut model) = (PartedMap::default(), BTreeMap::new());
            let mut copies = Vec::new();
            for change in changes {
                match change {
                    Change::Insert(key, value) => prop_assert_eq!(map.insert(key, value), model.insert(key, value)),
                    Change::Remove(key) => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    Change::Raise(key) => {
                        prop_assert_eq!(map.get(&key), model.get(&key));
                        map.get_mut(&key).into_iter().for_each(|value| *value = value.wrapping_add(1));
                        model.get_mut(&key).into_iter().for_each(|value| *value = value.wrapping_add(1));
                    }
                    Change::PopFirst => prop_assert_eq!(map.pop_first(), model.pop_first()),
                    Change::Copy => copies.push((map.clone(), model.clone())),
                }
                assert_same(&map, &model);
            }
            map.iter_mut().for_each(|(_, value)| *value = value.wrapping_mul(3));
            model.values_mut().for_each(|value| *value = value.wrapping_mul(3));
            assert_same(&map, &model);
            copies.iter().for_each(|(map, model)| assert_same(map, model));
        }
    }

    #[test]
    fn a_change_after_a_copy_copies_one_part() {
        let mut map: PartedMap<u64, u32> = PartedMap::default();
        for key in 0..2560 {
            map.insert(key, 0);
        }
        let copy = map.clone();
        let shared = |map: &PartedMap<u64, u32>| {
            map.parts.iter().filter(|(number, part)| Arc::ptr_eq(part, &copy.parts[number])).count()
        };
        assert_eq!(shared(&map), 10);
        map.insert(700, 1);
        map.insert(701, 1);
        assert_eq!(shared(&map), 9);
    }
}

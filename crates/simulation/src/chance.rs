//! Random numbers that depend on the seed alone. Each user has its own stream, so that one more number drawn in one
//! component changes nothing in the others.

use std::ops::Range;

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

/// A stream of random choices.
#[derive(Debug)]
pub(crate) struct Chance(StdRng);

impl Chance {
    /// The stream named `label` of `seed`.
    pub(crate) fn new(seed: u64, label: &str) -> Self {
        // FNV-1a over seed and label gives the same stream in every process.
        let bytes = seed.to_be_bytes().into_iter().chain(label.bytes());
        Self(StdRng::seed_from_u64(fnv(bytes)))
    }

    /// A random number of 64 bits.
    pub(crate) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A random number in `range`; its start where the range is empty.
    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        if range.is_empty() { range.start } else { self.0.random_range(range) }
    }

    /// True with a probability of `percent` percent.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.within(0..100) < percent
    }

    /// One of `items`; `None` where there are none.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = usize::try_from(self.within(0..items.len() as u64)).unwrap_or(0);
        items.get(index)
    }

    /// The items in a random order.
    pub(crate) fn shuffled<T>(&mut self, items: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut keyed: Vec<_> = items.into_iter().map(|item| (self.number(), item)).collect();
        keyed.sort_by_key(|(key, _)| *key);
        keyed.into_iter().map(|(_, item)| item).collect()
    }
}

/// The FNV-1a hash of 64 bits.
pub(crate) fn fnv(bytes: impl IntoIterator<Item = u8>) -> u64 {
    fnv_from(0xcbf2_9ce4_8422_2325, bytes)
}

/// The FNV-1a hash, continued from `hash`.
pub(crate) fn fnv_from(hash: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_follows_from_its_seed_and_its_label() {
        let numbers = |seed, label| {
            let mut chance = Chance::new(seed, label);
            [chance.number(), chance.within(10..20), u64::from(chance.percent(50))]
        };
        assert_eq!(numbers(1, "disk"), numbers(1, "disk"));
        assert_ne!(numbers(1, "disk"), numbers(2, "disk"));
        assert_ne!(numbers(1, "disk"), numbers(1, "network"));
    }
}

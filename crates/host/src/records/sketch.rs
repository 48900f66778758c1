//! A HyperLogLog sketch of distinct machines: its registers in this project's own encoding, one byte each.
//!
//! Nodes exchange this encoding and store it on disk, so the hash and the registers never change. A library computes
//! the estimate; it gets the registers through its public interface.

use std::hash::{Hash, Hasher};

use activation::id::Cmid;
use hyperloglog::HyperLogLog;
use siphasher::sip::SipHasher13;

/// Bits of a hash that choose a register.
const INDEX_BITS: u32 = 12;
/// Registers of a sketch.
pub(super) const REGISTERS: usize = 1 << INDEX_BITS;
/// The remaining bits of a hash: a register holds the position of the highest set bit among them, or one more.
const RANK_BITS: u32 = u64::BITS - INDEX_BITS;
/// Largest value of a register.
const RANK_MAX: u8 = 53;
/// The library's parameter of precision: it gives sketches of [`REGISTERS`] registers, with a standard error of 1.6
/// %.
const ERROR_RATE: f64 = 0.004_08;

const _: () = assert!(RANK_MAX as u32 == RANK_BITS + 1);

/// A set of machines of which only the size can be estimated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sketch(Box<[u8]>);

/// The error for bytes that are not the registers of a sketch.
#[derive(Debug, thiserror::Error)]
#[error("a sketch has {REGISTERS} registers of 0 to {RANK_MAX}")]
pub(super) struct NotASketch;

impl Default for Sketch {
    fn default() -> Self {
        Self(vec![0; REGISTERS].into())
    }
}

impl Sketch {
    /// Adds a machine. All nodes use the same hash, so that their sketches merge.
    pub(super) fn insert(&mut self, cmid: Cmid) {
        let mut hasher = SipHasher13::new_with_keys(0, 0);
        cmid.0.hash(&mut hasher);
        let (index, rank) = split(hasher.finish());
        if let Some(register) = self.0.get_mut(index) {
            *register = rank.max(*register);
        }
    }

    /// Adds the machines of another sketch.
    pub(super) fn merge(&mut self, other: &Self) {
        for (register, other) in self.0.iter_mut().zip(&other.0) {
            *register = (*register).max(*other);
        }
    }

    /// The number of machines, estimated.
    pub(super) fn estimate(&self) -> f64 {
        let mut library = HyperLogLog::new_deterministic(ERROR_RATE, 0);
        for (index, rank) in (0_u64..).zip(&self.0).filter(|(_, rank)| **rank > 0) {
            library.insert_by_hash_value(hash_of(index, *rank));
        }
        library.len().round()
    }

    /// The registers: [`REGISTERS`] bytes.
    pub(super) fn registers(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&[u8]> for Sketch {
    type Error = NotASketch;

    fn try_from(registers: &[u8]) -> Result<Self, NotASketch> {
        let is_sketch = registers.len() == REGISTERS && registers.iter().all(|register| *register <= RANK_MAX);
        if is_sketch { Ok(Self(registers.into())) } else { Err(NotASketch) }
    }
}

/// The register that a hash chooses, and the value for it.
fn split(hash: u64) -> (usize, u8) {
    let index = usize::try_from(hash & (REGISTERS as u64 - 1)).expect("an index has 12 bits");
    let rank = (hash >> INDEX_BITS).leading_zeros() - INDEX_BITS + 1;
    (index, u8::try_from(rank).expect("a rank is at most 53"))
}

/// A hash that [`split`] takes apart into this register and this value, which is 1 to [`RANK_MAX`].
fn hash_of(index: u64, rank: u8) -> u64 {
    let rest = RANK_BITS.checked_sub(u32::from(rank)).map_or(0, |bit| 1 << bit);
    rest << INDEX_BITS | index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cmid(number: u64) -> Cmid {
        Cmid((u128::from(number) << 64 | 7).to_be_bytes())
    }

    #[test]
    fn each_hash_sets_its_own_register() {
        for (index, rank) in [(0, 1), (4095, 1), (7, 12), (1, 52), (4095, 53)] {
            assert_eq!(split(hash_of(index, rank)), (usize::try_from(index).unwrap(), rank));
        }
    }

    /// Earlier versions encoded sketches with the library's own hash of a CMID: their sketches on disk stay valid.
    #[test]
    fn a_sketch_estimates_exactly_what_the_library_does_for_the_same_machines() {
        for machines in [0, 1, 100, 5000, 40_000] {
            let mut library = HyperLogLog::new_deterministic(ERROR_RATE, 0);
            let mut sketch = Sketch::default();
            for machine in 0..machines {
                library.insert(&cmid(machine).0);
                sketch.insert(cmid(machine));
            }
            assert!((sketch.estimate() - library.len().round()).abs() < f64::EPSILON, "{machines}");
        }
    }

    #[test]
    fn bytes_that_are_not_registers_are_refused_as_a_sketch() {
        let mut sketch = Sketch::default();
        sketch.insert(cmid(1));
        assert_eq!(Sketch::try_from(sketch.registers()).unwrap(), sketch);
        assert!(Sketch::try_from(&[0; 10][..]).is_err());
        assert!(Sketch::try_from(&[RANK_MAX + 1; REGISTERS][..]).is_err());
    }
}

//! The identity of a machine, by weight (R23): some of its factors may change, but not too many at once.

use std::{collections::BTreeMap, path::Path};

use activation::id::MachineDigest;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    choice::Choice,
    digest::{self, FactorDigest},
    factors::{self, Factor},
};

const DIGEST_PURPOSE: &str = "quorate/identity/1";

/// The weight of changes from which on a machine is beyond tolerance.
const TOLERANCE: u32 = 40;

/// Every factor, the weight of its change, and the reason.
///
/// The sum decides, at [`TOLERANCE`]: the system disk alone, the machine id with any other factor, or a new board
/// with everything on it. A second network card, a memory upgrade, or a move of a virtual machine to another
/// processor does not reach it.
const WEIGHTS: [(Factor, u32); 8] = [
    // R23: volume activation mainly considers the system disk. A copy of the files on another disk is another
    // machine.
    (Factor::SystemDisk, TOLERANCE),
    // Changes when the disk is partitioned again. Where the disk has no serial number, the volume replaces the disk
    // and has the same weight: see `weight`.
    (Factor::SystemVolume, 10),
    // Only a new installation changes it, but some administrators generate it again after cloning: heavy, but not
    // decisive alone.
    (Factor::MachineId, 30),
    // A model, not a serial number: equal on all machines of one make. It shows a move to other hardware.
    (Factor::Board, 20),
    // Cards are exchanged, added and, in virtual machines, simulated.
    (Factor::Network, 10),
    // Changes with the board, or when a virtual machine moves to another hypervisor host.
    (Factor::Processor, 10),
    // Marks, which never change.
    (Factor::File, TOLERANCE),
    (Factor::Chosen, 0),
];

/// The factors of one machine that could be read, each as a digest.
///
/// Serialises as a map from a factor's name to 16 hexadecimal digits. Unknown names, which a newer version wrote,
/// are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Identity(BTreeMap<Factor, FactorDigest>);

/// How much of a recorded identity has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityChange {
    /// Weight of the recorded factors that differ now, or can no longer be read.
    pub changed_weight: u32,
    /// Weight of all recorded factors.
    pub recorded_weight: u32,
}

impl Identity {
    /// The identity of the machine whose file system is mounted at `root`; empty where nothing can be read.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let read = Factor::OF_MACHINE.into_iter().filter_map(|factor| Some((factor, factors::read(factor, root)?)));
        Self(read.collect())
    }

    /// The identity of the machine at `root` with all marks, for comparison with a host's record of any choice.
    #[must_use]
    pub fn of_host(root: &Path) -> Self {
        let marks = [Factor::File, Factor::Chosen];
        let marks = marks.into_iter().filter_map(|factor| Some((factor, factors::read(factor, root)?)));
        Self(Self::read(root).0.into_iter().chain(marks).collect())
    }

    /// The part of [`Self::of_host`] that is recorded with this choice.
    #[must_use]
    pub fn restricted_to(&self, choice: &Choice) -> Self {
        let factors = self.0.iter().filter(|(factor, _)| choice.contains(**factor));
        Self(factors.map(|(factor, digest)| (*factor, *digest)).collect())
    }

    /// Whether factors of the machine are recorded here. Otherwise a copy of the data folder is a copy of the host.
    #[must_use]
    pub fn is_of_machine(&self) -> bool {
        self.0.keys().any(|factor| factor.is_of_machine())
    }

    /// Whether only some factors were chosen.
    #[must_use]
    pub fn is_chosen(&self) -> bool {
        self.0.contains_key(&Factor::Chosen)
    }

    /// The factors that could be read.
    pub fn factors(&self) -> impl Iterator<Item = (Factor, FactorDigest)> {
        self.0.iter().map(|(&factor, &digest)| (factor, digest))
    }

    /// One digest over all factors of the machine, which a client's requests carry.
    #[must_use]
    pub fn digest(&self) -> MachineDigest {
        let of_machine = self.0.iter().filter(|(factor, _)| factor.is_of_machine());
        let factors: Vec<_> = of_machine.map(|(factor, digest)| format!("{}={digest}", factor.name())).collect();
        MachineDigest(digest::short(DIGEST_PURPOSE, factors.iter().map(String::as_str)))
    }

    /// How much the machine has changed from this recorded identity. A factor that was not recorded is ignored; a
    /// recorded factor that can no longer be read has changed.
    #[must_use]
    pub fn change_to(&self, now: &Self) -> IdentityChange {
        let weigh = |factors: &mut dyn Iterator<Item = Factor>| factors.map(|factor| self.weight(factor)).sum();
        let changed = self.0.iter().filter(|(factor, digest)| now.0.get(factor) != Some(digest));
        IdentityChange {
            changed_weight: weigh(&mut changed.map(|(&factor, _)| factor)),
            recorded_weight: weigh(&mut self.0.keys().copied()),
        }
    }

    /// The weight of a change of this factor in this identity.
    fn weight(&self, factor: Factor) -> u32 {
        let stands_in = factor == Factor::SystemVolume && !self.0.contains_key(&Factor::SystemDisk);
        let factor = if stands_in { Factor::SystemDisk } else { factor };
        WEIGHTS.iter().find(|(candidate, _)| *candidate == factor).map_or(0, |(_, weight)| *weight)
    }
}

impl IdentityChange {
    /// Whether it is still the same machine: the changed weight is below the tolerance and, where few factors were
    /// recorded, at most half of the recorded weight. An identity without any factor never changes.
    #[must_use]
    pub fn is_within_tolerance(self) -> bool {
        self.changed_weight < TOLERANCE && 2 * self.changed_weight <= self.recorded_weight
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = BTreeMap::<String, FactorDigest>::deserialize(deserializer)?;
        let known = |name: &str| WEIGHTS.iter().map(|(factor, _)| *factor).find(|factor| factor.name() == name);
        Ok(Self(named.into_iter().filter_map(|(name, digest)| Some((known(&name)?, digest))).collect()))
    }
}

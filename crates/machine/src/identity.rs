//! What makes a machine this one and no other, by weight (R23): some of it may change, not too much at once.

use std::{collections::BTreeMap, path::Path};

use activation::id::MachineDigest;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    choice::Choice,
    digest::{self, FactorDigest},
    factors::{self, Factor},
};

const DIGEST_PURPOSE: &str = "quorate/identity/1";

/// What a machine is beyond tolerance from.
const TOLERANCE: u32 = 40;

/// Every factor, what its change weighs, and why.
///
/// The sum decides, at [`TOLERANCE`]: the system disk alone, the machine id with anything else, or a new board with all
/// that sits on it. A second network card, a memory upgrade, a move of a virtual machine to another processor do not.
const WEIGHTS: [(Factor, u32); 8] = [
    // R23: for volume activation mainly the system disk. A copy of the files on another disk is another machine.
    (Factor::SystemDisk, TOLERANCE),
    // Made anew when the disk is partitioned anew. Where the disk has no number of its own it stands in for it, and
    // weighs as much: see `weight`.
    (Factor::SystemVolume, 10),
    // Nothing but a new installation changes it, but some administrators make it anew after cloning: heavy, not
    // decisive by itself.
    (Factor::MachineId, 30),
    // A model, not a number: equal on all machines of one make. It tells a move to other hardware.
    (Factor::Board, 20),
    // Cards are exchanged, added and, in virtual machines, made up.
    (Factor::Network, 10),
    // Exchanged with the board, or by a move to another host of virtual machines.
    (Factor::Processor, 10),
    // Marks, which never change.
    (Factor::File, TOLERANCE),
    (Factor::Chosen, 0),
];

/// The factors of one machine that could be read, each as a digest.
///
/// Serialises as a map from a factor's name to 16 hexadecimal digits. Names that this version does not know, of a newer
/// one, are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Identity(BTreeMap<Factor, FactorDigest>);

/// How much of a recorded identity is no longer so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityChange {
    /// Weight of the recorded factors that differ now, or cannot be read any more.
    pub changed_weight: u32,
    /// Weight of all recorded factors.
    pub recorded_weight: u32,
}

impl Identity {
    /// The machine whose file system is mounted at `root`; empty where nothing can be read.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let read = Factor::OF_MACHINE.into_iter().filter_map(|factor| Some((factor, factors::read(factor, root)?)));
        Self(read.collect())
    }

    /// The machine at `root` as a host compares it with what it recorded, by whichever choice that was.
    #[must_use]
    pub fn of_host(root: &Path) -> Self {
        let marks = [Factor::File, Factor::Chosen];
        let marks = marks.into_iter().filter_map(|factor| Some((factor, factors::read(factor, root)?)));
        Self(Self::read(root).0.into_iter().chain(marks).collect())
    }

    /// What of [`Self::of_host`] is recorded by this choice.
    #[must_use]
    pub fn restricted_to(&self, choice: &Choice) -> Self {
        let factors = self.0.iter().filter(|(factor, _)| choice.contains(**factor));
        Self(factors.map(|(factor, digest)| (*factor, *digest)).collect())
    }

    /// Whether some of the machine is recorded here: otherwise a copied folder is a copied host.
    #[must_use]
    pub fn is_of_machine(&self) -> bool {
        self.0.keys().any(|factor| factor.is_of_machine())
    }

    /// Whether only some factors were taken.
    #[must_use]
    pub fn is_chosen(&self) -> bool {
        self.0.contains_key(&Factor::Chosen)
    }

    /// The factors that could be read.
    pub fn factors(&self) -> impl Iterator<Item = (Factor, FactorDigest)> {
        self.0.iter().map(|(&factor, &digest)| (factor, digest))
    }

    /// Every factor of the machine in one digest: what a client's requests say of it.
    #[must_use]
    pub fn digest(&self) -> MachineDigest {
        let of_machine = self.0.iter().filter(|(factor, _)| factor.is_of_machine());
        let factors: Vec<_> = of_machine.map(|(factor, digest)| format!("{}={digest}", factor.name())).collect();
        MachineDigest(digest::short(DIGEST_PURPOSE, factors.iter().map(String::as_str)))
    }

    /// How far the machine has moved away from this, its recorded identity. A factor that was not recorded is ignored;
    /// one that was recorded and cannot be read now has changed.
    #[must_use]
    pub fn change_to(&self, now: &Self) -> IdentityChange {
        let weigh = |factors: &mut dyn Iterator<Item = Factor>| factors.map(|factor| self.weight(factor)).sum();
        let changed = self.0.iter().filter(|(factor, digest)| now.0.get(factor) != Some(digest));
        IdentityChange {
            changed_weight: weigh(&mut changed.map(|(&factor, _)| factor)),
            recorded_weight: weigh(&mut self.0.keys().copied()),
        }
    }

    /// What a change of this factor weighs in this identity.
    fn weight(&self, factor: Factor) -> u32 {
        let stands_in = factor == Factor::SystemVolume && !self.0.contains_key(&Factor::SystemDisk);
        let factor = if stands_in { Factor::SystemDisk } else { factor };
        WEIGHTS.iter().find(|(candidate, _)| *candidate == factor).map_or(0, |(_, weight)| *weight)
    }
}

impl IdentityChange {
    /// Whether it is still the same machine: less than the tolerance has changed, and, where little was recorded, not
    /// more than half of it. An identity without any factor never changes.
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

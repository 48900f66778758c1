//! The election profiles that the other members have in force, by their last replies.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use activation::settings::ElectionProfile;
use api::peer::v1 as proto;

/// The profiles of the members that answered and reported one.
#[derive(Debug, Default)]
pub(crate) struct Profiles(Mutex<BTreeMap<u64, ElectionProfile>>);

impl Profiles {
    /// Records the profile that `node` reported; `None` if it did not answer, or if its version does not report
    /// one.
    pub(crate) fn reports(&self, node: u64, profile: Option<ElectionProfile>) {
        match profile {
            Some(profile) => self.reported().insert(node, profile),
            None => self.reported().remove(&node),
        };
    }

    /// The profile that `node` reported last.
    pub(crate) fn of(&self, node: u64) -> Option<ElectionProfile> {
        self.reported().get(&node).copied()
    }

    fn reported(&self) -> MutexGuard<'_, BTreeMap<u64, ElectionProfile>> {
        // Changed by single insertions: it is consistent after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn profile_out(profile: ElectionProfile) -> proto::ElectionProfile {
    match profile {
        ElectionProfile::Near => proto::ElectionProfile::Near,
        ElectionProfile::Far => proto::ElectionProfile::Far,
    }
}

pub(crate) fn profile_in(profile: proto::ElectionProfile) -> Option<ElectionProfile> {
    match profile {
        proto::ElectionProfile::Unspecified => None,
        proto::ElectionProfile::Near => Some(ElectionProfile::Near),
        proto::ElectionProfile::Far => Some(ElectionProfile::Far),
    }
}

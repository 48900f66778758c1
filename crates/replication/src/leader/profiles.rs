//! The election profiles that the other members have in force, as they said when they were asked last.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use activation::settings::ElectionProfile;
use api::peer::v1 as proto;

/// Those of members that answered, and say it.
#[derive(Debug, Default)]
pub(crate) struct Profiles(Mutex<BTreeMap<u64, ElectionProfile>>);

impl Profiles {
    /// Notes what `node` said; nothing where it did not answer, or is of a version that does not say it.
    pub(crate) fn reports(&self, node: u64, profile: Option<ElectionProfile>) {
        match profile {
            Some(profile) => self.reported().insert(node, profile),
            None => self.reported().remove(&node),
        };
    }

    /// What `node` said last.
    pub(crate) fn of(&self, node: u64) -> Option<ElectionProfile> {
        self.reported().get(&node).copied()
    }

    fn reported(&self) -> MutexGuard<'_, BTreeMap<u64, ElectionProfile>> {
        // Single insertions: it is whole after a panic.
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
